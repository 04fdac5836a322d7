/** What the user is told of a destination that fails: when it starts, at most once a minute, and when it is over. */

import { DESTINATION, DESTINATION_STATES } from '../../core/counters.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { DestinationState } from '../../core/types.ts'
import type { FromDelivery, Outage } from '../messages.ts'
import { codeOf } from './answer.ts'

type Severity = Extract<FromDelivery, { type: 'issue' }>['severity']
export type TellHealth = (severity: Severity, code: ErrorCode, message: string, outage?: Outage) => void

/** What waits for the destination, and what the run has lost so far on the way to its journal. */
export type Backlog = Pick<Outage, 'points' | 'records' | 'lost'>

/** Whose trouble it is: that of all runs at the account, or of this run alone. */
export type Scope = 'account' | 'run'

export interface HealthParts {
  /** The destination's counters. */
  readonly block: Float64Array
  readonly tell: TellHealth
  /** Asked only when something is told. */
  readonly backlog?: () => Backlog
  /** Whom runs share; not for show. */
  readonly account?: string
}

/** One failure alone is a blip, unless it is followed by a wait that long. */
const LONG_WAIT_MS = 3_000
export const REPEAT_MS = 60_000
const NO_BACKLOG: Backlog = { points: 0, records: 0, lost: 0 }

export class Health {
  /** Failures since the last success. */
  failures = 0
  /** Why it fails; '' when it does not. */
  reason = ''
  readonly #parts: HealthParts
  #isWaiting = false
  #isDiskFailing = false
  #since = 0
  #lostBefore = 0
  #toldAt = -Infinity
  /** When the trouble that was told last was told first: one that comes and goes is not told more often for it. */
  #firstToldAt = -Infinity
  #told: { readonly severity: Severity; readonly code: ErrorCode; readonly scope: Scope } | undefined
  readonly #notices = new Set<string>()

  constructor(parts: HealthParts) {
    this.#parts = parts
    this.#state('opening')
  }

  failing(code: ErrorCode, reason: string, waitMs: number, now: number, scope: Scope): void {
    this.#state('retrying')
    this.#begin(reason, now)
    const isNews = this.failures > 1 || waitMs >= LONG_WAIT_MS
    if (isNews && now - this.#toldAt >= REPEAT_MS) this.#say('failing', code, now, scope)
  }

  /** It need not try by itself: others have, at the same account. */
  waiting(code: ErrorCode, reason: string, now: number, severity: 'failing' | 'blocked' = 'failing'): void {
    if (this.#told?.severity === 'blocked') return
    this.#state(severity === 'blocked' ? 'blocked' : 'retrying')
    this.#start(now)
    this.#isWaiting = true
    this.reason = reason
    if (severity === 'blocked' || now - this.#toldAt >= REPEAT_MS) this.#say(severity, code, now, 'account')
  }

  /** The cursor cannot be saved; that the backend takes what it is sent does not mend it. */
  diskFails(code: ErrorCode, reason: string, now: number): void {
    this.#state('retrying')
    this.#start(now)
    this.#isDiskFailing = true
    this.reason = reason
    if (now - this.#toldAt >= REPEAT_MS) this.#say('failing', code, now, 'run')
  }

  diskWorks(now: number): void {
    if (!this.#isDiskFailing) return
    this.#isDiskFailing = false
    if (this.failures === 0 && !this.#isWaiting) this.live(now)
  }

  /** Told once: who must act reads it then, and again when the run ends. */
  blocked(code: ErrorCode, reason: string, now: number, scope: Scope): void {
    this.#state('blocked')
    this.#begin(reason, now)
    if (this.#told?.severity !== 'blocked') this.#say('blocked', code, now, scope)
  }

  /** It answered as it should. */
  live(now: number): void {
    this.failures = 0
    this.#isWaiting = false
    if (this.#isDiskFailing) return
    this.#state('live')
    this.reason = ''
    const told = this.#told
    if (told === undefined) return
    this.#parts.tell('recovered', told.code, 'delivering again', this.#outage(now, told.scope))
    this.#told = undefined
    this.#toldAt = this.#firstToldAt
  }

  closed(): void {
    this.#state('closed')
  }

  /** Said once in the life of a destination. */
  notice(code: string, message: string): void {
    const identity = `${code} ${message}`
    if (this.#notices.has(identity)) return
    // A sink that has a new text for every point must not fill the memory.
    if (this.#notices.size >= 1000) return
    this.#notices.add(identity)
    this.#parts.tell('notice', codeOf(code), message)
  }

  #begin(reason: string, now: number): void {
    this.#start(now)
    this.reason = reason
    this.failures++
  }

  #start(now: number): void {
    if (this.failures > 0 || this.#isWaiting || this.#isDiskFailing) return
    this.#since = now
    this.#lostBefore = (this.#parts.backlog?.() ?? NO_BACKLOG).lost
  }

  #say(severity: Severity, code: ErrorCode, now: number, scope: Scope): void {
    this.#toldAt = now
    if (this.#told === undefined) this.#firstToldAt = now
    this.#told = { severity, code, scope }
    this.#parts.tell(severity, code, this.reason, this.#outage(now, scope))
  }

  #outage(now: number, scope: Scope): Outage {
    const { account, backlog } = this.#parts
    const { points, records, lost } = backlog?.() ?? NO_BACKLOG
    return {
      ...(account !== undefined && scope === 'account' && { account }),
      forMs: now - this.#since,
      points,
      records,
      lost: lost - this.#lostBefore,
    }
  }

  #state(state: DestinationState): void {
    this.#parts.block[DESTINATION.state] = DESTINATION_STATES.indexOf(state)
  }
}
