/** Keeps hundreds of runs that end undelivered from printing hundreds of lines: what is held back is told at the exit. */
import { dirname } from 'node:path'
import { monotonicNow } from '../core/clock.ts'
import { syncCommandFor } from '../core/shell.ts'
import { say } from '../pipeline/say.ts'

/** Lines in a minute. */
const LINES = 5
const MINUTE_MS = 60_000

export class Pendings {
  readonly #saidAt: number[] = []
  /** How many were held back, by root folder. */
  readonly #held = new Map<string, number>()

  /** @returns whether it is to be said of this run now */
  take(folder: string, now: number = monotonicNow()): boolean {
    while (this.#saidAt.length > 0 && now - this.#saidAt[0]! >= MINUTE_MS) this.#saidAt.shift()
    if (this.#saidAt.length < LINES) {
      this.#saidAt.push(now)
      return true
    }
    if (this.#held.size === 0) process.once('exit', () => this.#tellHeld())
    // <root>/<project>/<run>
    const root = dirname(dirname(folder))
    this.#held.set(root, (this.#held.get(root) ?? 0) + 1)
    return false
  }

  #tellHeld(): void {
    for (const [root, runs] of this.#held) {
      const many = runs === 1 ? '1 more run is' : `${runs.toLocaleString('en-US')} more runs are`
      say(`ERR_DEADLINE: ${many} pending; send all with: ${syncCommandFor(root)}`)
    }
    this.#held.clear()
  }
}
