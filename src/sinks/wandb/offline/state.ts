/** What the cursor keeps of an offline run: with the journal from the cursor on it says what to write. */
import type { SinkState } from '../../../core/types.ts'
import type { AxesState } from '../axes.ts'
import type { HeldEntries } from '../state.ts'

export interface OfflineState {
  /** Name of the run's directory: the folder may move. */
  readonly directory: string
  /** Settled length of the file, without an Exit. */
  readonly bytes: number
  /** Records within it. */
  readonly records: number
  /** `_step` of the last row; -1 before the first. */
  readonly lastStep: number
  /** Rows that have not got their own step. */
  readonly renumbered: number
  /** Values that wait for the row of their step. */
  readonly held?: readonly HeldEntries[]
  readonly axes?: AxesState
  readonly summary?: unknown
  /** Bytes since the last summary, and what it took. */
  readonly sinceSummary: number
  readonly summaryBytes: number
  /** Bytes of the records that make config and tags: see kept-records.ts. */
  readonly kept: number
  readonly exit?: ExitState
}

export interface ExitState {
  readonly code: number
  /** Seconds. */
  readonly runtimeS: number
}

export function readState(state: SinkState): OfflineState | undefined {
  const isOurs = typeof state?.directory === 'string' && typeof state.bytes === 'number'
  return isOurs ? (state as unknown as OfflineState) : undefined
}
