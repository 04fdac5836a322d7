/** Destinations to which nothing is sent. */
import { DESTINATION, DESTINATION_STATES, RUN } from '../../core/counters.ts'
import type { ErrorRecord } from '../../core/errors.ts'
import type { DestinationName, RunId } from '../../core/types.ts'
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

/** A destination whose sink could not be loaded: told at once, and again when the run is finished. */
export class Unusable implements Served {
  readonly run: RunId
  readonly hasGrown = false
  isClosed = false
  readonly #name: DestinationName
  readonly #issue: ErrorRecord
  readonly #tell: (message: FromDelivery) => void
  #isFinishing = false

  constructor(
    run: RunId,
    name: DestinationName,
    block: Float64Array,
    issue: ErrorRecord,
    tell: (message: FromDelivery) => void,
  ) {
    this.run = run
    this.#name = name
    this.#issue = issue
    this.#tell = tell
    block[DESTINATION.state] = DESTINATION_STATES.indexOf('blocked')
    tell({ type: 'issue', run, destination: name, severity: 'blocked', issue })
  }

  turn(): number {
    if (this.#isFinishing && !this.isClosed) {
      this.isClosed = true
      const { message: reason } = this.#issue
      this.#tell({ type: 'closed', run: this.run, destination: this.#name, complete: false, reason })
    }
    return Infinity
  }

  finish(): void {
    this.#isFinishing = true
  }

  touch(): void {}
}
