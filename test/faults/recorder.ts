/** The part of a trainer that logs texts, images and files, now and then. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicNow } from '../../src/core/clock.ts'
import type { AttachedRun, Run } from '../../src/index.ts'
import type { Orders } from './orders.ts'
import type { Thread } from './truth.ts'
import { fileOf, imageOf, kindOf, recordName, textOf } from './truth-records.ts'

export class Recorder {
  /** Calls that have returned. */
  count = 0
  readonly #orders: Orders
  readonly #run: Run | AttachedRun
  readonly #thread: Thread
  readonly #folder: string
  #dueAt: number

  constructor(orders: Orders, run: Run | AttachedRun, thread: Thread) {
    this.#orders = orders
    this.#run = run
    this.#thread = thread
    this.#folder = join(orders.diaries, `${orders.runId}-${orders.life}-${thread}-files`)
    this.#dueAt = orders.recordEveryMs > 0 ? monotonicNow() + orders.recordEveryMs : Infinity
    if (orders.recordEveryMs > 0) mkdirSync(this.#folder, { recursive: true })
  }

  /** Logs the next one when it is time; whether it did. */
  logWhenDue(): boolean {
    const now = monotonicNow()
    if (now < this.#dueAt) return false
    this.#dueAt = now + this.#orders.recordEveryMs
    this.#log(this.count)
    this.count++
    return true
  }

  #log(n: number): void {
    const { life } = this.#orders
    const thread = this.#thread
    const name = recordName(life, thread, n)
    switch (kindOf(n)) {
      case 'image':
        return this.#run.logImage(name, imageOf(life, thread, n), { step: n })
      case 'file': {
        const path = join(this.#folder, `${n}.bin`)
        writeFileSync(path, fileOf(life, thread, n))
        // never rejects, and what became of it is read from the journal
        void this.#run.logArtifact(path, { name })
        return
      }
      default:
        return this.#run.logText(name, textOf(life, thread, n), { step: n })
    }
  }
}
