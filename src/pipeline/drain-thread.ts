/**
 * The drain thread's entry: runs the drain, sleeps between passes, starts the delivery pool and keeps the guards.
 *
 * Nothing here needs the main thread's event loop: main may train in one synchronous loop for hours. Its own loop
 * turns at least every TURN_MS, since the delivery pool's messages come through it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  BroadcastChannel,
  isMainThread,
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads'
import { monotonicNow } from '../core/clock.ts'
import { toErrorRecord } from '../core/errors.ts'
import { BELL, CONTROL, CONTROL_F64 } from '../ring/layout.ts'
import { DeliveryPool } from './delivery-pool.ts'
import { Drain } from './drain.ts'
import type { DrainRun } from './drain-run.ts'
import type { JournalSyncId } from './journal/writer.ts'
import type { DrainStart, FromDelivery, FromDrain, RunOrder, ToDrain } from './messages.ts'
import { WHOLE_RUN } from './retention.ts'
import { Descriptors } from './store/descriptors.ts'
import { Syncer } from './store/syncer.ts'

/** Longest time without a turn of the event loop while there is work. */
const TURN_MS = 5
/**
 * Sleep of the reader: 1 ms while points come, doubling to NAP_MAX_MS, after IDLE_MS until somebody rings. Nobody
 * rings during a nap, so the longest one leaves time to append before a point is 20 ms old.
 */
const NAP_MIN_MS = 1
const NAP_MAX_MS = 8
const IDLE_MS = 10_000
/** A bound on every sleep, should a bell be missed in spite of R5. */
const SLEEP_MS = 30_000
/** Up to this long a wait blocks the thread, longer ones leave its event loop running. */
const BLOCKING_MS = 2
/** After a restart the former delivery threads are given this long to see the new EPOCH and stop. */
const SUCCESSION_MS = 1000

class DrainThread {
  readonly #start: DrainStart
  readonly #control: Int32Array
  readonly #controlF64: Float64Array
  readonly #drain: Drain
  readonly #pool: DeliveryPool
  readonly #syncer = new Syncer<JournalSyncId>()
  readonly #lanes: BroadcastChannel
  readonly #idle: Int32Array
  /** Answers of destinations still to come, by run id. */
  readonly #closing = new Map<string, { run: DrainRun; left: number }>()

  constructor(start: DrainStart) {
    this.#start = start
    this.#control = new Int32Array(start.control)
    this.#controlF64 = new Float64Array(start.control)
    this.#idle = new Int32Array(start.idle)
    const disk = {
      syncer: this.#syncer,
      descriptors: new Descriptors(this.#syncer),
      isFenced: () => Atomics.load(this.#control, CONTROL.epoch) !== start.epoch,
    }
    this.#drain = new Drain(start.control, start.epoch, start.definitions, disk, {
      receive: () => this.#receive(),
      onDefinitions: (definitions) => this.#post({ type: 'definitions', definitions }),
      onAppend: () => this.#wakeDelivery(),
      onFinish: (run) => this.#onFinish(run),
      onOrphans: (points) => this.#onOrphans(points),
      onIssue: (run, issue) => this.#post({ type: 'drain-issue', number: run.order.number, issue }),
    })
    this.#pool = new DeliveryPool(
      { threads: start.deliveryThreads, idle: start.idle, control: start.control, epoch: start.epoch },
      (message) => this.#onDelivery(message),
    )
    this.#lanes = new BroadcastChannel(start.channel)
    // reads by receiveMessageOnPort and by event, whichever comes first
    this.#lanes.onmessage = (event) => this.#addLane((event as { data: SharedArrayBuffer }).data)
    parentPort!.on('message', (message: ToDrain) => this.#handle(message))
    for (const order of start.runs) this.#addRun(order, start.epoch > 1)
    for (const lane of start.lanes) this.#drain.addLane(lane)
    const openAll = () => {
      for (const order of start.runs) {
        this.#openDelivery(order)
        // finished meanwhile: delivery could not be told before it knew the run
        const closing = this.#closing.get(order.run.id)
        if (closing) this.#pool.finish(order.run.id, closing.run.finishBy)
      }
    }
    if (start.epoch === 1) openAll()
    else setTimeout(openAll, SUCCESSION_MS)
  }

