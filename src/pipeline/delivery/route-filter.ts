/**
 * Takes out what a destination is not to get by its options.
 *
 *  F4  What is in force for a point or record follows from its sequence number: options that change while there is
 *      a backlog hold from the cursor on, for rows and uploads alike, and are kept in the cursor.
 */
import { Route } from '../../core/routing.ts'
import type { CursorRoute, JournalReader, SeriesId } from '../../core/types.ts'
import type { JournalPoints, JournalRecord } from './batcher.ts'
import type { PointFilter, RecordFilter } from './filter.ts'

const UNKNOWN = 0
const TAKEN = 1
const PASSED = 2

/** A route and the sequence numbers that it is for. */
class Stretch {
  readonly from: number
  readonly to: number
  readonly route: Route
  /** By series: UNKNOWN, TAKEN or PASSED. */
  #series = new Uint8Array(64)

  constructor(from: number, to: number, route: Route) {
    this.from = from
    this.to = to
    this.route = route
  }

  mask({ seq, points }: JournalPoints, kept: Uint8Array, reader: JournalReader): void {
    const { route } = this
    if (!route.choosesPoints) return
    const { everyN } = route
    const { series, step } = points
    const end = Math.min(points.length, this.to - seq)
    for (let at = Math.max(0, this.from - seq); at < end; at++) {
      const isTaken = this.#takes(series[at]!, reader)
      if (!isTaken || (everyN > 1 && step[at]! % everyN !== 0)) kept[at] = 0
    }
  }

  #takes(id: SeriesId, reader: JournalReader): boolean {
    const known = id < this.#series.length ? this.#series[id]! : UNKNOWN
    return known === UNKNOWN ? this.#decide(id, reader) : known === TAKEN
  }

  #decide(id: SeriesId, reader: JournalReader): boolean {
    if (id >= this.#series.length) {
      const grown = new Uint8Array(Math.max(id + 1, 2 * this.#series.length))
      grown.set(this.#series)
      this.#series = grown
    }
    const isTaken = this.route.takesSeries(reader.series(id).name)
    this.#series[id] = isTaken ? TAKEN : PASSED
    return isTaken
  }
}

/** The options of a destination over the length of a journal. */
export class Routes implements RecordFilter {
  readonly #stretches: readonly Stretch[]

  /** @param routes each from which sequence number on, ascending; before the first everything is taken */
  constructor(routes: readonly CursorRoute[]) {
    this.#stretches = routes.map(
      ({ from, ...routing }, index) =>
        new Stretch(from, routes[index + 1]?.from ?? Infinity, new Route(routing)),
    )
  }

  keeps(seq: number, record: JournalRecord): boolean {
    return this.#stretches.find(({ from, to }) => seq >= from && seq < to)?.route.takesRecord(record) ?? true
  }

  /** Undefined when all points are for the destination. */
  pointFilter(reader: JournalReader): PointFilter | undefined {
    const choosing = this.#stretches.filter(({ route }) => route.choosesPoints)
    if (choosing.length === 0) return undefined
    return {
      mask(frame, kept) {
        for (const stretch of choosing) stretch.mask(frame, kept, reader)
      },
    }
  }
}
