/** What a segment begins with (J3, J4), and the making of its file. */
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Series } from '../../core/types.ts'
import { FILE_MODE } from '../store/folder.ts'
import { writeWhole } from './append.ts'
import { FRAME, FRAME_HEADER_BYTES, type FrameHeader, frameBytes, writeHeader } from './format.ts'
import { encodeSegment, encodeSeries, type SegmentStart } from './records.ts'

/** SEGMENT and all series, each twice. `place` is the header of a frame that uses no number and no lane. */
export function layStart(
  segment: SegmentStart,
  series: readonly (readonly Series[])[],
  place: Omit<FrameHeader, 'type' | 'payloadBytes' | 'payloadCrc'>,
): Uint8Array {
  const payloads: [type: number, payload: Uint8Array][] = [[FRAME.segment, encodeSegment(segment)]]
  for (const part of series) payloads.push([FRAME.series, encodeSeries(part)])
  const bytes = new Uint8Array(payloads.reduce((sum, [, payload]) => sum + 2 * frameBytes(payload.length), 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const [type, payload] of payloads) {
    for (let copy = 0; copy < 2; copy++) {
      bytes.set(payload, at + FRAME_HEADER_BYTES)
      const payloadCrc = crc32(payload)
      writeHeader(bytes, view, at, { ...place, type, payloadBytes: payload.length, payloadCrc })
      at += frameBytes(payload.length)
    }
  }
  return bytes
}

/** Of files that are not segments yet. */
const UNFINISHED = /^journal-\d+\.tlj\..+\.tmp$/

/** Removes what processes that died left unfinished. The caller is the journal's only writer. */
export function removeUnfinished(folder: string): void {
  for (const name of readdirSync(folder))
    if (UNFINISHED.test(name)) rmSync(join(folder, name), { force: true })
}

/**
 * The same as `createSegment` for a segment that takes the place of parts of others: it has its name when it is
 * whole, so a process that is killed meanwhile leaves those as they were.
 */
export function createWhole(path: string, parts: Iterable<Uint8Array>): { fd: number; bytes: number } {
  const beside = `${path}.${randomUUID()}.tmp`
  const made = createSegment(beside, parts)
  try {
    name(beside, path)
    return made
  } catch (error) {
    closeSync(made.fd)
    throw error
  } finally {
    rmSync(beside, { force: true })
  }
}

/** @throws Error EEXIST */
function name(beside: string, path: string): void {
  try {
    linkSync(beside, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' || existsSync(path)) throw error
    // a file system without links; a twin of this writer is a matter of microseconds here
    renameSync(beside, path)
  }
}

/**
 * Makes the file, which must not be there: of two writers that take each other for dead only one gets it. Leaves
 * nothing behind when it throws, unless the disk refuses even that.
 * @param onLeftBehind told then: the file is there and nothing of it may be read
 * @returns a descriptor that appends
 */
export function createSegment(
  path: string,
  parts: Iterable<Uint8Array>,
  onLeftBehind: () => void = () => {},
): { fd: number; bytes: number } {
  const fd = openSync(path, 'ax+', FILE_MODE)
  let bytes = 0
  try {
    for (const part of parts) {
      writeWhole(fd, part)
      bytes += part.length
    }
  } catch (error) {
    try {
      // whoever finds the file in spite of all finds no frame in it
      ftruncateSync(fd, 0)
      unlinkSync(path)
    } catch {
      onLeftBehind()
    } finally {
      closeSync(fd)
    }
    throw error
  }
  return { fd, bytes }
}
