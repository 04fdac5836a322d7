/** The end of a journal by a few short reads: what a listing of many runs can afford. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { RunOutcome } from '../../core/types.ts'
import { Arrangement, isInPlace, type SegmentPlace } from './arrange.ts'
import {
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC_BYTES,
  type FrameHeader,
  frameBytes,
  isPoints,
  readHeader,
  segmentName,
} from './format.ts'
import { decodeRecord } from './records.ts'
import { checkVersion, scanJournal } from './scan.ts'
import { listSegments, unlessRemoved } from './segment-file.ts'

const PART_BYTES = 64 * 1024

export interface JournalTail {
  /** Points and records so far. */
  readonly points: number
  readonly records: number
  /** The last state that was said. */
  readonly state: 'running' | RunOutcome
}

/**
 * A session that goes on with a run says so first, and one that ends it says that last. One that says nothing, such as
 * that of late points, leaves the word to the one before.
 * @param folder the run's folder
 * @throws TraceletError ERR_JOURNAL_FORMAT for a newer format
 */
export function readTail(folder: string): JournalTail {
  const places = segmentsOf(folder).reverse()
  const last = places[0] === undefined ? [] : framesAt('end', folder, places[0])
  // Nothing intact in the last bytes: a very large frame, or damage.
  const sums = last.length > 0 ? totals(last) : scanned(folder)
  for (const place of places) {
    const state =
      lastState(place === places[0] ? last : framesAt('end', folder, place)) ??
      lastState(framesAt('start', folder, place))
    if (state !== undefined) return { ...sums, state }
  }
  return { ...sums, state: 'running' }
}

function scanned(folder: string): { points: number; records: number } {
  const { seq, points } = scanJournal(folder, 0)
  return { points, records: seq - points }
}

/** By their names, which one look at the last file confirms, or does not. */
function segmentsOf(folder: string): SegmentPlace[] {
  const places = listSegments(folder).map((number) => ({ number, path: join(folder, segmentName(number)) }))
  const last = places.at(-1)
  return last === undefined || isInPlace(last) ? places : new Arrangement(folder, undefined).list()
}

interface TailFrame {
  readonly header: FrameHeader
  readonly payload: Uint8Array
}

/** The frames that are whole within the first or the last bytes of a segment; none when it has been removed. */
function framesAt(part: 'start' | 'end', folder: string, { number, path }: SegmentPlace): TailFrame[] {
  const bytes = unlessRemoved(() => readPart(part, path)) ?? Buffer.alloc(0)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const frames: TailFrame[] = []
  for (let at = bytes.indexOf(FRAME_MAGIC_BYTES); at >= 0 && at + FRAME_HEADER_BYTES <= bytes.length; ) {
    const header = readHeader(bytes, view, at)
    const next = header === undefined ? Infinity : at + frameBytes(header.payloadBytes)
    if (header === undefined || next > bytes.length) {
      at = bytes.indexOf(FRAME_MAGIC_BYTES, at + 1)
      continue
    }
    checkVersion(folder, number, header)
    const from = at + FRAME_HEADER_BYTES
    frames.push({ header, payload: bytes.subarray(from, from + header.payloadBytes) })
    at = bytes.indexOf(FRAME_MAGIC_BYTES, next)
  }
  return frames
}

function readPart(part: 'start' | 'end', path: string): Buffer {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const bytes = Buffer.alloc(Math.min(size, PART_BYTES))
    const from = part === 'start' ? 0 : size - bytes.length
    let done = 0
    while (done < bytes.length) {
      const read = readSync(fd, bytes, done, bytes.length - done, from + done)
      if (read === 0) break
      done += read
    }
    return bytes.subarray(0, done)
  } finally {
    closeSync(fd)
  }
}

/** By the highest number: a frame that stands there twice is read once. */
function totals(frames: readonly TailFrame[]): { points: number; records: number } {
  const last = frames.map(({ header }) => header).reduce((a, b) => (endOf(b) >= endOf(a) ? b : a))
  const points = last.pointsBefore + (isPoints(last.type) ? last.count : 0)
  return { points, records: endOf(last) - points }
}

function endOf({ firstSeq, count }: FrameHeader): number {
  return firstSeq + count
}

function lastState(frames: readonly TailFrame[]): 'running' | RunOutcome | undefined {
  return frames.map(stateOf).findLast((state) => state !== undefined)
}

function stateOf({ header, payload }: TailFrame): 'running' | RunOutcome | undefined {
  if (header.type !== FRAME.record || crc32(payload) !== header.payloadCrc) return undefined
  // a copy: what is read in place must be aligned, which a payload in the midst of these bytes is not
  const record = decodeRecord(new Uint8Array(payload))
  return record?.kind === 'state' ? record.state : undefined
}
