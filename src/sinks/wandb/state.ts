/**
 * What the cursor keeps of a run at W&B. With the journal from the cursor on it says all that is needed to make the
 * same lines again: the n-th line of a file is the n-th line forever.
 */
import type { AxesState } from './axes.ts'

/** The exit code that a run is closed with at W&B, by how it ended. */
export const EXIT_CODES = { finished: 0, failed: 1, killed: 255 } as const

export interface WandbState {
  /** As the server told when the run was made: the path of the run there. */
  readonly entity: string
  readonly project: string
  /** The run's id in addresses. */
  readonly run: string
  /** The server's own id of it, for later updates. */
  readonly storageId: string
  /** Lines of each file that the server has for sure. */
  readonly lines: LineCounts
  /** `_step` of the last line of the history; -1 before the first. */
  readonly lastStep: number
  /** Rows whose step was not above the one before: they have got the next free `_step`. */
  readonly renumbered: number
  /** Accepted, and to go with the next request. */
  readonly held?: HeldState
  /** Which series have an axis, as the records behind the cursor say, and where each axis is. */
  readonly axes?: AxesState
  /** How the run was closed: what comes after that says so again. Absent while it is open. */
  readonly exitCode?: number
  /** What the summary needs beside the lines to go on: see summary.ts. */
  readonly summary?: unknown
}

export interface LineCounts {
  /** `wandb-history.jsonl` */
  readonly history: number
  /** `wandb-events.jsonl` */
  readonly events: number
  /** `output.log` */
  readonly output: number
}

export interface HeldState {
  /** Values that wait for the row of their step: step, time (ms), then key and JSON text of each. */
  readonly entries: readonly HeldEntries[]
  /** Lines of `output.log`, ready to be sent. */
  readonly output: readonly string[]
}
export interface HeldEntries {
  readonly step: number
  readonly time: number
  readonly values: readonly (readonly [key: string, json: string])[]
  /** They may stand in a line of their own already, whose answer was lost: they wait for no row any more. */
  readonly isSealed?: true
}
