/** The end of a journal by one short read: what a listing of many runs can afford. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { RunOutcome } from '../../core/types.ts'
import {
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  type FrameHeader,
  frameBytes,
  isPoints,
  readHeader,
  segmentName,
} from './format.ts'
import { decodeRecord } from './records.ts'
import { checkVersion, scanJournal } from './scan.ts'
import { listSegments } from './segment-file.ts'

const TAIL_BYTES = 64 * 1024

export interface JournalTail {
  /** Points and records so far. */
  readonly points: number
  readonly records: number
  /** The last state that was said, where it stands near the end; a run that was ended says it last. */
  readonly state: 'running' | RunOutcome
}

/**
 * @param folder the run's folder
 * @throws TraceletError ERR_JOURNAL_FORMAT for a newer format
 */
export function readTail(folder: string): JournalTail {
  let end: { points: number; records: number } | undefined
  for (const number of listSegments(folder).reverse()) {
    const frames = framesAtEnd(folder, number)
    const last = frames.at(-1)
    if (last === undefined) break
    end ??= totals(last.header)
    const state = frames.map(stateOf).findLast((one) => one !== undefined)
    if (state !== undefined) return { ...end, state }
    // A session that has not said anything yet leaves the word to the one before.
    if (frames.some(({ header }) => header.count > 0)) return { ...end, state: 'running' }
  }
  if (end !== undefined) return { ...end, state: 'running' }
  // Nothing intact in the last bytes: a very large frame, or damage.
  const { seq, points } = scanJournal(folder, 0)
  return { points, records: seq - points, state: 'running' }
}

interface TailFrame {
  readonly header: FrameHeader
  readonly payload: Uint8Array
}

function framesAtEnd(folder: string, number: number): TailFrame[] {
  const bytes = readEnd(join(folder, segmentName(number)))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const frames: TailFrame[] = []
  for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length; ) {
    const header = view.getUint32(at, true) === FRAME_MAGIC ? readHeader(bytes, view, at) : undefined
    const next = header === undefined ? Infinity : at + frameBytes(header.payloadBytes)
    if (header === undefined || next > bytes.length) {
      at += 8
      continue
    }
    checkVersion(folder, number, header)
    const from = at + FRAME_HEADER_BYTES
    frames.push({ header, payload: bytes.subarray(from, from + header.payloadBytes) })
    at = next
  }
  return frames
}

/** The last bytes of a file, beginning where a frame may begin. */
function readEnd(path: string): Uint8Array {
  const fd = openSync(path, 'r')
  try {
    const { size } = fstatSync(fd)
    const from = Math.max(0, Math.floor((size - TAIL_BYTES) / 8) * 8)
    // of its own: a payload is read in place, and FlatBuffers want it aligned
    const bytes = new Uint8Array(new ArrayBuffer(size - from))
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

function totals({ type, firstSeq, count, pointsBefore }: FrameHeader) {
  const points = pointsBefore + (isPoints(type) ? count : 0)
  return { points, records: firstSeq + count - points }
}

function stateOf({ header, payload }: TailFrame): 'running' | RunOutcome | undefined {
  if (header.type !== FRAME.record || crc32(payload) !== header.payloadCrc) return undefined
  const record = decodeRecord(payload)
  return record?.kind === 'state' ? record.state : undefined
}
