/** Says early that a destination can never catch up: it works, and yet more is written than it takes. */
import { duration } from '../../core/duration.ts'
import type { Rates } from './pace.ts'

/** It is watched for so long before anything is said. */
const WATCH_MS = 29_000
/** Less than `finish()` waits for by default is nothing to speak of. */
const WORTH_MS = 60_000
const CAUGHT_UP_MS = 5_000
/** Runs at one account are as slow as each other: one speaks for all. */
const ACCOUNT_QUIET_MS = 60_000

const spoke = new WeakMap<object, { readonly by: Behind; readonly at: number }>()

export class Behind {
  readonly #account: object
  readonly #tell: (message: string) => void
  /** How far behind it was when that was told; 0 when it was not. */
  #toldMs = 0
  #isTold = false

  /** @param account whoever shares it with others */
  constructor(account: object, tell: (message: string) => void) {
    this.#account = account
    this.#tell = tell
  }

  /**
   * @param rates undefined while there is too little to tell
   * @param isCaughtUp nothing waits
   */
  look(rates: Rates | undefined, isCaughtUp: boolean, now: number): void {
    if (isCaughtUp && this.#toldMs > 0) this.#caughtUp()
    if (rates === undefined) return
    const { overMs, journaled, settled, before, waiting } = rates
    const behindMs = settled > 0 ? (1_000 * waiting) / settled : Infinity
    if (this.#toldMs > 0) {
      if (behindMs <= CAUGHT_UP_MS) this.#caughtUp()
      else if (behindMs < 2 * this.#toldMs) return
    }
    // what does not move at all hangs, and is told of as an outage when its time is over
    if (overMs < WATCH_MS || settled <= 0 || settled >= journaled || waiting <= before) return
    if (behindMs < Math.max(WORTH_MS, 2 * this.#toldMs)) return
    this.#toldMs = behindMs
    const last = spoke.get(this.#account)
    if (last !== undefined && last.by !== this && now - last.at < ACCOUNT_QUIET_MS) return
    spoke.set(this.#account, { by: this, at: now })
    this.#isTold = true
    this.#tell(
      `takes ${count(settled)} points/s, the run logs ${count(journaled)}: it is ${duration(behindMs)} behind and falls back further. ` +
        'Nothing is lost: the journal keeps all, and what is left at the end goes out with tracelet sync. ' +
        'To keep up, let less go there: everyN, include, exclude or maxLagMs among the options of this backend',
    )
  }

  #caughtUp(): void {
    this.#toldMs = 0
    if (this.#isTold) this.#tell('has caught up')
    this.#isTold = false
  }
}

function count(rate: number): string {
  return Math.round(rate).toLocaleString('en-US')
}
