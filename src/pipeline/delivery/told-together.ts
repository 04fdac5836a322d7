/**
 * A destination with two deliveries is closed when both are, complete when both are, and has recovered when neither
 * is in trouble.
 */
import type { FromDelivery } from '../messages.ts'

type Closed = Extract<FromDelivery, { type: 'closed' }>
type Tell = (message: FromDelivery) => void

export class ToldTogether {
  readonly #tell: Tell
  readonly #inTrouble = new Set<Tell>()
  #first: Closed | undefined

  constructor(tell: Tell) {
    this.#tell = tell
  }

  /** For one of the two. */
  half(): Tell {
    const half: Tell = (message) => {
      if (message.type === 'closed') this.#closed(message)
      else if (this.#isNews(half, message)) this.#tell(message)
    }
    return half
  }

  #isNews(half: Tell, message: FromDelivery): boolean {
    if (message.type !== 'issue' || message.severity === 'notice') return true
    if (message.severity === 'recovered') this.#inTrouble.delete(half)
    else this.#inTrouble.add(half)
    return message.severity !== 'recovered' || this.#inTrouble.size === 0
  }

  #closed(message: Closed): void {
    if (this.#first === undefined) this.#first = message
    else this.#tell(joined(this.#first, message))
  }
}

function joined(first: Closed, second: Closed): Closed {
  const reasons = new Set([first.reason, second.reason].filter((reason) => reason !== ''))
  return { ...first, complete: first.complete && second.complete, reason: [...reasons].join('; ') }
}
