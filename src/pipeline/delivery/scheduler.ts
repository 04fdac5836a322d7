/**
 * Serves all runs and destinations of one thread, least recently served first.
 *
 *  S1  A turn does one thing; after SLICE_MS of turns the event loop gets a round, so that answers come in and no
 *      destination starves another.
 *  S2  Growth of journals is seen by polling `RUN.seq` while there is some; then IDLE is raised, everything is
 *      looked at once more, and a 'wake' awaited. IDLE counts the threads that sleep so; the writer of a journal
 *      publishes RUN.seq before it looks at IDLE.
 *  S3  Every timer is the one of `#timer`.
 */
import { monotonicNow } from '../../core/clock.ts'
import type { RunId } from '../../core/types.ts'
import { GUARD_TOUCH_MS } from '../store/guard.ts'

/** What the scheduler serves: a delivery, or a destination that needs none. */
export interface Served {
  readonly run: RunId
  readonly isClosed: boolean
  /** Whether its journal has grown since the last turn. */
  readonly hasGrown: boolean
  /** Does one thing. Returns the monotonic time of its next turn: now for at once, Infinity for when woken. */
  turn(now: number): number
  finish(deadlineAt: number, now: number): void
  touch(): void
}

const SLICE_MS = 5
const POLL_MS = 10
/** As long as a journal has grown within this time, growth is polled for. */
const ACTIVE_MS = 200
/** Bounds the harm of a 'wake' that got lost. */
const IDLE_POLL_MS = 1_000

export class Scheduler {
  readonly #served = new Set<Served>()
  readonly #ready = new Set<Served>()
  readonly #dueAt = new Map<Served, number>()
  readonly #finishing = new Map<RunId, number>()
  readonly #idle: Int32Array | undefined
  readonly #beforeRound: ((now: number) => number)[] = []
  #isIdle = false
  #isRunning = false
  #grownAt = -Infinity
  #touchAt = monotonicNow() + GUARD_TOUCH_MS
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #onEmpty: (() => void) | undefined

  /** @param idle shared word: how many threads want a 'wake' */
  constructor(idle?: Int32Array) {
    this.#idle = idle
  }

  /** Something that is looked after once in every round; returns when at the latest the next one must be. */
  eachRound(look: (now: number) => number): void {
    this.#beforeRound.push(look)
  }

  add(served: Served): void {
    this.#served.add(served)
    const deadlineAt = this.#finishing.get(served.run)
    if (deadlineAt !== undefined) served.finish(deadlineAt, monotonicNow())
    this.wake(served)
  }

  finish(run: RunId, deadlineAt: number): void {
    this.#finishing.set(run, deadlineAt)
    for (const served of this.#served) {
      if (served.run !== run) continue
      served.finish(deadlineAt, monotonicNow())
      this.wake(served)
    }
  }

  /** All that is left of a run's destinations is closed. */
  forget(run: RunId): void {
    this.#finishing.delete(run)
  }

  wake(served: Served): void {
    if (!this.#served.has(served)) return
    this.#dueAt.delete(served)
    this.#ready.add(served)
    this.#soon()
  }

  /** A 'wake' came. */
  look(): void {
    this.#grownAt = monotonicNow()
    this.#soon()
  }

  /** Gives everything up. Resolves when all is closed. */
  async stop(): Promise<void> {
    const now = monotonicNow()
    const stopped = this.stopped()
    for (const served of this.#served) {
      served.finish(now, now)
      this.wake(served)
    }
    await stopped
  }

  /** Resolves as soon as nothing is served. */
  async stopped(): Promise<void> {
    if (this.#served.size === 0) return
    await new Promise<void>((resolve) => {
      const before = this.#onEmpty
      this.#onEmpty = () => {
        before?.()
        resolve()
      }
    })
  }

  #soon(): void {
    if (this.#isRunning || this.#immediate !== undefined) return
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined
      this.#round()
    })
  }

  #round(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#setIdle(false)
    this.#isRunning = true
    const start = monotonicNow()
    this.#collect(start)
    let latest = Infinity
    for (const look of this.#beforeRound) latest = Math.min(latest, look(start))
    for (const served of this.#ready) {
      const now = monotonicNow()
      if (now - start > SLICE_MS) break
      this.#ready.delete(served)
      this.#serve(served, now)
    }
    this.#isRunning = false
    if (this.#served.size === 0) this.#becomeEmpty()
    else if (this.#ready.size > 0) this.#soon()
    else this.#sleep(latest)
  }

  #serve(served: Served, now: number): void {
    const next = served.turn(now)
    if (served.isClosed) {
      this.#served.delete(served)
      this.#ready.delete(served)
      this.#dueAt.delete(served)
    } else if (next <= now) this.#ready.add(served)
    // A turn may have woken it already.
    else if (next < Infinity && !this.#ready.has(served)) this.#dueAt.set(served, next)
  }

  /** Puts into the queue whoever is due or whose journal has grown. */
  #collect(now: number): void {
    for (const [served, at] of this.#dueAt) {
      if (at > now) continue
      this.#dueAt.delete(served)
      this.#ready.add(served)
    }
    for (const served of this.#served) {
      if (!served.hasGrown) continue
      this.#grownAt = now
      this.#dueAt.delete(served)
      this.#ready.add(served)
    }
    if (now < this.#touchAt) return
    this.#touchAt = now + GUARD_TOUCH_MS
    for (const served of this.#served) served.touch()
  }

  #sleep(latest: number): void {
    const now = monotonicNow()
    let until = Math.min(latest, this.#touchAt)
    for (const at of this.#dueAt.values()) until = Math.min(until, at)
    if (now - this.#grownAt < ACTIVE_MS) until = Math.min(until, now + POLL_MS)
    else {
      this.#setIdle(true)
      for (const served of this.#served) {
        if (served.hasGrown) return this.#soon()
      }
      until = Math.min(until, now + IDLE_POLL_MS)
    }
    this.#timer = setTimeout(() => this.#round(), Math.max(1, until - now))
  }

  #setIdle(isIdle: boolean): void {
    if (this.#isIdle === isIdle || this.#idle === undefined) return
    this.#isIdle = isIdle
    Atomics.add(this.#idle, 0, isIdle ? 1 : -1)
  }

  #becomeEmpty(): void {
    const tell = this.#onEmpty
    this.#onEmpty = undefined
    tell?.()
  }
}
