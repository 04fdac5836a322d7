/** The sums of a run, read from shared memory: any time, from any thread, without asking anybody. */
import { monotonicNow } from '../core/clock.ts'
import {
  DESTINATION,
  DESTINATION_STATES,
  destinationCounters,
  PRODUCER,
  RUN,
  runCounters,
  sumOverProducers,
} from '../core/counters.ts'
import type { DestinationName, DestinationStats, Stats } from '../core/types.ts'

/** What main learned of a destination by message. */
export interface DestinationNews {
  url: string
  reason: string
}

export function readStats(
  counters: SharedArrayBuffer,
  destinations: readonly DestinationName[],
  news: ReadonlyMap<DestinationName, DestinationNews>,
  stalls: Stats['stalls'],
): Stats {
  const run = runCounters(counters)
  const sum = (word: number) => sumOverProducers(counters, word)
  // what came later in the pipeline is read first: a point must not be counted before it was accepted
  const entries = destinations.map(
    (name, index) => [name, destination(counters, index, run, news.get(name))] as const,
  )
  const lostDisk = run[RUN.lostDisk]!
  const journaled = run[RUN.journaled]!
  const coalesced = run[RUN.coalesced]!
  const records = { journaled: run[RUN.recordsJournaled]!, lostDisk: run[RUN.recordsLostDisk]! }
  const late = run[RUN.late]!
  const laneFull = sum(PRODUCER.lostLaneFull)
  const accepted = sum(PRODUCER.accepted)
  const unsyncedSince = run[RUN.unsyncedSince]!
  return {
    accepted,
    inRing: accepted - laneFull - lostDisk - journaled - coalesced,
    journaled,
    before: { points: run[RUN.pointsBefore]!, records: run[RUN.recordsBefore]! },
    coalesced,
    lost: { laneFull, disk: lostDisk },
    refused: sum(PRODUCER.refused),
    late,
    records: {
      accepted: sum(PRODUCER.recordsAccepted),
      journaled: records.journaled,
      lost: sum(PRODUCER.recordsLost) + records.lostDisk,
    },
    stalls,
    unsyncedMs: unsyncedSince === 0 ? 0 : monotonicNow() - unsyncedSince,
    destinations: Object.fromEntries(entries),
  }
}

function destination(
  counters: SharedArrayBuffer,
  index: number,
  run: Float64Array,
  news: DestinationNews | undefined,
): DestinationStats {
  const block = destinationCounters(counters, index)
  const at = (word: number) => block[word]!
  const settled =
    at(DESTINATION.delivered) + at(DESTINATION.filtered) + at(DESTINATION.rejected) + at(DESTINATION.corrupt)
  const recordsSettled =
    at(DESTINATION.recordsDelivered) +
    at(DESTINATION.recordsFiltered) +
    at(DESTINATION.recordsRejected) +
    at(DESTINATION.recordsCorrupt)
  return {
    delivered: at(DESTINATION.delivered),
    superseded: at(DESTINATION.superseded),
    filtered: at(DESTINATION.filtered),
    rejected: at(DESTINATION.rejected),
    corrupt: at(DESTINATION.corrupt),
    pending: run[RUN.pointsBefore]! + run[RUN.journaled]! - settled,
    records: {
      delivered: at(DESTINATION.recordsDelivered),
      filtered: at(DESTINATION.recordsFiltered),
      rejected: at(DESTINATION.recordsRejected),
      corrupt: at(DESTINATION.recordsCorrupt),
      pending: run[RUN.recordsBefore]! + run[RUN.recordsJournaled]! - recordsSettled,
    },
    state: DESTINATION_STATES[at(DESTINATION.state)] ?? 'opening',
    url: news?.url ?? '',
    reason: news?.reason ?? '',
  }
}
