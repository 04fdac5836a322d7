/** What the user is told of a destination that fails: when it starts, at most once a minute, and when it is over. */

import { DESTINATION, DESTINATION_STATES } from '../../core/counters.ts'
import type { ErrorCode } from '../../core/errors.ts'
import type { DestinationState } from '../../core/types.ts'
import type { FromDelivery } from '../messages.ts'
import { codeOf } from './answer.ts'

type Severity = Extract<FromDelivery, { type: 'issue' }>['severity']

/** One failure alone is a blip, unless it is followed by a wait that long. */
const LONG_WAIT_MS = 3_000
const REPEAT_MS = 60_000

export class Health {
  /** Failures since the last success. */
  failures = 0
  /** Why it fails; '' when it does not. */
  reason = ''
  readonly #block: Float64Array
  readonly #tell: (severity: Severity, code: ErrorCode, message: string) => void
  #toldAt = -Infinity
  #toldSeverity: Severity | undefined
  readonly #notices = new Set<string>()

  /** @param block the destination's counters */
  constructor(block: Float64Array, tell: (severity: Severity, code: ErrorCode, message: string) => void) {
    this.#block = block
    this.#tell = tell
    this.#state('opening')
  }

  failing(code: ErrorCode, reason: string, waitMs: number, now: number): void {
    this.#state('retrying')
    this.reason = reason
    this.failures++
    if (this.failures > 1 || waitMs >= LONG_WAIT_MS) this.#once('failing', code, reason, now)
  }

  blocked(code: ErrorCode, reason: string, now: number): void {
    this.#state('blocked')
    this.reason = reason
    this.failures++
    if (this.#toldSeverity !== 'blocked') this.#toldAt = -Infinity
    if (this.#toldAt === -Infinity) this.#once('blocked', code, reason, now)
  }

  /** It answered as it should. */
  live(): void {
    this.#state('live')
    this.reason = ''
    this.failures = 0
    if (this.#toldSeverity === undefined) return
    this.#toldSeverity = undefined
    this.#toldAt = -Infinity
    this.#tell('recovered', 'ERR_UNREACHABLE', 'delivering again')
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
    this.#tell('notice', codeOf(code), message)
  }

  #state(state: DestinationState): void {
    this.#block[DESTINATION.state] = DESTINATION_STATES.indexOf(state)
  }

  #once(severity: Severity, code: ErrorCode, reason: string, now: number): void {
    if (now - this.#toldAt < REPEAT_MS) return
    this.#toldAt = now
    this.#toldSeverity = severity
    this.#tell(severity, code, reason)
  }
}