  async run(): Promise<void> {
    let lastWork = monotonicNow()
    let lastTurn = lastWork
    while (!this.#drain.isFenced) {
      this.#receive()
      const now = monotonicNow()
      if (this.#drain.pass(now) > 0) lastWork = now
      else await this.#sleep(now, now - lastWork)
      if (monotonicNow() - lastTurn >= TURN_MS) {
        await nextTurn()
        lastTurn = monotonicNow()
      }
    }
    // a successor has taken over (D4)
    process.exit(0)
  }

  async #sleep(now: number, idleMs: number): Promise<void> {
    const long = idleMs > IDLE_MS
    const nap = Math.min(NAP_MAX_MS, Math.max(NAP_MIN_MS, 2 ** Math.floor(Math.log2(idleMs / 10 + 1))))
    const ms = Math.min(long ? SLEEP_MS : nap, Math.ceil(this.#drain.dueInMs(now)))
    if (ms <= 0) return
    if (ms > BLOCKING_MS) this.#controlF64[CONTROL_F64.clock] = 0
    if (ms > NAP_MAX_MS) this.#drain.forgetIdleLanes()
    const state = ms > NAP_MAX_MS ? BELL.sleep : BELL.nap
    Atomics.store(this.#control, CONTROL.bell, state)
    if (!this.#drain.hasWork && !this.#drain.isFenced) {
      if (ms <= BLOCKING_MS) Atomics.wait(this.#control, CONTROL.bell, state, ms)
      else await Atomics.waitAsync(this.#control, CONTROL.bell, state, ms).value
    }
    Atomics.store(this.#control, CONTROL.bell, BELL.awake)
  }

  #receive(): void {
    for (let got = receiveMessageOnPort(parentPort!); got; got = receiveMessageOnPort(parentPort!)) {
      this.#handle(got.message as ToDrain)
    }
    // the types of @types/node 20 forget that a BroadcastChannel is allowed here
    const lanes = this.#lanes as unknown as MessagePort
    for (let got = receiveMessageOnPort(lanes); got; got = receiveMessageOnPort(lanes)) {
      this.#addLane(got.message as SharedArrayBuffer)
    }
  }

  #handle(message: ToDrain): void {
    if (message.type === 'lane') this.#addLane(message.lane)
    else if (message.type === 'let go') this.#drain.letGo(message.number, message.lane)
    else {
      this.#addRun(message.order, false)
      this.#openDelivery(message.order)
    }
  }

  #addRun(order: RunOrder, isInherited: boolean): void {
    try {
      this.#drain.addRun(order, isInherited)
    } catch (error) {
      this.#post({
        type: 'drain-issue',
        number: order.number,
        issue: toErrorRecord(error, 'ERR_JOURNAL_WRITE'),
      })
    }
  }

  #addLane(lane: SharedArrayBuffer): void {
    this.#drain.addLane(lane)
  }

  #openDelivery(order: RunOrder): void {
    this.#pool.open({
      run: order.run,
      counters: order.counters,
      destinations: order.destinations,
      live: true,
    })
  }

  #wakeDelivery(): void {
    // not a load: it must not pass the plain stores that published the journal's growth
    if (Atomics.or(this.#idle, 0, 0) !== 0) this.#pool.wake()
  }

  #onOrphans(points: number): void {
    const message = `${points} points came for finished runs that nobody held any more, or whose drain thread was replaced; they are lost`
    const issue = { code: 'ERR_RUN_FINISHED', message } as const
    this.#post({ type: 'issue', run: '', destination: '', severity: 'failing', issue })
  }

  #onFinish(run: DrainRun): void {
    this.#closing.set(run.order.run.id, { run, left: run.order.destinations.length })
    this.#pool.finish(run.order.run.id, run.finishBy)
  }

  #onDelivery(message: FromDelivery): void {
    this.#post(message)
    if (message.type !== 'closed') return
    const closing = this.#closing.get(message.run)
    if (closing && --closing.left === 0) {
      this.#closing.delete(message.run)
      const { order } = closing.run
      this.#drain.removeRun(order.number)
      const finished = () => this.#post({ type: 'finished', number: order.number })
      // of what the last cursors have passed meanwhile, only the last segment stays
      const isRemoving =
        order.retention === 'delivered' && this.#syncer.removeDelivered(order.run.folder, WHOLE_RUN, finished)
      if (!isRemoving) finished()
    }
  }

  #post(message: FromDrain): void {
    this.#start.port.postMessage(message)
  }
}

if (!isMainThread) await new DrainThread(workerData as DrainStart).run()
