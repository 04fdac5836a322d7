/**
 * The pool of delivery threads, made inside the drain thread: a pool that main owns starts nothing while main is
 * busy. Each thread runs one task for good; it starts a loop on its port and returns, since a pending task would
 * keep the process alive for ever. So that a thread can be told from another, each is a pool of its own.
 */
import type { MessagePort } from 'node:worker_threads'
import type { RunId } from '../core/types.ts'
import { DeliveryHost } from './delivery-host.ts'
import type { DeliveryOrder, FromDelivery } from './messages.ts'

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
  /** A thread of this process had these runs before it and has ended. */
  readonly isSuccessor: boolean
}

export class DeliveryPool {
  readonly #hosts: readonly DeliveryHost[]
  readonly #hostOf = new Map<RunId, DeliveryHost>()
  #next = 0

  constructor(options: DeliveryPoolOptions, onMessage: (message: FromDelivery) => void) {
    this.#hosts = Array.from({ length: options.threads }, () => new DeliveryHost(options, onMessage))
  }

  /** A run and its destinations stay with one thread. */
  open(order: DeliveryOrder): void {
    const host = this.#hosts[this.#next++ % this.#hosts.length]!
    this.#hostOf.set(order.run.id, host)
    host.open(order)
  }

  wake(): void {
    for (const host of this.#hosts) host.wake()
  }

  finish(run: RunId, deadlineAt: number): void {
    this.#hostOf.get(run)?.finish(run, deadlineAt)
    this.#hostOf.delete(run)
  }
}
