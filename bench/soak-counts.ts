/** What the soak's fakes hold: not the points, which would fill their memory, but which they are, checked as they come. */
import { type Columns, SERIES, valueAt } from './soak-wire.ts'

/** What a fake has been sent. Points that came again count once. */
export interface Counts {
  points: number
  again: number
  /** Points that nobody logged, or that differ from those that came before. */
  wrong: number
}

/** Steps that are there, as ranges in ascending order: few, since they come nearly in order. */
class Steps {
  readonly #ranges: [first: number, last: number][] = []

  /** False when it is there already. */
  add(step: number): boolean {
    const ranges = this.#ranges
    let at = ranges.length
    while (at > 0 && ranges[at - 1]![0] > step) at--
    const before = ranges[at - 1]
    const after = ranges[at]
    if (before !== undefined && step <= before[1]) return false
    const joinsBefore = before !== undefined && before[1] === step - 1
    const joinsAfter = after !== undefined && after[0] === step + 1
    if (joinsBefore && joinsAfter) {
      before[1] = after[1]
      ranges.splice(at, 1)
    } else if (joinsBefore) before[1] = step
    else if (joinsAfter) after[0] = step
    else ranges.splice(at, 0, [step, step])
    return true
  }
}

export class IdentityStore {
  readonly counts: Counts = { points: 0, again: 0, wrong: 0 }
  readonly #steps = Array.from({ length: SERIES }, () => new Steps())

  take({ step, value, series }: Columns): object {
    for (let i = 0; i < step.length; i++) {
      if (value[i] !== valueAt(series[i]!, step[i]!)) this.counts.wrong++
      else if (this.#steps[series[i]!]!.add(step[i]!)) this.counts.points++
      else this.counts.again++
    }
    return { taken: step.length }
  }
}

export class OffsetStore {
  readonly counts: Counts = { points: 0, again: 0, wrong: 0 }
  #end = 0
  /** Rows at which the steps do not go on by one, with their steps: only where points were lost before. */
  readonly #breaks: [row: number, step: number][] = []

  take({ offset, step, value, series, first }: Columns): object {
    // a gap is rebased: what is missing shows as the sum of points
    const start = Math.min(offset, this.#end)
    for (let row = 0; row + 1 < first.length; row++) {
      const at = start + row
      const stepOfRow = step[first[row]!]!
      const isNew = at >= this.#end
      if (isNew) this.#append(stepOfRow)
      let isRight = this.#stepAt(at) === stepOfRow
      for (let i = first[row]!; i < first[row + 1]!; i++)
        isRight &&= step[i] === stepOfRow && value[i] === valueAt(series[i]!, stepOfRow)
      const points = first[row + 1]! - first[row]!
      if (!isRight) this.counts.wrong += points
      else if (isNew) this.counts.points += points
      else this.counts.again += points
    }
    return { end: start + first.length - 1 }
  }

  #append(step: number): void {
    if (this.#end === 0 || this.#stepAt(this.#end - 1) + 1 !== step) this.#breaks.push([this.#end, step])
    this.#end++
  }

  #stepAt(at: number): number {
    let index = this.#breaks.length - 1
    while (this.#breaks[index]![0] > at) index--
    const [row, step] = this.#breaks[index]!
    return step + at - row
  }
}
