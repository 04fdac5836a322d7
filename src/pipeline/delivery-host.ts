/**
 * The owner of one delivery thread, in the drain thread: gives it runs, and another in its place when it has died of
 * something that a sink did (an uncaught error, no memory left).
 *
 * P1  A successor is given what its predecessor had not closed. It reads cursors from the disk and takes over the
 *     guards of this process: what was under way comes again, which every sink bears.
 * P2  A thread that dies again and again is given up: nothing is delivered any more in this process, the journal
 *     keeps all, and whoever waits for an end gets it at once.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { monotonicNow } from '../core/clock.ts'
import { DESTINATION, DESTINATION_STATES, destinationCounters } from '../core/counters.ts'
import { duration } from '../core/duration.ts'
import type { RunId } from '../core/types.ts'
import type { DeliveryPoolOptions, DeliveryStart } from './delivery-pool.ts'
import { Pulse } from './delivery-pulse.ts'
import type { DeliveryOrder, DestinationSpec, FromDelivery, ToDelivery } from './messages.ts'
import { WORKER_LIMITS, workerEnvironment, workerUrl } from './worker-url.ts'

/** Deaths in a row, each within HEALTHY_MS of the one before. */
const MAX_DEATHS = 5
const HEALTHY_MS = 60_000
/** Before the second replacement; doubles. The first comes as soon as the death is explained. */
const FIRST_DELAY_MS = 500
/** The port closes before the error is told. */
const EXPLAIN_MS = 20

interface Kept {
  readonly order: DeliveryOrder
  /** Those that have not told 'closed'. */
  readonly left: Map<string, DestinationSpec>
  finishBy: number | undefined
}

export class DeliveryHost {
  readonly #options: DeliveryPoolOptions
  readonly #onMessage: (message: FromDelivery) => void
  readonly #runs = new Map<RunId, Kept>()
  readonly #pulse: Pulse
  #piscina: Piscina | undefined
  /** Undefined while there is no thread. */
  #port: MessagePort | undefined
  #isReady = false
  #generation = 0
  #deaths = 0
  #diedAt = -Infinity
  #isGivenUp = false
  #reason = 'ended'

