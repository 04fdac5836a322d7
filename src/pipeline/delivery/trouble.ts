/** How a destination that fails is waited for: back-off, pauses it asked for, probes while it refuses everything. */
import type { ErrorCode } from '../../core/errors.ts'
import type { WriteResult } from '../../core/types.ts'
import { codeOf } from './answer.ts'
import { backOffMs, LAST_CEILING_MS } from './back-off.ts'
import type { Health, Scope } from './health.ts'
import { type Account, PROBE_MS } from './limiter.ts'

/** Towards the deadline there is no point in long waits. */
const FINISHING_CEILING_MS = 1_000
/** What a server calls soon, such as after 0 s, is not at once. */
const SOON_CEILING_MS = 1_000

export class Trouble {
  readonly #account: Account
  readonly #health: Health
  readonly #random: () => number
  #notBefore = 0
  #isRunBlocked = false
  #blockedAt = -Infinity
  #isFinishing = false

  constructor(account: Account, health: Health, random: () => number) {
    this.#account = account
    this.#health = health
    this.#random = random
  }

  /** The run ends: waits are short from now on, and the one under way is over. Pauses the account asked for stay. */
  finish(now: number): void {
    this.#isFinishing = true
    if (!this.#isRunBlocked) this.#notBefore = Math.min(this.#notBefore, now)
  }

  /** Monotonic ms before which nothing is sent. */
  get notBefore(): number {
    const { pausedUntil, outageUntil } = this.#account
    return Math.max(this.#notBefore, pausedUntil, this.#isFinishing ? 0 : outageUntil)
  }

  /** Nothing will be taken until somebody acts. */
  get isBlocked(): boolean {
    return this.#isRunBlocked || this.#account.isBlocked
  }

  get reason(): string {
    return this.#health.reason || (this.#account.refusal?.reason ?? '')
  }

  retry(answer: Omit<Extract<WriteResult, { status: 'retry' }>, 'status'>, now: number): void {
    const { reason, afterMs } = answer
    const code = answer.code === undefined ? 'ERR_UNREACHABLE' : codeOf(answer.code)
    this.#isRunBlocked = false
    const ceiling = this.#isFinishing ? FINISHING_CEILING_MS : LAST_CEILING_MS
    const failures = this.#health.failures + 1
    const wait =
      afterMs === undefined
        ? backOffMs(failures, ceiling, this.#random)
        : Math.max(afterMs, backOffMs(failures, SOON_CEILING_MS, this.#random))
    this.#notBefore = Math.max(this.#notBefore, now + wait)
    if (afterMs === undefined) this.#account.failed(this, now, this.#random, { code, reason })
    else this.#account.pause(now + afterMs)
    this.#health.failing(code, reason, wait, now, 'account')
  }

  /** There is something to send, and others have found that nothing is taken. */
  waitWithOthers(now: number): void {
    const { outage, outageUntil, refusal } = this.#account
    if (refusal !== undefined) this.#health.waiting(refusal.code, refusal.reason, now, 'blocked')
    else if (outage !== undefined && outageUntil > now && !this.#isFinishing)
      this.#health.waiting(outage.code, outage.reason, now)
  }

  /** Something of ours failed: the disk, the journal. */
  stumble(code: ErrorCode, reason: string, now: number): void {
    const wait = backOffMs(this.#health.failures + 1, LAST_CEILING_MS, this.#random)
    this.#notBefore = Math.max(this.#notBefore, now + wait)
    this.#health.failing(code, reason, wait, now, 'run')
  }

  blocked(answer: Extract<WriteResult, { status: 'blocked' }>, now: number): void {
    const { reason, scope } = answer
    const code = codeOf(answer.code)
    this.#account.reached()
    if (scope === 'account') this.#account.block(now, { code, reason })
    this.block(code, reason, PROBE_MS, now, scope)
  }

  block(code: ErrorCode, reason: string, probeMs: number, now: number, scope: Scope = 'run'): void {
    this.#isRunBlocked = true
    this.#blockedAt = now
    this.#notBefore = Math.max(this.#notBefore, now + probeMs)
    this.#health.blocked(code, reason, now, scope)
  }

  /**
   * It took something.
   * @param askedAt when that was sent: what was under way as it was refused says nothing of what comes
   */
  recovered(now: number, askedAt: number): void {
    this.#account.reached()
    if (askedAt < Math.max(this.#blockedAt, this.#account.blockedAt)) return
    this.#account.recovered()
    this.#isRunBlocked = false
    this.#notBefore = 0
    this.#health.live(now)
  }
}
