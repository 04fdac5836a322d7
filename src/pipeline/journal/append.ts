/** Appends whole frames with as few calls as the system allows. */
import { fstatSync, writeSync, writevSync } from 'node:fs'
import type { Stretch } from './staging.ts'

/** One write for all; what the system left over of it, if it says no error, is tried again. */
export function writeStretches(fd: number, bytes: Uint8Array, stretches: readonly Stretch[]): void {
  if (stretches.length === 1) {
    writeWhole(fd, bytes.subarray(stretches[0]!.from, stretches[0]!.to))
    return
  }
  const parts = stretches.map(({ from, to }) => bytes.subarray(from, to))
  let written = writevSync(fd, parts)
  for (const part of parts) {
    const done = Math.min(written, part.length)
    written -= done
    if (done < part.length) writeWhole(fd, part.subarray(done))
  }
}

export function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    const written = writeSync(fd, bytes, at, bytes.length - at)
    if (written === 0) throw new Error('the disk took nothing')
    at += written
  }
}

export function sizeOf(fd: number): number {
  try {
    return fstatSync(fd).size
  } catch {
    return -1
  }
}
