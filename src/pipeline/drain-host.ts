/**
 * The owner of the drain thread, in the thread that called `startLogging`: starts it, tells it of runs and lanes,
 * replaces it when it is dead or stuck.
 *
 * H1  A replacement starts with everything its predecessor knew: lanes, runs, series. What was in the lanes and
 *     not in the journal is read again from there; the journal says which slots it has.
 * H2  A stuck thread that wakes up later finds another EPOCH and stops (R6, D4).
 */

import { randomUUID } from 'node:crypto'
import {
  BroadcastChannel,
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads'
import { monotonicNow } from '../core/clock.ts'
import { ring } from '../ring/doorbell.ts'
import { laneId } from '../ring/lane-reader.ts'
import { CONTROL, CONTROL_F64, createControl } from '../ring/layout.ts'
import type { DrainStart, FromDrain, RunOrder, SeriesDefinition, ToDrain } from './messages.ts'
import { WORKER_LIMITS, workerEnvironment, workerUrl } from './worker-url.ts'

/** A heartbeat this old while somebody waits for the drain means that it is stuck; doubles with every restart … */
const STUCK_MS = 500
const STUCK_MAX_MS = 30_000
/** … that follows the one before within this time. */
const HEALTHY_MS = 60_000
/** Silence after which the drain thread is woken before it is judged. */
const RING_MS = 100
/** A pause between two looks longer than this starts the observation anew. */
const WATCH_GAP_MS = 100

export class DrainHost {
  readonly control: SharedArrayBuffer = createControl()
  readonly channel = `tracelet-${randomUUID()}`
  readonly #words = new Int32Array(this.control)
  readonly #heartbeat = new Float64Array(this.control)
  readonly #idle = new SharedArrayBuffer(4)
  readonly #deliveryThreads: number
  readonly #onMessage: (message: FromDrain) => void
  /** By lane id: an announcement that comes again is another object over the same memory. */
  readonly #lanes = new Map<number, SharedArrayBuffer>()
  /** Id of this thread's own. */
  #lane: number | undefined
  readonly #announcements: BroadcastChannel
  readonly #runs = new Map<number, RunOrder>()
  #definitions: SeriesDefinition[] = []
  #worker!: Worker
  #port!: MessagePort
  #restarts = 0
  /** Restarts one soon after another. */
  #strikes = 0
  #restartedAt = -Infinity
  #beat = 0
  #beatAt = 0
  #watchedAt = 0

  constructor(deliveryThreads: number, onMessage: (message: FromDrain) => void) {
    this.#deliveryThreads = deliveryThreads
    this.#onMessage = onMessage
    this.#announcements = new BroadcastChannel(this.channel)
    this.#announcements.onmessage = (event) => this.#rememberLane((event as { data: SharedArrayBuffer }).data)
    this.#announcements.unref()
    this.#start()
  }

  get restarts(): number {
    return this.#restarts
  }

  openRun(order: RunOrder): void {
    this.#runs.set(order.number, order)
    this.#tell({ type: 'run', order })
  }

  forgetRun(number: number): void {
    this.#runs.delete(number)
    this.#definitions = this.#definitions.filter((definition) => definition.run !== number)
  }

  /** A finished run to which this thread can log no more. */
  letGo(number: number): void {
    if (this.#lane !== undefined && !this.#runs.has(number))
      this.#tell({ type: 'let go', number, lane: this.#lane })
  }

  /** Makes a lane of this thread known to the drain thread. */
  announce(lane: SharedArrayBuffer): void {
    this.#lane = laneId(lane)
    this.#rememberLane(lane)
    this.#tell({ type: 'lane', lane })
  }

  /** While something awaits an answer the drain thread keeps the process alive. */
  ref(): void {
    this.#port.ref()
  }
  unref(): void {
    this.#port.unref()
  }

  /**
   * To be called again and again while something waits for the drain thread; replaces it when its heartbeat has
   * stopped. Cheap, synchronous, and independent of this thread's event loop.
   */
  watch(): void {
    const now = monotonicNow()
    const beat = this.#heartbeat[CONTROL_F64.heartbeat]!
    if (beat !== this.#beat || now - this.#watchedAt > WATCH_GAP_MS) {
      this.#beat = beat
      this.#beatAt = now
    }
    this.#watchedAt = now
    // a thread with nothing to do sleeps for seconds: it must get the chance to show that it lives
    if (now - this.#beatAt >= RING_MS) ring(this.#words)
    if (now - this.#beatAt >= Math.min(STUCK_MS * 2 ** this.#recentStrikes, STUCK_MAX_MS))
      this.#restart('gave no sign of life')
  }

  #start(): void {
    const epoch = Atomics.add(this.#words, CONTROL.epoch, 1) + 1
    const { port1, port2 } = new MessageChannel()
    const start: DrainStart = {
      port: port2,
      control: this.control,
      epoch,
      channel: this.channel,
      idle: this.#idle,
      deliveryThreads: this.#deliveryThreads,
      lanes: [...this.#lanes.values()],
      runs: [...this.#runs.values()],
      definitions: this.#definitions,
    }
    this.#port = port1
    port1.on('message', (message: FromDrain) => this.#receive(message))
    port1.unref()
    const worker = new Worker(workerUrl('./drain-thread', import.meta.url), {
      workerData: start,
      transferList: [port2],
      resourceLimits: WORKER_LIMITS,
      execArgv: [],
      env: workerEnvironment(),
      name: 'tracelet-drain',
    })
    worker.unref()
    let reason = 'ended'
    worker.on('error', (error) => {
      reason = `failed: ${error instanceof Error ? error.message : String(error)}`
    })
    worker.on('exit', () => {
      if (this.#worker !== worker) return
      setTimeout(() => {
        if (this.#worker === worker) this.#restart(reason)
      }, this.#restartDelayMs).unref()
    })
    this.#worker = worker
    this.#beatAt = monotonicNow()
  }

  get #recentStrikes(): number {
    return monotonicNow() - this.#restartedAt < HEALTHY_MS ? this.#strikes : 0
  }

  /** None the first time; a thread that dies again and again must not take the processor from the program. */
  get #restartDelayMs(): number {
    return this.#recentStrikes === 0 ? 0 : Math.min(STUCK_MS * 2 ** this.#recentStrikes, STUCK_MAX_MS)
  }

  #restart(why: string): void {
    const dead = this.#worker
    this.#collect()
    this.#strikes = this.#recentStrikes + 1
    this.#restartedAt = monotonicNow()
    this.#restarts++
    this.#port.close()
    this.#start()
    void dead.terminate()
    ring(this.#words)
    for (const number of this.#runs.keys()) {
      this.#onMessage({
        type: 'drain-issue',
        number,
        issue: {
          code: 'ERR_DRAIN_RESTARTED',
          message: `the drain thread ${why}; a new one has taken over, nothing is lost`,
        },
      })
    }
  }

  /** Reads what the former drain thread and other producers said, without waiting for the event loop. */
  #collect(): void {
    for (let got = receiveMessageOnPort(this.#port); got; got = receiveMessageOnPort(this.#port)) {
      this.#receive(got.message as FromDrain)
    }
    // the types of @types/node 20 forget that a BroadcastChannel is allowed here
    const lanes = this.#announcements as unknown as MessagePort
    for (let got = receiveMessageOnPort(lanes); got; got = receiveMessageOnPort(lanes)) {
      this.#rememberLane(got.message as SharedArrayBuffer)
    }
  }

  #receive(message: FromDrain): void {
    if (message.type === 'definitions') this.#definitions.push(...message.definitions)
    else this.#onMessage(message)
  }

  #rememberLane(lane: SharedArrayBuffer): void {
    this.#lanes.set(laneId(lane), lane)
  }

  #tell(message: ToDrain): void {
    this.#worker.postMessage(message)
    ring(this.#words)
  }
}
