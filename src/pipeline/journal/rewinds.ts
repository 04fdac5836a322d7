/** Where a run went back, and what that supersedes: what was journaled before at that step or beyond. */
import type { JournalEntry, SeriesId, WallMs } from '../../core/types.ts'
import { openRecords, type RecordsReader } from './reader.ts'

export interface Rewind {
  /** Sequence number of its record. */
  readonly seq: number
  readonly fromStep: number
  readonly time: WallMs
}

/**
 * In the order of the journal. Costs a pass over the headers of its frames.
 * @param reader is closed
 */
export function readRewinds(reader: RecordsReader): Rewind[] {
  const rewinds: Rewind[] = []
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      if (entry.kind !== 'record' || entry.record.kind !== 'rewind') continue
      const { fromStep, time } = entry.record
      rewinds.push({ seq: entry.seq, fromStep, time })
    }
  } finally {
    reader.close()
  }
  return rewinds
}

/** Tells what still counts of a journal. */
export class Superseded {
  /** Ascending by `seq`; each with the lowest step that it or a later one goes back to. */
  readonly #ends: readonly { readonly seq: number; readonly fromStep: number }[]

  constructor(rewinds: readonly Pick<Rewind, 'seq' | 'fromStep'>[]) {
    let lowest = Infinity
    this.#ends = rewinds
      .toReversed()
      .map(({ seq, fromStep }) => {
        lowest = Math.min(lowest, fromStep)
        return { seq, fromStep: lowest }
      })
      .reverse()
  }

  static of(folder: string): Superseded {
    return new Superseded(readRewinds(openRecords(folder, { live: false })))
  }

  /** What was journaled at this sequence number is superseded from this step on; Infinity when nothing is. */
  fromStep(seq: number): number {
    for (const end of this.#ends) if (end.seq > seq) return end.fromStep
    return Infinity
  }
}

export type PointsEntry = Extract<JournalEntry, { kind: 'points' }>

/** The highest step of each series so far. */
export class HighestSteps {
  #steps: Float64Array = new Float64Array(64).fill(-Infinity)

  /** @param end steps from it on do not count */
  take({ points: { length, series, step } }: PointsEntry, end: number): void {
    let steps = this.#steps
    for (let i = 0; i < length; i++) {
      if (step[i]! >= end) continue
      const id = series[i]!
      if (id >= steps.length) steps = this.#grow(id)
      if (step[i]! > steps[id]!) steps[id] = step[i]!
    }
  }

  /** -Infinity for a series that has no points. */
  of(series: SeriesId): number {
    return this.#steps[series] ?? -Infinity
  }

  copy(): HighestSteps {
    const copy = new HighestSteps()
    copy.#steps = this.#steps.slice()
    return copy
  }

  #grow(id: SeriesId): Float64Array {
    const grown = new Float64Array(Math.max(id + 1, this.#steps.length * 2)).fill(-Infinity)
    grown.set(this.#steps)
    this.#steps = grown
    return grown
  }
}
