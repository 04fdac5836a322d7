/** How fast a destination that works gets on, beside how fast its run writes. */

const STEP_MS = 1_000
const MAX_STEPS = 30

interface Place {
  readonly at: number
  readonly journaled: number
  readonly settled: number
  readonly delivered: number
}

export interface Rates {
  /** How long has been looked at. */
  readonly overMs: number
  /** Points and records a second: written by the run, settled here. */
  readonly journaled: number
  readonly settled: number
  /** Points a second that were delivered. */
  readonly delivered: number
  /** Points and records that wait: at first and now. */
  readonly before: number
  readonly waiting: number
}

export class Pace {
  #places: Place[] = []

  look(place: Place): void {
    const last = this.#places.at(-1)
    if (last !== undefined && place.at - last.at < STEP_MS) return
    this.#places.push(place)
    if (this.#places.length > MAX_STEPS + 1) this.#places.shift()
  }

  /** It does not work: what comes after is another story. */
  forget(): void {
    if (this.#places.length > 0) this.#places = []
  }

  /** Over the last `MAX_STEPS` seconds, or as long as it has worked; undefined when that is too short to tell. */
  get rates(): Rates | undefined {
    const [first, last] = [this.#places[0], this.#places.at(-1)]
    if (first === undefined || last === undefined || last.at - first.at < 2 * STEP_MS) return undefined
    const overMs = last.at - first.at
    const perSecond = (count: (place: Place) => number) => (1_000 * (count(last) - count(first))) / overMs
    return {
      overMs,
      journaled: perSecond(({ journaled }) => journaled),
      settled: perSecond(({ settled }) => settled),
      delivered: perSecond(({ delivered }) => delivered),
      before: first.journaled - first.settled,
      waiting: last.journaled - last.settled,
    }
  }
}
