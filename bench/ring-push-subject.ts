/** A live run that the calls of the question go to. */
import type { Metric, Run } from '../src/index.ts'
import type { LoggedSeries } from './journal-check.ts'
import type { Case } from './statistics.ts'

export const BURST = 1000
const ROWS = BURST / 10
/** What surrounds the calls: a loop that logs a million points a second, far above any training loop's. */
const SUSTAINED_PER_MS = 1000
/** Or one that keeps the drain thread at work without pause, but the lane (65,536 slots) never full. */
const MOST_IN_RING = 24_576

/** A live run and what is called on it; knows what it logged. */
export class Subject {
  readonly #run: Run
  readonly #handle: Metric
  readonly #ten: Metric[]
  readonly #counts = { handle: 0, ten: 0, row: 0 }
  /** What control loops compute, so that nobody finds them idle. */
  #sink = 0
  #row: object = {}
  #dueAt = 0
  #pointsBefore = 0

  constructor(run: Run) {
    this.#run = run
    this.#handle = run.metric('handle')
    this.#ten = Array.from({ length: 10 }, (_, i) => run.metric(`ten/${i}`))
  }

  handleCase(): Case {
    return burstOf('bound handle', (_from, calls) => this.handle(calls))
  }

  cases(): Case[] {
    return [
      this.handleCase(),
      burstOf('ten bound handles in turn', (_from, calls) => this.tenHandles(calls / 10)),
      burstOf('loop without a call', (from, calls) => this.nothing(from, calls)),
      burstOf('log() of 10 keys', (_from, calls) => this.rows(calls), ROWS),
      burstOf('object of 10 keys without log()', (from, calls) => this.objects(from, calls), ROWS),
    ]
  }

  handle(calls: number): void {
    const handle = this.#handle
    const first = this.#counts.handle
    for (let i = 0; i < calls; i++) handle.log(first + i, (first + i) * 0.5)
    this.#counts.handle = first + calls
  }

  call(): void {
    const step = this.#counts.handle++
    this.#handle.log(step, step * 0.5)
  }

  tenHandles(steps: number): void {
    const ten = this.#ten
    const first = this.#counts.ten
    for (let i = first; i < first + steps; i++) {
      for (let j = 0; j < 10; j++) ten[j]!.log(i, i * 0.5)
    }
    this.#counts.ten = first + steps
  }

  nothing(from: number, calls: number): void {
    let sum = 0
    for (let i = 0; i < calls; i++) sum += (from + i) * 0.5
    this.#sink += sum
  }

  rows(rows: number): void {
    const run = this.#run
    const first = this.#counts.row
    for (let i = first; i < first + rows; i++) {
      const x = i * 0.5
      run.log({ a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x, j: x }, { step: i })
    }
    this.#counts.row = first + rows
  }

  objects(from: number, rows: number): void {
    for (let i = from; i < from + rows; i++) {
      const x = i * 0.5
      // kept, so that the compiler must build it
      this.#row = { a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x, j: x }
    }
  }

  /** Spins for as long as the points logged since the last time are to last. */
  compute(round: number): undefined | Promise<void> {
    const points = this.#points
    this.#dueAt = Math.max(this.#dueAt, performance.now()) + (points - this.#pointsBefore) / SUSTAINED_PER_MS
    this.#pointsBefore = points
    while (performance.now() < this.#dueAt);
    return turn(round)
  }

  /** Waits, busy, until the ring has room. */
  settle(round: number): undefined | Promise<void> {
    const giveUpAt = performance.now() + 1000
    while (this.#run.stats().inRing > MOST_IN_RING && performance.now() < giveUpAt);
    return turn(round)
  }

  get #points(): number {
    const { handle, ten, row } = this.#counts
    return handle + 10 * (ten + row)
  }

  logged(): Map<string, LoggedSeries> {
    const half = (step: number) => step * 0.5
    const of = (count: number) => ({ count, firstStep: 0, valueAt: half })
    return new Map([
      ['handle', of(this.#counts.handle)],
      ...this.#ten.map(({ name }) => [name, of(this.#counts.ten)] as const),
      ...[...'abcdefghij'].map((name) => [name, of(this.#counts.row)] as const),
    ])
  }
}

/** Now and then the event loop turns. */
function turn(round: number): undefined | Promise<void> {
  return round % 20 === 0 ? new Promise(setImmediate) : undefined
}

/** A sample is ns a call over one burst. */
export function burstOf(name: string, burst: (from: number, calls: number) => void, calls = BURST): Case {
  let from = 0
  return {
    name,
    run: () => {
      const begin = performance.now()
      burst(from, calls)
      const took = performance.now() - begin
      from += calls
      return (took * 1e6) / calls
    },
  }
}
