/**
 * What a delivery carries to its destination, as far as it makes a difference to its life: rows (points and small
 * records), or uploads.
 */
import type { OpenResult, Sink, SinkState } from '../../core/types.ts'
import type { CallPatience, TrackedCall } from './calls.ts'
import type { Health } from './health.ts'
import type { Ledger } from './ledger.ts'
import type { DeliverySite } from './site.ts'
import type { Trouble } from './trouble.ts'

export interface Cargo {
  /** It opens whatever there is to send: the backend is to know of the run. */
  readonly opensAnyway: boolean
  /** Another value whenever there may be more to read. */
  growth(): number
  /**
   * While parked: is there anything to open for? Asked without a ledger first, before anything is guarded.
   * @param isAtRest the journal gets no more
   */
  ask(ledger: Ledger | undefined, isAtRest: boolean, now: number): Ask
  /** The cursor has been read. */
  loaded(ledger: Ledger): void
  /** After every turn, once the cursor has been read. */
  look?(ledger: Ledger, now: number): void
  /** What the remote run is found by. */
  openState(ledger: Ledger): SinkState
  opened(result: Extract<OpenResult, { status: 'ready' }>, ledger: Ledger): void
  startSending(parts: SendingParts): Sending
  /** Nothing is open any more. */
  rest(): void
}

/**
 * 'go': there may be something. 'end': there is nothing and there will be nothing. A number: ask again then (monotonic
 * ms, Infinity for when woken).
 */
export type Ask = 'go' | 'end' | number | { readonly hopeless: string }

export interface SendingParts {
  readonly site: DeliverySite
  readonly sink: Sink
  readonly ledger: Ledger
  readonly health: Health
  readonly trouble: Trouble
  /** Runs a call of the sink, whose signal is aborted when it takes too long or at the deadline. */
  readonly track: (call: TrackedCall, patience?: CallPatience) => void
  readonly wake: () => void
}

/** What happens while the run is open. */
export interface Sending {
  /** A call since the opening was answered. */
  readonly hasHadTurn: boolean
  readonly underWay: number
  /** Whether there is nothing to do as long as the journal is not written further. */
  isIdle(journalSeq: number): boolean
  /**
   * Starts one call, if there is anything to send and it may be sent.
   * @param isEnding the journal gets no more
   * @returns monotonic time of the next call, Infinity for after an answer or growth, 'settled' at the end
   */
  send(isEnding: boolean, now: number): number | 'settled'
  /** @throws TraceletError when the disk refuses */
  save(now: number): void
  /** Answers that come later change nothing any more. */
  seal(): void
}
