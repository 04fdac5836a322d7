/** One run on the parking thread's side: its blobs, its sums, and the lane its records go through. */
import { monotonicNow } from '../../core/clock.ts'
import { PARKED_COUNTED, PRODUCER, producerCounters, RUN, runCounters } from '../../core/counters.ts'
import type { ErrorRecord } from '../../core/errors.ts'
import type { RunRecord } from '../../core/types.ts'
import type { LaneWriter } from '../../ring/lane-writer.ts'
import { LANE_RECORD, maxRecordBytes } from '../../ring/layout.ts'
import { encodeRecord } from '../journal/records.ts'
import { BlobStore } from '../store/blobs.ts'
import type { ParkedRun as RunAnnouncement } from './messages.ts'

/** Longest wait for room in the lane, which only a drain thread that is stuck makes long. */
const ROOM_MAX_MS = 10_000
const ROOM_LOOK_MS = 5
const NEVER = new Int32Array(new SharedArrayBuffer(4))

export const OVER: ErrorRecord = { code: 'ERR_DEADLINE', message: 'the run ended before it was copied' }

export class ParkedRun {
  readonly #run: RunAnnouncement
  readonly #lane: LaneWriter
  readonly #sums: Float64Array
  readonly #counts: Float64Array
  #store: BlobStore | undefined

  constructor(run: RunAnnouncement, producer: number, lane: LaneWriter) {
    this.#run = run
    this.#lane = lane
    this.#sums = runCounters(run.counters)
    this.#counts = producerCounters(run.counters, producer)
  }

  /** @throws Error of the system when the folder cannot be made */
  get store(): BlobStore {
    this.#store ??= new BlobStore(this.#run.folder, this.#run.durability)
    return this.#store
  }

  /** Whether the run's deadline for what is parked has passed. */
  get isOver(): boolean {
    const until = this.#sums[RUN.parkedUntil]!
    return until !== 0 && monotonicNow() >= until
  }

  /** Says that something is going on. */
  beat(): void {
    this.#counts[PRODUCER.parkingBeat]!++
  }

  /** Puts the record into the lane, waiting for room; why not, if it could not. Counted by `settle`. */
  put(record: RunRecord): ErrorRecord | undefined {
    const bytes = encodeRecord(record)
    if (bytes.length > maxRecordBytes(this.#lane.capacity))
      return { code: 'ERR_VALUE_TOO_LONG', message: 'it does not fit into a record' }
    const deadline = monotonicNow() + ROOM_MAX_MS
    while (!this.#lane.pushRecord(LANE_RECORD.record, this.#run.number, 0, bytes)) {
      if (this.isOver) return OVER
      if (monotonicNow() > deadline) return { code: 'ERR_LANE_FULL', message: 'the ring stayed full' }
      Atomics.wait(NEVER, 0, 0, ROOM_LOOK_MS)
    }
    return undefined
  }

  /** Counts a job that was put into the lane or given up, unless the run's owner has counted it by now. */
  settle(isLost: boolean): void {
    if (this.#sums[RUN.parkedUntil] === PARKED_COUNTED) return
    if (isLost) this.#counts[PRODUCER.recordsLost]!++
    this.#counts[PRODUCER.recordsUnparked]!++
  }
}
