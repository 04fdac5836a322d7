/** The shape of a series in bounded memory, for a plot: finite values only. */

import { type Axis, STEPS } from './axis.ts'

/** Twice the columns of a wide plot: more could not be seen. */
const MAX_BUCKETS = 512

/** So many consecutive points: where they lie and how far they reach. */
export interface Bucket {
  readonly firstX: number
  readonly lastX: number
  readonly min: number
  readonly max: number
}

export class Curve {
  readonly name: string
  readonly context: string
  readonly axis: Axis
  #buckets: Bucket[] = []
  /** Points in each bucket but the one that is being filled. */
  #perBucket = 1
  #filled = 0

  constructor(name: string, context: string, axis: Axis = STEPS) {
    this.name = name
    this.context = context
    this.axis = axis
  }

  add(step: number, value: number): void {
    if (!Number.isFinite(value)) return
    const x = this.axis.at(step)
    if (x !== undefined) this.#sketch({ firstX: x, lastX: x, min: value, max: value })
  }

  /** In the order of logging. */
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
    firstX: Math.min(a.firstX, b.firstX),
    lastX: Math.max(a.lastX, b.lastX),
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
  }
}