  constructor(options: DeliveryPoolOptions, onMessage: (message: FromDelivery) => void) {
    this.#options = options
    this.#onMessage = onMessage
    this.#pulse = new Pulse({
      isBusy: () => this.#runs.size > 0 && this.#isReady,
      ask: () => this.#post({ type: 'ask' }),
      onStill: (forMs) => this.#tellStill(forMs),
    })
    this.#start()
  }

  open(order: DeliveryOrder): void {
    const left = new Map(order.destinations.map((spec) => [spec.name, spec]))
    this.#runs.set(order.run.id, { order, left, finishBy: undefined })
    this.#post({ type: 'open', order })
    if (this.#isGivenUp) this.#block(order)
  }

  wake(): void {
    this.#post({ type: 'wake' })
  }

  finish(run: RunId, deadlineAt: number): void {
    const kept = this.#runs.get(run)
    if (kept === undefined) return
    kept.finishBy = deadlineAt
    this.#post({ type: 'finish', run, deadlineAt })
    if (this.#isGivenUp) this.#closeAll(run, kept)
  }

  #start(): void {
    this.#generation++
    const { idle, control, epoch } = this.#options
    const piscina = new Piscina({
      filename: workerUrl('./delivery-entry', import.meta.url, 'commonjs').href,
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: 1,
      // the default parks an idle worker in Atomics.wait and freezes its timers and connections
      atomics: 'disabled',
      idleTimeout: Infinity,
      resourceLimits: WORKER_LIMITS,
      execArgv: [],
      env: workerEnvironment(),
    })
    const { port1, port2 } = new MessageChannel()
    let isDead = false
    const died = (reason?: string) => {
      if (reason !== undefined) this.#reason = reason
      if (isDead) return
      isDead = true
      // its port is closed too: from now on nothing is posted into the void
      this.#port = undefined
      this.#isReady = false
      setTimeout(() => this.#bury(piscina, port1), EXPLAIN_MS)
    }
    this.#reason = 'ended'
    piscina.on('error', (error: unknown) => died(`failed: ${messageOf(error)}`))
    port1.on('message', (message: FromDelivery) => this.#receive(message))
    port1.on('close', () => died())
    const start: DeliveryStart = {
      port: port2,
      idle,
      control,
      epoch,
      isSuccessor: epoch > 1 || this.#generation > 1,
    }
    this.#piscina = piscina
    this.#port = port1
    piscina
      .run(start, { transferList: [port2] })
      .catch((error: unknown) => died(`cannot start: ${messageOf(error)}`))
  }

  #bury(piscina: Piscina, port: MessagePort): void {
    if (this.#piscina !== piscina) return
    port.close()
    // it would start a thread of its own in place of the dead one
    void piscina.destroy()
    const now = monotonicNow()
    this.#deaths = now - this.#diedAt < HEALTHY_MS ? this.#deaths + 1 : 1
    this.#diedAt = now
    if (this.#deaths > MAX_DEATHS) return this.#giveUp()
    this.#tell(
      'ERR_DELIVERY_RESTARTED',
      `a delivery thread ${this.#reason}; another takes over, and sends again what was under way`,
    )
    const delayMs = this.#deaths === 1 ? 0 : FIRST_DELAY_MS * 2 ** (this.#deaths - 2)
    setTimeout(() => this.#replace(), delayMs)
  }

  #replace(): void {
    this.#start()
    for (const [run, { order, left, finishBy }] of this.#runs) {
      this.#post({ type: 'open', order: { ...order, destinations: [...left.values()] } })
      if (finishBy !== undefined) this.#post({ type: 'finish', run, deadlineAt: finishBy })
    }
  }

  #giveUp(): void {
    this.#isGivenUp = true
    this.#piscina = undefined
    this.#tell(
      'ERR_SINK_BUG',
      `a delivery thread ${this.#reason}, as did ${MAX_DEATHS} before it: this process delivers nothing more; ` +
        'the journal keeps everything, and the end of each run says how to send it',
    )
    for (const [run, kept] of [...this.#runs]) {
      this.#block(kept.order)
      if (kept.finishBy !== undefined) this.#closeAll(run, kept)
    }
  }

  #block({ run, counters }: DeliveryOrder): void {
    for (const { index } of this.#runs.get(run.id)!.left.values()) {
      destinationCounters(counters, index)[DESTINATION.state] = DESTINATION_STATES.indexOf('blocked')
    }
  }

  #closeAll(run: RunId, { left }: Kept): void {
    const reason = `the delivery thread ${this.#reason}`
    for (const destination of [...left.keys()])
      this.#receive({ type: 'closed', run, destination, complete: false, reason })
  }

  #receive(message: FromDelivery): void {
    this.#pulse.beat()
    if (message.type === 'ready') {
      this.#isReady = true
      return
    }
    if (message.type === 'closed') {
      const kept = this.#runs.get(message.run)
      kept?.left.delete(message.destination)
      if (kept?.left.size === 0) this.#runs.delete(message.run)
    }
    this.#onMessage(message)
  }

  #tellStill(forMs: number): void {
    const names = [...this.#runs.values()].flatMap(({ left }) => [...left.keys()])
    this.#tell(
      'ERR_SINK_BUG',
      `a delivery thread has stood still for ${duration(forMs)}: a sink computes without end, or a disk does not ` +
        `answer. Until it moves nothing is sent to ${[...new Set(names)].join(', ')}; the journal keeps everything`,
    )
  }

  #tell(code: 'ERR_DELIVERY_RESTARTED' | 'ERR_SINK_BUG', message: string): void {
    this.#onMessage({
      type: 'issue',
      run: '',
      destination: '',
      severity: 'failing',
      issue: { code, message },
    })
  }

  #post(message: ToDelivery): void {
    this.#port?.postMessage(message)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
