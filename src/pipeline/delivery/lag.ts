/** How far behind a destination is: for `stats()`, for who decides what to leave out, and said when it is hopeless. */
import { DESTINATION } from '../../core/counters.ts'
import { Behind } from './behind.ts'
import { LagMarks } from './lag-marks.ts'
import type { Ledger } from './ledger.ts'
import { Pace, type Rates } from './pace.ts'
import type { DeliverySite } from './site.ts'

export class Lag {
  readonly #site: DeliverySite
  readonly #marks = new LagMarks()
  readonly #pace = new Pace()
  readonly #behind: Behind

  constructor(site: DeliverySite) {
    this.#site = site
    this.#behind = new Behind(site.account, (message) => this.tell(message))
  }

  /** Undefined while there is too little to tell. */
  get rates(): Rates | undefined {
    return this.#pace.rates
  }

  /** @param isWorking it is open, and takes what it gets */
  look(ledger: Ledger, isWorking: boolean, now: number): void {
    const { block, live } = this.#site
    // a run at rest is sent as fast as can be, and is not behind anything
    if (live === undefined) return
    const journaled = this.#site.journalSeq()
    const { seq, back, rows } = ledger.cursor
    const waitingFrom = rows === undefined ? seq : back
    this.#marks.mark(journaled, waitingFrom, now)
    block[DESTINATION.waitingSince] = this.#marks.sinceOf(waitingFrom) ?? 0
    if (isWorking && seq < journaled)
      this.#pace.look({ at: now, journaled, settled: seq, delivered: ledger.sums.delivered })
    else this.#pace.forget()
    this.#behind.look(this.#pace.rates, seq >= journaled, now)
  }

  /** How long what stands at `seq` in the journal has been waiting, as far as this process has seen it. */
  ageOf(seq: number, now: number): number {
    const since = this.#marks.sinceOf(seq)
    return since === undefined ? 0 : now - since
  }

  tell(message: string): void {
    const { run, name: destination, tell } = this.#site
    tell({
      type: 'issue',
      run: run.id,
      destination,
      severity: 'notice',
      issue: { code: 'ERR_BEHIND', message },
    })
  }
}
