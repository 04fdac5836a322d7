/** One series' values of a batch, step by step: of two of one step the later counts. */
import type { AimContext } from './contexts.ts'
import type { Seen } from './traces.ts'

export class Column {
  readonly name: string
  readonly context: AimContext
  readonly keys: bigint[] = []
  readonly steps: number[] = []
  readonly values: number[] = []
  readonly times: number[] = []
  readonly epochs: (number | null)[] = []
  /** Whether steps have risen so far, as they mostly do; if not, where each is. */
  #places: Map<number, number> | undefined

  constructor(name: string, context: AimContext) {
    this.name = name
    this.context = context
  }

  /** @returns whether it replaces another */
  add(step: number, key: bigint, value: number, time: number, epoch: number | null): boolean {
    const at = this.#placeOf(step)
    const isNew = at === this.steps.length
    this.keys[at] = key
    this.steps[at] = step
    this.values[at] = value
    this.times[at] = time
    this.epochs[at] = epoch
    if (isNew) this.#places?.set(step, at)
    return !isNew
  }

  #placeOf(step: number): number {
    const { steps } = this
    const rises = steps.length === 0 || step > steps[steps.length - 1]!
    if (rises && this.#places === undefined) return steps.length
    this.#places ??= new Map(steps.map((one, at) => [one, at]))
    return this.#places.get(step) ?? steps.length
  }

  seen(): Seen {
    let last = 0
    let min = Number.POSITIVE_INFINITY
    let max = Number.NEGATIVE_INFINITY
    for (let i = 0; i < this.steps.length; i++) {
      const value = this.values[i]!
      if (this.steps[i]! >= this.steps[last]!) last = i
      if (value < min) min = value
      if (value > max) max = value
    }
    const [first, firstStep] = [this.values[0]!, this.steps[0]!]
    return { first, firstStep, last: this.values[last]!, lastStep: this.steps[last]!, min, max }
  }
}
