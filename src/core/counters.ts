/**
 * The sums of one run in shared memory, so that any thread can read `stats()` without asking another.
 * Each word is a double written by one thread only; aligned 8-byte stores do not tear on 64-bit machines.
 *
 *   words 0 …            RUN block, written by the drain thread
 *   words RUN_WORDS + d · DESTINATION_WORDS …   block of destination d, written by its delivery thread
 */

export const RUN = {
  /** Points the drain thread took from lanes for this run. */
  taken: 0,
  journaled: 1,
  coalesced: 2,
  lostDisk: 3,
  /** Points that came after finish(). */
  late: 4,
  recordsTaken: 5,
  recordsJournaled: 6,
  recordsLostDisk: 7,
  /** Next sequence number of the journal: everything below can be read from the files. */
  seq: 8,
  /** Monotonic ms of the oldest append not yet synced; 0 when all is. */
  unsyncedSince: 9,
  /** 1 once the writer has closed the run's journal. */
  closed: 10,
} as const
export const RUN_WORDS = 16

export const DESTINATION = {
  delivered: 0,
  superseded: 1,
  filtered: 2,
  rejected: 3,
  corrupt: 4,
  recordsDelivered: 5,
  recordsFiltered: 6,
  recordsRejected: 7,
  recordsCorrupt: 8,
  /** The cursor's sequence number. */
  seq: 9,
  /** Index into DESTINATION_STATES. */
  state: 10,
} as const
export const DESTINATION_WORDS = 16
export const DESTINATION_STATES = ['opening', 'live', 'retrying', 'blocked', 'closed'] as const

export function createCounters(destinations: number): SharedArrayBuffer {
  return new SharedArrayBuffer((RUN_WORDS + destinations * DESTINATION_WORDS) * 8)
}
export function runCounters(counters: SharedArrayBuffer): Float64Array {
  return new Float64Array(counters, 0, RUN_WORDS)
}
export function destinationCounters(counters: SharedArrayBuffer, destination: number): Float64Array {
  return new Float64Array(counters, (RUN_WORDS + destination * DESTINATION_WORDS) * 8, DESTINATION_WORDS)
}
