/** Where a logged thing stands: the caller's step and time, or those of the call. */
import type { ErrorRecord } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'
import type { Placed } from '../../core/types.ts'
import { nameIssue, stepIssue, timeIssue } from '../producer.ts'

export interface MediaPlace {
  /** Integer in ±(2^53 − 1); by default a counter per name and producer, from 0, or where a resumed run goes on. */
  readonly step?: number | undefined
  /** Wall time in ms since 1970; by default the time of the call. */
  readonly time?: number | undefined
}

/** Gives names their steps; one per producer. */
export class Places {
  readonly #next = new Map<string, number>()
  readonly #first: number

  /** @param first of steps that are not given */
  constructor(first: number) {
    this.#first = first
  }

  /** A step is taken only by what can be logged: call it last. */
  place(name: string, place: MediaPlace): Placed | ErrorRecord {
    const issue = nameIssue(name)
    if (issue) return issue
    const { step, time } = place
    if (step !== undefined && !Number.isSafeInteger(step)) return stepIssue(step)
    if (time !== undefined && !Number.isFinite(time)) return timeIssue(time)
    return { name: redactText(name), step: step ?? this.#takeStep(name), time: time ?? Date.now() }
  }

  #takeStep(name: string): number {
    const step = this.#next.get(name) ?? this.#first
    this.#next.set(name, step + 1)
    return step
  }
}
