/**
 * For a destination that keeps the first value of each step (`rewind: 'keep-first'`): once a run has gone back, takes
 * out points, so that no curve has two values at one step.
 *
 *  F5  Of a rewind that was ahead, in the journal before the destination had got anything, it gets what counts in the
 *      end: a point is taken out when such a rewind comes after it and has fromStep ≤ its step. Of any other rewind
 *      the values that came first stay: a point is taken out when such a rewind comes before it and has
 *      fromStep ≤ its step ≤ the highest step that its series had at that rewind, not counting what was taken out for
 *      one ahead. All follows from the journal; the cursor keeps where the rewinds are, and which were ahead.
 *  F6  The journal is read a second time, up to the last rewind that was not ahead, only for runs that have gone back,
 *      in slices.
 */
import { monotonicNow } from '../../core/clock.ts'
import type { CursorRewind, JournalReader, RunRecord, UnknownRecord } from '../../core/types.ts'
import { HighestSteps, Superseded } from '../journal/rewinds.ts'
import type { JournalPoints } from './batcher.ts'
import type { PointFilter } from './filter.ts'

/** A turn of the thread that serves all destinations is to take 5 ms. */
const SLICE_MS = 3

export interface KeepFirstOptions {
  /** Those before the place where reading begins; more does no harm. */
  readonly known: readonly CursorRewind[]
  openReader(from: number): JournalReader
  /** A rewind that was not known has been met; the cursor is to keep it. */
  onRewind(rewind: CursorRewind): void
}

interface Passed extends CursorRewind {
  readonly highest: HighestSteps
}

/** Outlives the openings of a run, so that the journal is read once. */
export class KeepFirst implements PointFilter {
  readonly #options: KeepFirstOptions
  readonly #known = new Set<number>()
  /** By those that were ahead. */
  readonly #superseded: Superseded
  /** The others. Ascending by `seq`; the first ones have been read up to. */
  readonly #rewinds: CursorRewind[]
  #passed: Passed[] = []
  #read = 0
  #highest = new HighestSteps()
  #reader: JournalReader | undefined

  constructor(options: KeepFirstOptions) {
    this.#options = options
    const known = [...options.known].sort((a, b) => a.seq - b.seq)
    for (const { seq } of known) this.#known.add(seq)
    this.#superseded = new Superseded(known.filter(({ isAhead }) => isAhead))
    this.#rewinds = known.filter(({ isAhead }) => !isAhead)
  }

  met(seq: number, record: RunRecord | UnknownRecord): void {
    if (record.kind !== 'rewind' || this.#known.has(seq)) return
    const rewind = { seq, fromStep: record.fromStep }
    this.#known.add(seq)
    // readers go forward: it is behind all that are known
    this.#rewinds.push(rewind)
    this.#options.onRewind(rewind)
  }

  isReady(frame: JournalPoints): boolean {
    const until = monotonicNow() + SLICE_MS
    for (;;) {
      const next = this.#rewinds[this.#read]
      if (next === undefined || next.seq > frame.seq) return true
      if (!this.#readUpTo(next.seq, until)) return false
      this.#pass(next)
    }
  }

  mask({ seq, points }: JournalPoints, kept: Uint8Array): void {
    const { length, series, step } = points
    const end = this.#superseded.fromStep(seq)
    if (end < Infinity) for (let i = 0; i < length; i++) if (step[i]! >= end) kept[i] = 0
    for (const rewind of this.#passed) {
      if (rewind.seq > seq) break
      const { fromStep, highest } = rewind
      for (let i = 0; i < length; i++) {
        if (step[i]! >= fromStep && step[i]! <= highest.of(series[i]!)) kept[i] = 0
      }
    }
  }

  close(): void {
    this.#reader?.close()
    this.#reader = undefined
  }

  /** False when the time was up first. */
  #readUpTo(seq: number, until: number): boolean {
    const from = this.#passed.at(-1)?.seq ?? 0
    // closed in between, it begins anew: what was taken in already changes nothing
    this.#reader ??= this.#options.openReader(from)
    const reader = this.#reader
    while (reader.seq < seq) {
      const entry = reader.next()
      if (entry === undefined) break
      if (entry.kind === 'points') this.#highest.take(entry, this.#superseded.fromStep(entry.seq))
      if (monotonicNow() >= until && reader.seq < seq) return false
    }
    return true
  }

  #pass(rewind: CursorRewind): void {
    this.#read++
    // Highest steps only grow: what an earlier rewind from the same step or beyond took out, this one does.
    this.#passed = this.#passed.filter(({ fromStep }) => fromStep < rewind.fromStep)
    this.#passed.push({ ...rewind, highest: this.#highest.copy() })
    if (this.#read === this.#rewinds.length) this.close()
  }
}
