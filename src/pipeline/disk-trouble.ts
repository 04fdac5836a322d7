/**
 * What the user hears of a run's disk: that it fails, when that begins and at most once a minute while it lasts, and
 * once, when it takes points again, how many were lost.
 */
import { type ErrorRecord, toErrorRecord } from '../core/errors.ts'

const REPEAT_MS = 60_000

/** Something that the drain says of a run. */
export interface DrainIssue extends ErrorRecord {
  readonly severity?: 'recovered'
}

export class DiskTrouble {
  #points = 0
  #records = 0
  #toldAt = -Infinity
  #isOn = false

  /** @returns what is to be told now, if anything */
  failed(error: unknown, points: number, records: number, now: number): DrainIssue | undefined {
    this.#isOn = true
    this.#points += points
    this.#records += records
    if (now - this.#toldAt < REPEAT_MS) return undefined
    this.#toldAt = now
    const { code, message } = toErrorRecord(error, 'ERR_JOURNAL_WRITE')
    const lost = this.#lost === '' ? '' : `; ${this.#lost} lost so far`
    return { code, message: `${message}${lost}` }
  }

  /** Something was journaled. */
  works(run: string): DrainIssue | undefined {
    if (!this.#isOn) return undefined
    const message = `journal of run ${run}: it is written again; ${this.#lost === '' ? 'nothing was' : this.#lost} lost`
    this.#isOn = false
    this.#toldAt = -Infinity
    this.#points = 0
    this.#records = 0
    return { code: 'ERR_JOURNAL_WRITE', message, severity: 'recovered' }
  }

  get #lost(): string {
    const parts = [
      ...(this.#points > 0 ? [`${this.#points} points`] : []),
      ...(this.#records > 0 ? [`${this.#records} records`] : []),
    ]
    return parts.join(' and ')
  }
}
