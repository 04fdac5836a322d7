/** The sums of a run, read from shared memory: any time, from any thread, without asking anybody. */
import { monotonicNow } from '../core/clock.ts'
import { PRODUCER, RUN, runCounters, sumOverProducers } from '../core/counters.ts'
import type { DestinationName, Stats } from '../core/types.ts'
import { type DestinationNews, destinationStats } from '../pipeline/destination-stats.ts'

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
    (name, index) => [name, destinationStats(counters, index, news.get(name))] as const,
  )
  const lostDisk = run[RUN.lostDisk]!
  const journaled = run[RUN.journaled]!
  const coalesced = run[RUN.coalesced]!
  const recordsJournaled = run[RUN.recordsJournaled]!
  const recordsLost = run[RUN.recordsLostDisk]! + sum(PRODUCER.recordsLost)
  const unparked = sum(PRODUCER.recordsUnparked)
  const recordsParked = sum(PRODUCER.recordsParked) - unparked
  const recordsAccepted = sum(PRODUCER.recordsAccepted)
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
      accepted: recordsAccepted,
      // one is settled a moment after it was journaled or counted as lost
      parked: Math.max(0, Math.min(recordsParked, recordsAccepted - recordsJournaled - recordsLost)),
      journaled: recordsJournaled,
      lost: recordsLost,
    },
    stalls,
    unsyncedMs: unsyncedSince === 0 ? 0 : monotonicNow() - unsyncedSince,
    destinations: Object.fromEntries(entries),
  }
}
