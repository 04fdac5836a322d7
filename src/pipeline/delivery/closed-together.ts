/** A destination with two deliveries is closed when both are, and complete when both are. */
import type { FromDelivery } from '../messages.ts'

type Closed = Extract<FromDelivery, { type: 'closed' }>

export class ClosedTogether {
  readonly #tell: (message: FromDelivery) => void
  #first: Closed | undefined

  constructor(tell: (message: FromDelivery) => void) {
    this.#tell = tell
  }

  tell(message: FromDelivery): void {
    if (message.type !== 'closed') this.#tell(message)
    else if (this.#first === undefined) this.#first = message
    else this.#tell(joined(this.#first, message))
  }
}

function joined(first: Closed, second: Closed): Closed {
  const reasons = new Set([first.reason, second.reason].filter((reason) => reason !== ''))
  return { ...first, complete: first.complete && second.complete, reason: [...reasons].join('; ') }
}
