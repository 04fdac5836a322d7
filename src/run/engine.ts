/**
 * The machinery behind the runs of one thread that called `startLogging`: one drain thread, one lane, made with
 * the first run and kept for the next ones. It keeps no process alive: only an awaited `flush` or `finish` does.
 */
import { DrainHost } from '../pipeline/drain-host.ts'
import type { FromDrain, RunOrder } from '../pipeline/messages.ts'
import { Parking } from '../pipeline/parking/parking.ts'
import { requestFlush, untilFlushed, waitForFlush } from '../ring/doorbell.ts'
import { Issues, type Report } from './issues.ts'
import { ThreadLane, type ThreadLaneOptions } from './thread-lane.ts'

/** Longest wait for a drain thread that is being started; takes about a tenth of a second. */
const START_MAX_MS = 2000

/** What a run wants to hear from the threads behind it. */
export interface EngineClient {
  readonly order: RunOrder
  /** The run's own way of telling; default the engine's. */
  readonly issues: Issues
  readonly onMessage: (message: FromDrain) => void
}

export class Engine {
  readonly issues = new Issues()
  readonly lane: ThreadLane
  /** How lanes of other threads are to be made. */
  readonly laneOptions: ThreadLaneOptions
  readonly host: DrainHost
  readonly parking: Parking
  readonly #words: Int32Array
  readonly #clients = new Map<number, EngineClient>()
  /** Of runs nobody holds any more, the drain thread need not expect late points. */
  readonly #gone = new FinalizationRegistry<number>((number) => this.host.letGo(number))
  #waiting = 0
  #isJournaling = false
  static #lastRunNumber = 0

  constructor(options: ThreadLaneOptions & { readonly deliveryThreads: number }) {
    this.host = new DrainHost(options.deliveryThreads, (message) => this.#dispatch(message))
    this.#words = new Int32Array(this.host.control)
    const { laneSlots, overflow, blockMaxMs } = options
    this.laneOptions = { laneSlots, overflow, blockMaxMs }
    this.lane = new ThreadLane(
      this.host.control,
      options,
      (lane) => this.host.announce(lane),
      (issue) => this.report(issue),
      () => this.host.watch(),
    )
    this.parking = new Parking({
      control: this.host.control,
      channel: this.host.channel,
      blockMaxMs: overflow === 'block' ? blockMaxMs : 0,
      report: (issue, key, run) => {
        const client = run === undefined ? undefined : this.#clients.get(run)
        if (client) client.issues.report({ ...issue, severity: 'error' }, key)
        else this.report({ ...issue, severity: 'error' }, key)
      },
    })
  }

  static takeRunNumber(): number {
    return ++Engine.#lastRunNumber
  }

  open(client: EngineClient): void {
    this.#clients.set(client.order.number, client)
    this.host.openRun(client.order)
  }

  /** Tells the drain thread when nobody can log by this producer of the run any more. */
  onceGone(producer: object, number: number): void {
    this.#gone.register(producer, number)
  }

  forget(number: number): void {
    this.#clients.delete(number)
    this.host.forgetRun(number)
    this.parking.forget(number)
  }

  /** Tells what concerns all runs: each handler of theirs once, stderr if any run has none. */
  report(issue: Report, key?: string): void {
    const told = new Set([...this.#clients.values()].map(({ issues }) => issues))
    if (told.size === 0) told.add(this.issues)
    for (const issues of told) issues.report(issue, key)
  }

  /** Everything published so far is journaled when this resolves; false when `timeoutMs` passed first. */
  flush(timeoutMs: number): Promise<boolean> {
    return untilFlushed(this.#words, requestFlush(this.#words), timeoutMs, () => this.host.watch())
  }

  /** The same, blocking this thread: for the end of the process. */
  flushSync(timeoutMs: number): boolean {
    return waitForFlush(this.#words, requestFlush(this.#words), timeoutMs, () => this.host.watch())
  }

  /**
   * Blocks until the drain thread journals, once per process: points logged while it starts would be in memory only,
   * and a kill could cost more than its 20 ms of them.
   */
  untilJournaling(): void {
    if (this.#isJournaling) return
    this.#isJournaling = true
    waitForFlush(this.#words, requestFlush(this.#words), START_MAX_MS)
  }

  /** Runs `work` with the process kept alive for the answers it waits for. */
  async keepAlive<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#waiting++ === 0) this.host.ref()
    try {
      return await work()
    } finally {
      if (--this.#waiting === 0) this.host.unref()
    }
  }

  #dispatch(message: FromDrain): void {
    if ('number' in message) this.#clients.get(message.number)?.onMessage(message)
    else if ('run' in message) {
      for (const client of this.#clients.values())
        if (client.order.run.id === message.run) client.onMessage(message)
      if (message.type === 'issue' && message.run === '') this.report(message.issue)
    }
  }
}
