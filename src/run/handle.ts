/** Joining a run from another thread. */
import { BroadcastChannel } from 'node:worker_threads'
import { COUNTERS_MIN_BYTES } from '../core/counters.ts'
import { type ErrorRecord, TraceletError } from '../core/errors.ts'
import type { RunId } from '../core/types.ts'
import { requestFlush, ring, untilFlushed } from '../ring/doorbell.ts'
import { isControl, MIN_LANE_SLOTS } from '../ring/layout.ts'
import { disabledAttachedRun } from './disabled-run.ts'
import { Issues } from './issues.ts'
import { DEFAULT_FLUSH_TIMEOUT_MS, type FlushOptions, RunLogger } from './logger.ts'
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
  /** Of a run in `mode: 'disabled'`: there is nothing behind it. */
  readonly isDisabled?: true
}

const issues = new Issues()
/** This thread's lane by the channel of the drain thread it leads to; its producers by run. */
const lanes = new Map<string, { lane: ThreadLane; runs: Map<number, AttachedRun> }>()

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
    thread = { lane: new ThreadLane(handle.control, handle, announce, report), runs: new Map() }
    lanes.set(handle.channel, thread)
    const { writer } = thread.lane
    process.once('exit', () => writer.close())
  }
  let run = thread.runs.get(handle.number)
  if (!run) {
    run = new AttachedRun(handle, thread.lane, report)
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
    Number.isSafeInteger(handle.number) &&
    handle.laneSlots >= MIN_LANE_SLOTS
  )
}

export class AttachedRun extends RunLogger {
  readonly id: RunId
  readonly #control: Int32Array

  /** @internal made by `attachRun` */
  constructor(handle: RunHandle, lane: ThreadLane, report: (issue: ErrorRecord) => void) {
    super(new RunProducer(lane.writer, handle.number, handle.counters, lane.takeSeries, report), report)
    this.id = handle.id
    this.#control = new Int32Array(handle.control)
  }

  /** Everything this thread logged so far is in the journal when this resolves; false when the time was up first. */
  flush(options: FlushOptions = {}): Promise<boolean> {
    this.mark()
    const ticket = requestFlush(this.#control)
    return untilFlushed(this.#control, ticket, options.timeoutMs ?? DEFAULT_FLUSH_TIMEOUT_MS)
  }
}
