/** What the disk takes when nothing but appending is done: the same pieces, files and syncs as the journal's. */
import { openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicNow } from '../src/core/clock.ts'
import { Syncer } from '../src/pipeline/store/syncer.ts'

const PIECE_BYTES = 256 * 1024
const FILE_BYTES = 64 * 2 ** 20
const MOST_BYTES = 2 * 2 ** 30

/** @returns MB/s, and ms of the longest append */
export function rawAppend(
  folder: string,
  seconds: number,
): { megabytesPerSecond: number; longestMs: number } {
  const syncer = new Syncer<number>()
  const piece = new Uint8Array(PIECE_BYTES).fill(0xa5)
  const begin = monotonicNow()
  let fd = -1
  let inFile = FILE_BYTES
  let bytes = 0
  let longestMs = 0
  let now = begin
  while (now < begin + seconds * 1000 && bytes < MOST_BYTES) {
    if (inFile >= FILE_BYTES) {
      if (fd >= 0) syncer.closeAfterSync(fd)
      fd = openSync(join(folder, String(bytes)), 'ax')
      inFile = 0
    }
    writeSync(fd, piece)
    inFile += PIECE_BYTES
    bytes += PIECE_BYTES
    const before = now
    now = monotonicNow()
    longestMs = Math.max(longestMs, now - before)
    syncer.dirty(fd, 0, inFile, now)
    syncer.poll(now)
  }
  syncer.closeAfterSync(fd)
  syncer.drain(5000)
  syncer.stop()
  rmSync(folder, { recursive: true })
  return { megabytesPerSecond: bytes / 1000 / (now - begin), longestMs }
}
