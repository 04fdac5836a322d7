/**
 * A series in bounded memory: exact summaries, and a sketch of its shape for a plot. NaN counts as a point and is
 * the last value if it came last; minimum, maximum, mean and best pass over it. Infinities count.
 */
import type { MetricSummary } from '../../core/types.ts'

/** Twice the columns of a wide plot: more could not be seen. */
const MAX_BUCKETS = 512

/** So many consecutive points: where they lie and how far they reach. */
export interface Bucket {
  readonly firstStep: number
  readonly lastStep: number
  readonly min: number
  readonly max: number
}

export class Curve {
  readonly name: string
  readonly context: string
  points = 0
  last = Number.NaN
  lastStep = 0
  min = Infinity
  max = -Infinity
  firstTime = Infinity
  lastTime = -Infinity
  #sum = 0
  #counted = 0
  #buckets: Bucket[] = []
  /** Points in each bucket but the one that is being filled. */
  #perBucket = 1
  #filled = 0

  constructor(name: string, context: string) {
    this.name = name
    this.context = context
  }

  add(step: number, time: number, value: number): void {
    this.points++
    this.last = value
    this.lastStep = step
    if (time < this.firstTime) this.firstTime = time
    if (time > this.lastTime) this.lastTime = time
    if (Number.isNaN(value)) return
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
    this.#sum += value
    this.#counted++
    if (Number.isFinite(value)) this.#sketch({ firstStep: step, lastStep: step, min: value, max: value })
  }

  /** NaN where there was no number. */
  summary(kind: MetricSummary, goal: 'minimize' | 'maximize' = 'minimize'): number {
    if (kind === 'last') return this.last
    if (this.#counted === 0) return Number.NaN
    if (kind === 'mean') return this.#sum / this.#counted
    if (kind === 'best') return goal === 'maximize' ? this.max : this.min
    return kind === 'min' ? this.min : this.max
  }

  /** In the order of logging; finite values only. */
  get buckets(): readonly Bucket[] {
    return this.#buckets
  }

  #sketch(point: Bucket): void {
    if (this.#filled > 0 && this.#filled < this.#perBucket) {
      this.#buckets.push(join(this.#buckets.pop()!, point))
    } else {
      if (this.#buckets.length === MAX_BUCKETS) this.#halve()
      this.#buckets.push(point)
      this.#filled = 0
    }
    this.#filled++
  }

  #halve(): void {
    const halved: Bucket[] = []
    for (let i = 0; i + 1 < this.#buckets.length; i += 2) {
      halved.push(join(this.#buckets[i]!, this.#buckets[i + 1]!))
    }
    this.#buckets = halved
    this.#perBucket *= 2
  }
}

function join(a: Bucket, b: Bucket): Bucket {
  return {
    firstStep: Math.min(a.firstStep, b.firstStep),
    lastStep: Math.max(a.lastStep, b.lastStep),
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
  }
}
