/** What surrounds a delivery: its run, its destination, the disk, the clock. */
import type { RunInfo } from '../../core/types.ts'
import type { SinkDefinition } from '../../sinks/contract.ts'
import type { FromDelivery } from '../messages.ts'
import type { DeadLetter } from '../store/dead-letters.ts'
import type { Delivery } from './deliver.ts'
import type { Backlog } from './health.ts'
import type { CursorKeeper } from './ledger.ts'
import type { Account } from './limiter.ts'

export interface DeliveryGuard {
  /** False when another process has taken over. */
  touch(): boolean
  release(): void
}

/** Everything outside of it that a delivery uses. */
export interface DeliverySite {
  readonly run: RunInfo
  readonly name: string
  readonly definition: SinkDefinition
  readonly options: Readonly<Record<string, unknown>>
  readonly address: string
  /** `RUN` counters of the run while a writer appends to it; undefined for a run at rest. */
  readonly live: Float64Array | undefined
  /** The sequence number after the last one journaled. */
  journalSeq(): number
  /** The destination's counters. */
  readonly block: Float64Array
  readonly account: Account
  /** Whom all runs share that have this account, rows and uploads alike; not for show. */
  readonly accountName?: string
  /** What waits for the destination: rows and uploads together. */
  backlog?(): Backlog
  readonly cursors: CursorKeeper
  /** @throws TraceletError ERR_RUN_BUSY */
  takeGuard(): DeliveryGuard
  /** @throws TraceletError ERR_JOURNAL_WRITE */
  appendLetters(letters: readonly DeadLetter[]): void
  /** A place among the open runs of this destination; false when there is none: a wake follows. */
  takeSlot(delivery: Delivery, now: number): boolean
  giveSlot(delivery: Delivery): void
  /** True once another drain thread has taken over in this process. */
  isSuperseded(): boolean
  wake(delivery: Delivery): void
  /** It has opened, saved its first cursor, or closed. */
  onLandmark?(): void
  tell(message: FromDelivery): void
  /** Monotonic ms. */
  now(): number
  wallNow(): number
  random(): number
}
