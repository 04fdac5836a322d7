/**
 * The logging thread's side of its parking thread: hands jobs over, bounds what is parked, waits for it, and sees
 * to it that every job is counted should the thread die. Made with the first job; keeps no process alive but for a
 * snapshot that somebody waits for.
 */
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  type Transferable,
  Worker,
} from 'node:worker_threads'
import { monotonicNow } from '../../core/clock.ts'
import {
  PARKED_COUNTED,
  PRODUCER,
  PRODUCERS,
  producerCounters,
  RUN,
  runCounters,
  takeProducer,
} from '../../core/counters.ts'
import type { ErrorRecord } from '../../core/errors.ts'
import { workerEnvironment, workerUrl } from '../worker-url.ts'
import { FREED_BYTES, LEDGER, LEDGER_BYTES, takeIssue } from './ledger.ts'
import type { FromParking, Job, ParkedRun, ParkingStart, Snapshot, ToParking } from './messages.ts'
import { jobName } from './parked-record.ts'

/** Most bytes that wait in memory to be kept, per thread that logs. */
export const MAX_PARKED_BYTES = 256 * 2 ** 20
const WAIT_SLICE_MS = 20
const POLL_MS = 2

export interface ParkingOptions {
  /** Of the drain thread that takes the parking thread's lane. */
  readonly control: SharedArrayBuffer
  readonly channel: string
  /** Longest wait of a call that finds too much parked; 0 where nothing is to wait. */
  readonly blockMaxMs: number
  /**
   * @param key what counts as the same trouble
   * @param run number of the run that it is about
   */
  readonly report: (issue: ErrorRecord, key: string, run?: number) => void
}

/** A job that has not been seen done. */
interface Pending {
  readonly number: number
  readonly what: string
  /** The parking thread's block in the counters of the job's run, and the run's own. */
  readonly counts: Float64Array
  readonly sums: Float64Array
  readonly settle: ((snapshot: Snapshot) => void) | undefined
}

/** A thread and what it was given. */
interface Living {
  readonly worker: Worker
  readonly port: MessagePort
  readonly words: Int32Array
  readonly freed: Float64Array
  readonly runs: Set<number>
  readonly given: { media: number; files: number; bytes: number }
  readonly pending: { readonly media: Pending[]; readonly files: Pending[] }
}

export class Parking {
  readonly #options: ParkingOptions
  #living: Living | undefined
  /** Number of the parking thread's block in each run's counters: a successor goes on with it. */
  readonly #producers = new Map<number, number>()
  #refs = 0
  #isRefusing = false

  constructor(options: ParkingOptions) {
    this.#options = options
  }

