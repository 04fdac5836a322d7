/** The sums of one destination, read from a run's counters: by `stats()` while it lives, by `sync` at rest. */
import { monotonicNow } from '../core/clock.ts'
import {
  CURSOR_WORDS,
  DESTINATION,
  DESTINATION_STATES,
  destinationCounters,
  RUN,
  runCounters,
} from '../core/counters.ts'
import type { DestinationState, DestinationStats } from '../core/types.ts'

/** What is learned of a destination by message. */
export interface DestinationNews {
  url: string
  reason: string
}

export function destinationStats(
  counters: SharedArrayBuffer,
  index: number,
  news: DestinationNews | undefined,
): DestinationStats {
  const run = runCounters(counters)
  const block = destinationCounters(counters, index)
  const rows = (word: number) => block[word]!
  const uploads = (word: number) => block[CURSOR_WORDS + word]!
  const both = (word: number) => rows(word) + uploads(word)
  const { delivered, superseded, filtered, rejected, corrupt } = DESTINATION
  const { recordsDelivered, recordsFiltered, recordsRejected, recordsCorrupt } = DESTINATION
  const points = run[RUN.pointsBefore]! + run[RUN.journaled]!
  const records = run[RUN.recordsBefore]! + run[RUN.recordsJournaled]!
  const settled = [delivered, filtered, rejected, corrupt].map(both)
  const recordsSettled = [recordsDelivered, recordsFiltered, recordsRejected, recordsCorrupt].map(both)
  const pending = points - sum(settled)
  const recordsPending = records - sum(recordsSettled)
  return {
    delivered: rows(delivered),
    superseded: rows(superseded),
    filtered: rows(filtered),
    rejected: rows(rejected),
    corrupt: rows(corrupt),
    pending,
    records: {
      delivered: both(recordsDelivered),
      filtered: both(recordsFiltered),
      rejected: both(recordsRejected),
      corrupt: both(recordsCorrupt),
      pending: recordsPending,
    },
    uploads: {
      files: { sent: uploads(DESTINATION.filesSent), known: uploads(DESTINATION.filesKnown) },
      bytes: { sent: uploads(DESTINATION.bytesSent), known: uploads(DESTINATION.bytesKnown) },
    },
    lagMs: pending === 0 && recordsPending === 0 ? 0 : ageOf(rows(DESTINATION.waitingSince)),
    state: joinedState(stateOf(rows(DESTINATION.state)), stateOf(uploads(DESTINATION.state))),
    url: news?.url ?? '',
    reason: news?.reason ?? '',
  }
}

/** What waits for the destination, and what the run has lost on the way to its journal. */
export function backlogOf(
  counters: SharedArrayBuffer,
  index: number,
): { readonly points: number; readonly records: number; readonly lost: number } {
  const { pending, records } = destinationStats(counters, index, undefined)
  const run = runCounters(counters)
  return { points: pending, records: records.pending, lost: run[RUN.lostDisk]! + run[RUN.recordsLostDisk]! }
}

function ageOf(since: number): number {
  return since === 0 ? 0 : Math.max(0, monotonicNow() - since)
}

function stateOf(word: number): DestinationState {
  return DESTINATION_STATES[word] ?? 'opening'
}

/** Rows come first; what uploads wait for, and that they go on, shows where rows have nothing to say. */
function joinedState(rows: DestinationState, uploads: DestinationState): DestinationState {
  if (rows !== 'live' && rows !== 'closed') return rows
  if (uploads === 'retrying' || uploads === 'blocked') return uploads
  return rows === 'closed' && uploads === 'live' ? uploads : rows
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}
