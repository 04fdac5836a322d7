/** What a journal's writer is opened with. */
import type { JournalWriter } from './writer.ts'

export interface JournalWriterOptions {
  /** The run's folder; must be there. */
  readonly folder: string
  readonly runId: string
  /** 'drain': the same process as before, its drain thread was restarted: its lanes go on. */
  readonly session: 'process' | 'drain'
  /** Random text of the process: the same in each of its drain threads, another in every other process. */
  readonly nonce: string
  /** Bytes of frames after which a segment is ended. Default 64 MiB. */
  readonly segmentBytes?: number
  /**
   * How far some destination has settled the run (the largest cursor: its sequence number, and how many of those
   * below it were points). Numbers below it are not used again, even if a power cut took that part of the journal.
   */
  readonly floor?: { readonly seq: number; readonly points: number }
  /** Told of every append; closes descriptors when they are synced. Absent: nothing is synced. */
  readonly syncer?: WriterSyncer
  /** Default: one descriptor of its own, open until `close()`. */
  readonly descriptors?: WriterDescriptors
  /** Makes the run's folder again when somebody has deleted it. Absent: nothing is written any more then. */
  readonly onMissingFolder?: () => void
}

/** What the sync thread's reports come back with. */
export interface JournalSyncId {
  readonly writer: JournalWriter
  readonly segment: number
}
export interface WriterSyncer {
  dirty(fd: number, id: JournalSyncId, bytes: number, now: number): void
  dirtyFolder(folder: string): void
  closeAfterSync(fd: number): void
}
export interface WriterDescriptors {
  /** Throws when the file is not there. */
  acquire(path: string): number
  /** Takes over the descriptor of a file that was just made. Absent: it is closed and acquired again. */
  adopt?(path: string, fd: number): void
  close(path: string): void
  /** The descriptor of the file if it is open just now. */
  held?(path: string): number | undefined
}