  /** Takes a producer of the run for the parking thread now: other threads may have taken all by its first job. */
  reserve({ number, counters }: Pick<ParkedRun, 'number' | 'counters'>): void {
    if (!this.#producers.has(number)) this.#producers.set(number, takeProducer(counters))
  }

  /**
   * Hands a job over; its bytes are transferred. Waits for room as long as a full lane may make a call wait.
   * @param settle called with what became of an artifact, when the event loop turns
   * @returns why not, if it could not: nothing is counted then
   */
  park(
    run: ParkedRun,
    job: Job,
    transfer: readonly Transferable[],
    settle?: (snapshot: Snapshot) => void,
  ): ErrorRecord | undefined {
    this.reserve(run)
    const producer = this.#producers.get(run.number)!
    if (producer >= PRODUCERS) {
      return { code: 'ERR_HANDLE', message: `a run takes at most ${PRODUCERS} producers` }
    }
    if (job.bytes > MAX_PARKED_BYTES) {
      return {
        code: 'ERR_VALUE_TOO_LONG',
        message: `it takes ${job.bytes} bytes, but at most ${MAX_PARKED_BYTES} can wait to be kept; log it as an artifact`,
      }
    }
    const living = (this.#living ??= this.#begin())
    this.#collect(living)
    if (!this.#makeRoom(living, job.bytes)) {
      return {
        code: 'ERR_LANE_FULL',
        message: `${MAX_PARKED_BYTES} bytes of images, tables, texts or files were waiting to be kept for ${this.#options.blockMaxMs} ms: the disk is slower than what is logged`,
      }
    }
    if (!living.runs.has(run.number)) {
      living.runs.add(run.number)
      this.#post(living, { type: 'run', run, producer })
    }
    const number = living.given[job.class] + 1
    this.#post(living, { type: 'job', job, number }, transfer)
    living.given[job.class]++
    living.given.bytes += job.bytes
    living.pending[job.class].push({
      number,
      what: jobName(job),
      counts: producerCounters(run.counters, producer),
      sums: runCounters(run.counters),
      settle,
    })
    return undefined
  }

  /** Everything parked so far by this thread is in its lane, or given up, when this resolves true. */
  async untilEmpty(deadlineAt: number): Promise<boolean> {
    const living = this.#living
    if (!living) return true
    const { media, files } = living.given
    while (!this.#isDone(living, media, files) && this.#living === living) {
      if (monotonicNow() >= deadlineAt) return false
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    this.#collect(living)
    return true
  }

  /** The same, blocking this thread. */
  waitEmpty(deadlineAt: number): boolean {
    const living = this.#living
    if (!living) return true
    const { media, files } = living.given
    for (;;) {
      const seen = Atomics.load(living.words, LEDGER.changes)
      if (this.#isDone(living, media, files)) break
      if (monotonicNow() >= deadlineAt) return false
      Atomics.wait(living.words, LEDGER.changes, seen, WAIT_SLICE_MS)
    }
    this.#collect(living)
    return true
  }

  /** The run is finished. */
  forget(run: number): void {
    this.#producers.delete(run)
    if (this.#living?.runs.delete(run)) this.#post(this.#living, { type: 'forget', run })
  }

  /** Tells the user what the parking thread has to say, without waiting for the event loop. */
  collect(): void {
    if (this.#living) this.#collect(this.#living)
  }

  /** While somebody waits for a snapshot the process stays alive. */
  ref(): void {
    if (this.#refs++ === 0) this.#living?.port.ref()
  }
  unref(): void {
    if (--this.#refs === 0) this.#living?.port.unref()
  }

  #begin(): Living {
    const ledger = new SharedArrayBuffer(LEDGER_BYTES)
    const { port1, port2 } = new MessageChannel()
    const { control, channel } = this.#options
    const worker = new Worker(workerUrl('./parking-thread', import.meta.url), {
      workerData: { port: port2, ledger, control, channel } satisfies ParkingStart,
      transferList: [port2],
      execArgv: [],
      env: workerEnvironment(),
      name: 'tracelet-parking',
    })
    const living: Living = {
      worker,
      port: port1,
      words: new Int32Array(ledger),
      freed: new Float64Array(ledger),
      runs: new Set(),
      given: { media: 0, files: 0, bytes: 0 },
      pending: { media: [], files: [] },
    }
    port1.on('message', (message: FromParking) => this.#receive(living, message))
    if (this.#refs === 0) port1.unref()
    worker.unref()
    let reason = 'ended'
    worker.on('error', (error) => {
      reason = `failed: ${error instanceof Error ? error.message : String(error)}`
    })
    worker.on('exit', () => this.#bury(living, reason))
    return living
  }

  /** Forgets jobs that are done, hears what there is to hear. */
  #collect(living: Living): void {
    for (let got = receiveMessageOnPort(living.port); got; got = receiveMessageOnPort(living.port)) {
      this.#receive(living, got.message as FromParking)
    }
    const { media } = living.pending
    const done = Atomics.load(living.words, LEDGER.media)
    // artifacts are forgotten when their snapshot is heard
    let known = 0
    while (known < media.length && media[known]!.number <= done) known++
    media.splice(0, known)
  }

  #receive(living: Living, message: FromParking): void {
    if (message.type === 'files') {
      const { files } = living.pending
      const index = files.findIndex(({ number }) => number === message.number)
      if (index >= 0) files.splice(index, 1)[0]!.settle?.(message.snapshot)
    } else if (takeIssue(living.words, message.number))
      this.#options.report(message.issue, message.key, message.run)
  }

  /** Whether so many jobs of each class, the first ones, are settled. */
  #isDone(living: Living, media: number, files: number): boolean {
    this.#collect(living)
    const isSettled = (pending: readonly Pending[], count: number) =>
      !((pending[0]?.number ?? Infinity) <= count)
    return isSettled(living.pending.media, media) && isSettled(living.pending.files, files)
  }

  #makeRoom(living: Living, bytes: number): boolean {
    const fits = () => living.given.bytes - living.freed[FREED_BYTES]! + bytes <= MAX_PARKED_BYTES
    // as with a full lane: who has waited in vain does not wait again before there was room
    const deadline = monotonicNow() + (this.#isRefusing ? 0 : this.#options.blockMaxMs)
    for (;;) {
      const seen = Atomics.load(living.words, LEDGER.changes)
      this.#isRefusing = !fits()
      if (!this.#isRefusing) return true
      const left = deadline - monotonicNow()
      if (left <= 0) return false
      Atomics.wait(living.words, LEDGER.changes, seen, Math.min(left, WAIT_SLICE_MS))
    }
  }

  /** The thread is gone: what it had not settled is lost, and said so; the next job makes another thread. */
  #bury(living: Living, reason: string): void {
    this.#collect(living)
    const lost: string[] = []
    // what is settled is pending no more
    for (const { what, counts, sums, settle } of [...living.pending.media, ...living.pending.files]) {
      // the run's owner may have counted it by now
      if (sums[RUN.parkedUntil] !== PARKED_COUNTED) {
        counts[PRODUCER.recordsLost]!++
        counts[PRODUCER.recordsUnparked]!++
        lost.push(what)
      }
      settle?.({ status: 'failed', code: 'ERR_JOURNAL_WRITE', reason: `the thread that copies ${reason}` })
    }
    if (this.#living === living) this.#living = undefined
    living.port.close()
    if (lost.length === 0) return
    const message = `the thread that keeps images, tables and files ${reason}; ${lost.length} records are lost: ${lost.slice(0, 5).join(', ')}${lost.length > 5 ? ' …' : ''}`
    this.#options.report({ code: 'ERR_JOURNAL_WRITE', message }, `parking ${message}`)
  }

  #post(living: Living, message: ToParking, transfer: readonly Transferable[] = []): void {
    living.port.postMessage(message, transfer as Transferable[])
  }
}
