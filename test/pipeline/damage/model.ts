/**
 * Which items of a damaged journal must still be read: those whose frames are there byte by byte, in their order.
 * Knows the format by itself and nothing of the reader.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const MAGIC = Buffer.from('TLJF')
const HEADER_BYTES = 72
const TYPE = { segment: 1, series: 2 } as const

/** Files of a journal: name → bytes. */
export type Files = Map<string, Buffer>

export function journalFiles(folder: string): Files {
  const names = readdirSync(folder)
    .filter((name) => /^journal-\d+\.tlj$/.test(name))
    .sort()
  return new Map(names.map((name) => [name, readFileSync(join(folder, name))]))
}

interface Frame {
  readonly type: number
  readonly firstSeq: number
  readonly count: number
  readonly bytes: Buffer
}

function framesOf(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    assert.ok(bytes.subarray(at, at + 4).equals(MAGIC), 'the model is given an undamaged journal')
    const length = Math.ceil((HEADER_BYTES + bytes.readUInt32LE(at + 12)) / 8) * 8
    frames.push({
      type: bytes.readUInt16LE(at + 8),
      firstSeq: Number(bytes.readBigUInt64LE(at + 24)),
      count: bytes.readUInt32LE(at + 52),
      bytes: bytes.subarray(at, at + length),
    })
    at += length
  }
  return frames
}

export interface Verdict {
  /** Sequence numbers of what nothing has touched. */
  readonly untouched: Set<number>
  /** How many numbers the undamaged journal had, and whether a frame is left that tells so. */
  readonly total: number
  readonly isEndKnown: boolean
}

export function judge(whole: Files, damaged: Files): Verdict {
  const untouched = new Set<number>()
  let total = 0
  let known = 0
  for (const [name, bytes] of whole) {
    const frames = framesOf(bytes)
    const found = find(frames, holderOf(name, frames[0]!.bytes, whole, damaged))
    const copies = new Map<string, boolean>()
    let areSeriesKnown = true
    for (const [at, frame] of frames.entries()) {
      total = Math.max(total, frame.firstSeq + frame.count)
      if (frame.type === TYPE.series) {
        // each stands there twice in a row
        const text = frame.bytes.toString('latin1')
        copies.set(text, (copies.get(text) ?? false) || found[at]!)
      } else if (frame.count > 0) areSeriesKnown = [...copies.values()].every(Boolean)
      if (!found[at]) continue
      known = Math.max(known, frame.firstSeq + frame.count)
      if (!areSeriesKnown) continue
      for (let i = 0; i < frame.count; i++) untouched.add(frame.firstSeq + i)
    }
  }
  return { untouched, total, isEndKnown: known === total }
}

/** The file that a segment is to be sought in: its own, unless that begins as another segment does. */
function holderOf(name: string, first: Buffer, whole: Files, damaged: Files): Buffer {
  const own = damaged.get(name)
  if (begins(own, first)) return own!
  const isTaken = [...whole.values()].some((other) => begins(own, framesOf(other)[0]!.bytes))
  if (own !== undefined && !isTaken) return own
  for (const bytes of damaged.values()) if (begins(bytes, first)) return bytes
  return Buffer.alloc(0)
}

/** A segment begins with the same frame twice; either tells which it is. */
function begins(bytes: Buffer | undefined, first: Buffer): boolean {
  if (bytes === undefined) return false
  const { length } = first
  return bytes.subarray(0, length).equals(first) || bytes.subarray(length, 2 * length).equals(first)
}

/** Of each frame whether it is there, after those before it. */
function find(frames: readonly Frame[], bytes: Buffer): boolean[] {
  let from = 0
  return frames.map((frame) => {
    const at = bytes.indexOf(frame.bytes, from)
    if (at >= 0) from = at + frame.bytes.length
    return at >= 0
  })
}
