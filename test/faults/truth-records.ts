/**
 * What a trainer logs besides points: the n-th record of a thread follows from the thread and n, so a checker needs
 * no list of them. Kinds take turns: a short text (in the lane), an image, a file, a long text (parked all three).
 */
import { Random } from '../random.ts'
import type { Thread } from './truth.ts'

export const RECORD_KINDS = ['note', 'image', 'file', 'long text'] as const
export type TrainedKind = (typeof RECORD_KINDS)[number]

/** Longer than what a lane takes. */
const LONG_CHARS = 70_000
const SIDE = 6
const FILE_BYTES = [0, 1, 3_000, 40_000, 300_000] as const

export function kindOf(n: number): TrainedKind {
  return RECORD_KINDS[n % RECORD_KINDS.length]!
}

export function recordName(life: number, thread: Thread, n: number): string {
  const kind = kindOf(n)
  // artifacts have no step that could tell them apart
  return kind === 'file' ? `${life} ${thread} file ${n}` : `${life}/${thread}/${kind}`
}

export function textOf(life: number, thread: Thread, n: number): string {
  const text = `text ${n} of ${thread} in life ${life}: 漢 `
  return kindOf(n) === 'note' ? text : text.padEnd(LONG_CHARS, text)
}

/** Pixels, 3 channels. */
export function imageOf(life: number, thread: Thread, n: number): { data: Uint8Array; shape: number[] } {
  return { data: bytesOf(SIDE * SIDE * 3, life, thread, n), shape: [SIDE, SIDE, 3] }
}

export function fileOf(life: number, thread: Thread, n: number): Buffer {
  const bytes = FILE_BYTES[(n >> 2) % FILE_BYTES.length]!
  return Buffer.from(bytesOf(bytes, life, thread, n))
}

function bytesOf(count: number, life: number, thread: Thread, n: number): Uint8Array {
  const random = new Random(1 + n * 1000 + life * 10 + (thread === 'main' ? 0 : 1))
  return Uint8Array.from({ length: count }, () => random.below(256))
}
