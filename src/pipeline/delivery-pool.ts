/**
 * The pool of delivery threads, made inside the drain thread: a pool that main owns starts nothing while main is
 * busy. Each thread runs one task for good; it starts a loop on its port and returns, since a pending task would
 * keep the process alive for ever.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { DeliveryOrder, FromDelivery, ToDelivery } from './messages.ts'
import { workerEnvironment, workerUrl } from './worker-url.ts'

export interface DeliveryPoolOptions {
  readonly threads: number
  readonly idle: SharedArrayBuffer
  readonly control: SharedArrayBuffer
  readonly epoch: number
}

/** What the task of a delivery thread is started with. */
export interface DeliveryStart {
  readonly port: MessagePort
  readonly idle: SharedArrayBuffer
  /** The ring's control block: a thread whose EPOCH has passed stops before its next write. */
  readonly control: SharedArrayBuffer
  readonly epoch: number
}

export class DeliveryPool {
  readonly #piscina: Piscina
  readonly #ports: MessagePort[] = []
  readonly #threadOf = new Map<string, number>()
  #next = 0

  constructor(options: DeliveryPoolOptions, onMessage: (message: FromDelivery) => void) {
    this.#piscina = new Piscina({
      filename: workerUrl('./delivery-entry', import.meta.url, 'commonjs').href,
      minThreads: options.threads,
      maxThreads: options.threads,
      concurrentTasksPerWorker: 1,
      // the default parks an idle worker in Atomics.wait and freezes its timers and connections
      atomics: 'disabled',
      idleTimeout: Infinity,
      execArgv: [],
      env: workerEnvironment(),
    })
    this.#piscina.on('error', (error: unknown) => {
      onMessage({
        type: 'issue',
        run: '',
        destination: '',
        severity: 'failing',
        issue: { code: 'ERR_SINK_BUG', message: `a delivery thread failed: ${String(error)}` },
      })
    })
    for (let thread = 0; thread < options.threads; thread++) {
      const { port1, port2 } = new MessageChannel()
      port1.on('message', onMessage)
      this.#ports.push(port1)
      const start: DeliveryStart = {
        port: port2,
        idle: options.idle,
        control: options.control,
        epoch: options.epoch,
      }
      this.#piscina.run(start, { transferList: [port2] }).catch((error: unknown) => {
        this.#piscina.emit('error', error)
      })
    }
  }

  /** A run and its destinations stay with one thread. */
  open(order: DeliveryOrder): void {
    const thread = this.#next++ % this.#ports.length
    this.#threadOf.set(order.run.id, thread)
    this.#post(thread, { type: 'open', order })
  }

  wake(): void {
    for (let thread = 0; thread < this.#ports.length; thread++) this.#post(thread, { type: 'wake' })
  }

  finish(run: string, deadlineAt: number): void {
    const thread = this.#threadOf.get(run)
    if (thread === undefined) return
    this.#threadOf.delete(run)
    this.#post(thread, { type: 'finish', run, deadlineAt })
  }

  #post(thread: number, message: ToDelivery): void {
    this.#ports[thread]!.postMessage(message)
  }
}
