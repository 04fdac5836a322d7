/** A series bound to a run and a producer: the fastest way to log. */
import { PRODUCER } from '../core/counters.ts'
import type { LaneWriter } from '../ring/lane-writer.ts'
import { type RunProducer, UNDEFINED } from './producer.ts'

/**
 * One class for all series, no subclasses: `log` stays monomorphic and is inlined into the caller's loop, so that
 * its doubles are never boxed.
 */
export class Metric {
  readonly name: string
  readonly context: string
  #series: number
  readonly #producer: RunProducer
  readonly #lane: LaneWriter
  readonly #counts: Float64Array

  /** @internal made by `run.metric()` */
  constructor(producer: RunProducer, name: string, context: string) {
    this.#producer = producer
    this.#lane = producer.lane
    this.#counts = producer.counts
    this.name = name
    this.context = context
    this.#series = producer.define(name, context)
  }

  /**
   * Logs one point, taking its time from the clock.
   * @param step integer in ±(2^53 − 1); any order, repeats allowed
   * @param value any number, NaN and ±Infinity included
   *
   * Never throws and never waits for a backend. A value that is not a number or a step that is not an integer is
   * refused: counted in `stats().refused` and reported as ERR_VALUE or ERR_STEP.
   */
  log(step: number, value: number): void {
    if (
      typeof value !== 'number' ||
      typeof step !== 'number' ||
      ((step | 0) !== step && !Number.isSafeInteger(step))
    ) {
      this.#producer.refusePoint(this.name, step, value)
      return
    }
    this.#counts[PRODUCER.accepted]!++
    if (this.#series === UNDEFINED) this.#series = this.#producer.define(this.name, this.context)
    if (this.#series === UNDEFINED || !this.#lane.log(this.#series, step, value)) {
      this.#counts[PRODUCER.lostLaneFull]!++
    }
  }
}
