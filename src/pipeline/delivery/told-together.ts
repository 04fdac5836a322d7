/**
 * A destination with two deliveries is closed when both are, complete when both are, and has recovered when neither
 * is in trouble. What both are in is told once.
 */
import { monotonicNow } from '../../core/clock.ts'
import type { FromDelivery, Outage } from '../messages.ts'
import { REPEAT_MS } from './health.ts'

type Closed = Extract<FromDelivery, { type: 'closed' }>
type IssueMessage = Extract<FromDelivery, { type: 'issue' }>
type Tell = (message: FromDelivery) => void

/** Two timers that were set for the same minute do not ring at the same instant. */
const SAME_MINUTE_MS = REPEAT_MS - 1_000

export class ToldTogether {
  readonly #tell: Tell
  readonly #now: () => number
  readonly #inTrouble = new Set<Tell>()
  /** What was told last of the trouble that lasts. */
  #told: { readonly message: IssueMessage; readonly at: number; readonly by: Tell } | undefined
  /** Of those that have recovered while another had not. */
  #outage: Outage | undefined
  #first: Closed | undefined

  /** @param now monotonic ms */
  constructor(tell: Tell, now: () => number = monotonicNow) {
    this.#tell = tell
    this.#now = now
  }

  /** For one of the two. */
  half(): Tell {
    const half: Tell = (message) => {
      if (message.type === 'closed') this.#closed(message)
      else if (message.type !== 'issue' || message.severity === 'notice') this.#tell(message)
      else if (message.severity === 'recovered') this.#recovered(half, message)
      else this.#failing(half, message)
    }
    return half
  }

  #failing(half: Tell, message: IssueMessage): void {
    this.#inTrouble.add(half)
    const now = this.#now()
    const told = this.#told
    const isTold =
      told !== undefined &&
      told.by !== half &&
      this.#inTrouble.has(told.by) &&
      isSameTrouble(told.message, message) &&
      (message.severity === 'blocked' || now - told.at < SAME_MINUTE_MS)
    if (isTold) return
    this.#told = { message, at: now, by: half }
    this.#tell(message)
  }

  #recovered(half: Tell, message: IssueMessage): void {
    this.#inTrouble.delete(half)
    const outage = longer(this.#outage, message.outage)
    if (this.#inTrouble.size > 0) {
      this.#outage = outage
      return
    }
    this.#outage = undefined
    this.#told = undefined
    this.#tell({ ...message, ...(outage && { outage }) })
  }

  #closed(message: Closed): void {
    if (this.#first === undefined) this.#first = message
    else this.#tell(joined(this.#first, message))
  }
}

/** Their words differ with each request: a server that is down is down for both. */
function isSameTrouble(one: IssueMessage, other: IssueMessage): boolean {
  return one.severity === other.severity && one.issue.code === other.issue.code
}

function longer(one: Outage | undefined, other: Outage | undefined): Outage | undefined {
  if (one === undefined || other === undefined) return other ?? one
  return { ...other, forMs: Math.max(one.forMs, other.forMs), lost: Math.max(one.lost, other.lost) }
}

/** What both say, such as that the deadline passed, is said once. */
function joined(first: Closed, second: Closed): Closed {
  const words = [first.reason, second.reason].flatMap((reason) => reason.split('; '))
  const reason = [...new Set(words.filter((word) => word !== ''))].join('; ')
  return { ...first, complete: first.complete && second.complete, reason }
}
