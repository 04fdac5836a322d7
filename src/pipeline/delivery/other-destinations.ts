/** Destinations to which nothing is sent. */
import { DESTINATION, DESTINATION_STATES, RUN } from '../../core/counters.ts'
import type { DestinationName, DestinationState, RunId } from '../../core/types.ts'
import type { FromDelivery } from '../messages.ts'
import type { Served } from './scheduler.ts'

/** A sink whose store is the journal: its sums follow the journal's. */
export class InJournal implements Served {
  readonly run: RunId
  isClosed = false
  readonly #name: DestinationName
  readonly #journal: Float64Array
  readonly #block: Float64Array
  readonly #tell: (message: FromDelivery) => void
  #isFinishing = false

  /** @param journal the run's `RUN` counters */
  constructor(
    run: RunId,
    name: DestinationName,
    journal: Float64Array,
    block: Float64Array,
    tell: (message: FromDelivery) => void,
  ) {
    this.run = run
    this.#name = name
    this.#journal = journal
    this.#block = block
    this.#tell = tell
    block[DESTINATION.state] = DESTINATION_STATES.indexOf('live')
  }

  get hasGrown(): boolean {
    return !this.isClosed && this.#journal[RUN.seq]! > this.#block[DESTINATION.seq]!
  }

  turn(): number {
    const journal = this.#journal
    this.#block[DESTINATION.delivered] = journal[RUN.pointsBefore]! + journal[RUN.journaled]!
    this.#block[DESTINATION.recordsDelivered] = journal[RUN.recordsBefore]! + journal[RUN.recordsJournaled]!
    this.#block[DESTINATION.seq] = journal[RUN.seq]!
    if (this.#isFinishing && !this.isClosed) {
      this.isClosed = true
      this.#block[DESTINATION.state] = DESTINATION_STATES.indexOf('closed')
      this.#tell({ type: 'closed', run: this.run, destination: this.#name, complete: true, reason: '' })
    }
    return Infinity
  }

  finish(): void {
    this.#isFinishing = true
  }

  touch(): void {}
}

export interface UnsentParts {
  readonly run: RunId
  readonly name: DestinationName
  /** The destination's counters, with the sums of its cursors where it has any. */
  readonly block: Float64Array
  readonly tell: (message: FromDelivery) => void
  readonly state: DestinationState
  /** Why it is not complete when the run is finished. */
  readonly reason: string
}

/** A destination that this process sends nothing to: what it has from before counts, the rest is pending. */
export class Unsent implements Served {
  readonly run: RunId
  readonly hasGrown = false
  isClosed = false
  readonly #parts: UnsentParts
  #isFinishing = false

  constructor(parts: UnsentParts) {
    this.run = parts.run
    this.#parts = parts
    parts.block[DESTINATION.state] = DESTINATION_STATES.indexOf(parts.state)
  }

  turn(): number {
    if (this.#isFinishing && !this.isClosed) {
      this.isClosed = true
      const { run, name: destination, tell, reason } = this.#parts
      tell({ type: 'closed', run, destination, complete: false, reason })
    }
    return Infinity
  }

  finish(): void {
    this.#isFinishing = true
  }

  touch(): void {}
}
