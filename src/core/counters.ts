/**
 * The sums of one run in shared memory, so that any thread can read `stats()` without asking another.
 * Each word is a double written by one thread only; aligned 8-byte stores do not tear on 64-bit machines.
 *
 *   words 0 …            RUN block, written by the drain thread
 *   then PRODUCERS blocks of PRODUCER_WORDS, each written by one producer's thread
 *   then a block of DESTINATION_WORDS for each destination, written by its delivery thread
 */

export const RUN = {
  /** Int32: the number of the next producer. */
  nextProducer: 0,
  journaled: 1,
  coalesced: 2,
  lostDisk: 3,
  /** Points that came after finish(). */
  late: 4,
  recordsJournaled: 5,
  recordsLostDisk: 6,
  /** Next sequence number of the journal: everything below can be read from the files. */
  seq: 7,
  /** Monotonic ms of the oldest append not yet synced; 0 when all is. */
  unsyncedSince: 8,
  /** 1 once the writer has closed the run's journal. */
  closed: 9,
  /** What the journal held before this process: cursors count from the first record on. */
  pointsBefore: 10,
  recordsBefore: 11,
  /** Appends to the journal so far: close marks grow it without a sequence number. */
  appends: 12,
  /**
   * Written by the run's owner: monotonic ms after which nothing parked is put into a lane any more; 0 before
   * finish(); PARKED_COUNTED once the owner has counted as lost what nobody had settled by then.
   */
  parkedUntil: 13,
  /** Int32, written by delivery threads: 1 once somebody asked at a backend that the run be stopped. */
  stopRequested: 14,
} as const
export const RUN_WORDS = 16

export const PRODUCER = {
  /** Points that log() took. */
  accepted: 0,
  /** Those of them that found the lane full. */
  lostLaneFull: 1,
  /** Points refused with an error code; not accepted. */
  refused: 2,
  recordsAccepted: 3,
  recordsLost: 4,
  /** Of the records accepted: those that were given to the parking thread. */
  recordsParked: 5,
  /** Written by the parking thread's producer: those that it has put into its lane or given up. */
  recordsUnparked: 6,
  /** Written by the parking thread's producer: grows while that thread gets on with something. */
  parkingBeat: 7,
} as const
export const PRODUCER_WORDS = 8
/** In `RUN.parkedUntil`: a parking thread that still lives must count nothing more. */
export const PARKED_COUNTED = -1
/** Producers a run can have over its life, terminated ones included. */
export const PRODUCERS = 128

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
  elsewhere: 11,
  /** Files and bytes of records that are uploaded: settled, and met in the journal so far. */
  filesSent: 12,
  filesKnown: 13,
  bytesSent: 14,
  bytesKnown: 15,
  /** Monotonic ms since when the oldest of what is not settled has been waiting; 0 when nothing does. */
  waitingSince: 16,
} as const
/** Words of one cursor's deliveries: first those of rows, then those of uploads. */
export const CURSOR_WORDS = 24
export const DESTINATION_WORDS = 2 * CURSOR_WORDS
export const DESTINATION_STATES = ['opening', 'live', 'retrying', 'blocked', 'closed', 'offline'] as const

const DESTINATIONS_FROM = RUN_WORDS + PRODUCERS * PRODUCER_WORDS

/** Of the counters of a run without destinations. */
export const COUNTERS_MIN_BYTES = DESTINATIONS_FROM * 8

export function createCounters(destinations: number): SharedArrayBuffer {
  return new SharedArrayBuffer((DESTINATIONS_FROM + destinations * DESTINATION_WORDS) * 8)
}
export function runCounters(counters: SharedArrayBuffer): Float64Array {
  return new Float64Array(counters, 0, RUN_WORDS)
}
export function producerCounters(counters: SharedArrayBuffer, producer: number): Float64Array {
  return new Float64Array(counters, (RUN_WORDS + producer * PRODUCER_WORDS) * 8, PRODUCER_WORDS)
}
export function destinationCounters(counters: SharedArrayBuffer, destination: number): Float64Array {
  return new Float64Array(
    counters,
    (DESTINATIONS_FROM + destination * DESTINATION_WORDS) * 8,
    DESTINATION_WORDS,
  )
}

export function requestStop(counters: SharedArrayBuffer): void {
  Atomics.store(int32Word(counters, RUN.stopRequested), 0, 1)
}
/** A function that tells whether somebody asked for a stop, also while the thread never leaves a loop. */
export function stopRequestReader(counters: SharedArrayBuffer): () => boolean {
  const word = int32Word(counters, RUN.stopRequested)
  return () => Atomics.load(word, 0) === 1
}

/** Numbers a new producer; PRODUCERS or more when there is no block left. */
export function takeProducer(counters: SharedArrayBuffer): number {
  return Atomics.add(int32Word(counters, RUN.nextProducer), 0, 1)
}
function int32Word(counters: SharedArrayBuffer, word: number): Int32Array {
  return new Int32Array(counters, word * 8, 1)
}

/** Sum of one word over all producers of a run. */
export function sumOverProducers(counters: SharedArrayBuffer, word: number): number {
  const all = new Float64Array(counters, RUN_WORDS * 8, PRODUCERS * PRODUCER_WORDS)
  let sum = 0
  for (let at = word; at < all.length; at += PRODUCER_WORDS) sum += all[at]!
  return sum
}
