/** Joining a run from another thread. */
import { BroadcastChannel } from 'node:worker_threads'
import { monotonicNow } from '../core/clock.ts'
import { COUNTERS_MIN_BYTES, RUN, runCounters, stopRequestReader } from '../core/counters.ts'
import { type ErrorRecord, TraceletError } from '../core/errors.ts'
import type { RunId } from '../core/types.ts'
import { Parking } from '../pipeline/parking/parking.ts'
import { requestFlush, ring, untilFlushed } from '../ring/doorbell.ts'
import { isControl, MIN_LANE_SLOTS } from '../ring/layout.ts'
import { disabledAttachedRun } from './disabled-run.ts'
import { type FlushOptions, flushTimeoutMs } from './end.ts'
import { Issues } from './issues.ts'
import { RunLogger } from './logger.ts'
import { MediaLog } from './media/media-log.ts'
import { RunProducer } from './producer.ts'
import { ThreadLane, type ThreadLaneOptions } from './thread-lane.ts'

/** Plain data: a MessagePort in it would have to be transferred, and to one thread only. */
export interface RunHandle extends ThreadLaneOptions {
  readonly tracelet: 1
  readonly id: RunId
  readonly number: number
  readonly control: SharedArrayBuffer
  readonly channel: string
  readonly counters: SharedArrayBuffer
  readonly folder: string
  readonly durability: 'process' | 'power'
  /** Of steps that are not given; default 0. */
  readonly firstStep?: number
  /** Of a run in `mode: 'disabled'`: there is nothing behind it. */
  readonly isDisabled?: true
}

const issues = new Issues()
/** This thread's lane by the channel of the drain thread it leads to; its producers by run. */
const lanes = new Map<string, Thread>()

interface Thread {
  readonly lane: ThreadLane
  readonly parking: Parking
  readonly runs: Map<number, AttachedRun>
}
/** Longest wait of a thread that ends for what it has parked. */
const EXIT_PARKED_MS = 5000

/**
 * Logs to a run of another thread: `attachRun(workerData.handle).log({ loss }, { step })`. Each thread gets a lane
 * of its own, so threads never wait for each other.
 * @param handle what `run.handle()` gave
 * @throws TraceletError ERR_HANDLE
 */
export function attachRun(handle: RunHandle): AttachedRun {
  if (handle?.tracelet === 1 && handle.isDisabled) return disabledAttachedRun(handle)
  if (!isHandle(handle)) {
    throw new TraceletError(
      'ERR_HANDLE',
      'attachRun() takes what run.handle() gave, sent by workerData or postMessage',
    )
  }
  const report = (issue: ErrorRecord) => issues.report(issue)
  let thread = lanes.get(handle.channel)
  if (!thread) {
    const channel = new BroadcastChannel(handle.channel)
    channel.unref()
    const words = new Int32Array(handle.control)
    const announce = (lane: SharedArrayBuffer) => {
      channel.postMessage(lane)
      ring(words)
    }
    const parking = new Parking({
      control: handle.control,
      channel: handle.channel,
      blockMaxMs: handle.overflow === 'block' ? handle.blockMaxMs : 0,
      report: (issue, key) => issues.report({ ...issue, severity: 'error' }, key),
    })
    const lane = new ThreadLane(handle.control, handle, announce, report)
    thread = { lane, parking, runs: new Map() }
    lanes.set(handle.channel, thread)
    process.once('exit', () => {
      // the parking thread ends with this one
      parking.waitEmpty(monotonicNow() + EXIT_PARKED_MS)
      parking.collect()
      lane.writer.close()
    })
  }
  let run = thread.runs.get(handle.number)
  if (!run) {
    // a thread may serve runs for days
    for (const [number, old] of thread.runs) {
      if (!old.isClosed) continue
      thread.runs.delete(number)
      thread.parking.forget(number)
    }
    run = new AttachedRun(handle, thread.lane, thread.parking)
    thread.runs.set(handle.number, run)
  }
  return run
}

function isHandle(handle: RunHandle): boolean {
  return (
    handle?.tracelet === 1 &&
    isControl(handle.control) &&
    handle.counters instanceof SharedArrayBuffer &&
    handle.counters.byteLength >= COUNTERS_MIN_BYTES &&
    typeof handle.channel === 'string' &&
    typeof handle.folder === 'string' &&
    Number.isSafeInteger(handle.number) &&
    handle.laneSlots >= MIN_LANE_SLOTS
  )
}

export class AttachedRun extends RunLogger {
  readonly id: RunId
  readonly #control: Int32Array
  readonly #sums: Float64Array
  readonly #parking: Parking
  readonly #isStopRequested: () => boolean

  /** @internal made by `attachRun` */
  constructor(handle: RunHandle, lane: ThreadLane, parking: Parking) {
    const report = (issue: ErrorRecord, key?: string) => issues.report(issue, key)
    const { number, counters, firstStep } = handle
    const producer = new RunProducer(lane.writer, number, counters, lane.takeSeries, report, firstStep)
    super(producer, report, new MediaLog(producer, handle, parking, report))
    this.id = handle.id
    this.#control = new Int32Array(handle.control)
    this.#sums = runCounters(handle.counters)
    this.#parking = parking
    this.#isStopRequested = stopRequestReader(handle.counters)
  }

  /** @internal whether its owner has finished it */
  get isClosed(): boolean {
    return this.#sums[RUN.closed] === 1
  }

  /** Somebody asked at a backend that the run be stopped; as `Run.stopRequested`. */
  get stopRequested(): boolean {
    return this.#isStopRequested()
  }

  /** Everything this thread logged so far is in the journal when this resolves; false when the time was up first. */
  async flush(options: FlushOptions = {}): Promise<boolean> {
    this.mark()
    const deadlineAt = monotonicNow() + flushTimeoutMs(options, (issue) => issues.report(issue))
    const isTaken = await this.#parking.untilEmpty(deadlineAt)
    const ticket = requestFlush(this.#control)
    const isJournaled = await untilFlushed(this.#control, ticket, deadlineAt - monotonicNow())
    return isTaken && isJournaled
  }
}
