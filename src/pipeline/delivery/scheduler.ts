/**
 * Serves all runs and destinations of one thread, least recently served first.
 *
 *  S1  A turn does one thing; after SLICE_MS of turns the event loop gets a round, so that answers come in and no
 *      destination starves another.
 *  S2  Before it sleeps, IDLE is raised and everything is looked at once more: the next append to a journal brings a
 *      'wake'. IDLE counts the threads that sleep so; the writer of a journal publishes RUN.seq before it looks at
 *      IDLE. Of MANY runs some append all the time: growth is polled for while there is some.
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
/** As long as a journal of many has grown within this time, growth is polled for. */
const ACTIVE_MS = 200
/** Bounds the harm of a 'wake' that got lost. */
const IDLE_POLL_MS = 1_000
/** Of more than so many, not all are looked at in each round: with a thousand, looking would cost more than serving. */
const MANY = 64
const MANY_LOOK_MS = 5
/** Guards are touched in so many parts, each in its turn: a thousand at once would take long. */
const TOUCH_PARTS = 10

export class Scheduler {
  readonly #served = new Set<Served>()
  readonly #ready = new Set<Served>()
  readonly #dueAt = new Map<Served, number>()
  /** Nobody is due before it. */
  #nextDueAt = Infinity
  readonly #ofRun = new Map<RunId, Set<Served>>()
  /** Runs that finish, with their deadlines, as long as they have destinations or may get some. */
  readonly #finishing = new Map<RunId, number>()
  /** Runs that get no more destinations. */
  readonly #complete = new Set<RunId>()
  readonly #idle: Int32Array | undefined
  readonly #beforeRound: ((now: number) => number)[] = []
  #isIdle = false
  #isRunning = false
  #grownAt = -Infinity
  #lookedAt = -Infinity
  #touchAt = monotonicNow() + GUARD_TOUCH_MS
  #untouched: Served[] = []
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
    const ofRun = this.#ofRun.get(served.run)
    if (ofRun) ofRun.add(served)
    else this.#ofRun.set(served.run, new Set([served]))
    const deadlineAt = this.#finishing.get(served.run)
    if (deadlineAt !== undefined) served.finish(deadlineAt, monotonicNow())
    this.wake(served)
  }

  finish(run: RunId, deadlineAt: number): void {
    this.#finishing.set(run, deadlineAt)
    for (const served of this.#ofRun.get(run) ?? []) {
      served.finish(deadlineAt, monotonicNow())
      this.wake(served)
    }
  }

  /** All that is left of a run's destinations is closed, and none is added before it is opened anew. */
  forget(run: RunId): void {
    this.#finishing.delete(run)
    this.#complete.delete(run)
  }

  /** No more destinations of the run are added: its end is forgotten with the last of them. */
  hasAll(run: RunId): void {
    if (this.#ofRun.has(run)) this.#complete.add(run)
    else this.forget(run)
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
    if (served.isClosed) this.#remove(served)
    else if (next <= now) this.#ready.add(served)
    // A turn may have woken it already.
    else if (next < Infinity && !this.#ready.has(served)) {
      this.#dueAt.set(served, next)
      this.#nextDueAt = Math.min(this.#nextDueAt, next)
    }
  }

  #remove(served: Served): void {
    this.#served.delete(served)
    this.#ready.delete(served)
    this.#dueAt.delete(served)
    const ofRun = this.#ofRun.get(served.run)
    ofRun?.delete(served)
    if (ofRun === undefined || ofRun.size > 0) return
    this.#ofRun.delete(served.run)
    if (this.#complete.delete(served.run)) this.forget(served.run)
  }

  /** Puts into the queue whoever is due or whose journal has grown. */
  #collect(now: number): void {
    if (this.#served.size <= MANY || now - this.#lookedAt >= MANY_LOOK_MS) this.#lookAtAll(now)
    if (now >= this.#touchAt) this.#touchSome(now)
  }

  #lookAtAll(now: number): void {
    this.#lookedAt = now
    if (this.#nextDueAt <= now) {
      this.#nextDueAt = Infinity
      for (const [served, at] of this.#dueAt) {
        if (at > now) this.#nextDueAt = Math.min(this.#nextDueAt, at)
        else {
          this.#dueAt.delete(served)
          this.#ready.add(served)
        }
      }
    }
    for (const served of this.#served) {
      if (!served.hasGrown) continue
      this.#grownAt = now
      this.#dueAt.delete(served)
      this.#ready.add(served)
    }
  }

  #touchSome(now: number): void {
    if (this.#untouched.length === 0) this.#untouched = [...this.#served]
    for (let left = Math.ceil(this.#served.size / TOUCH_PARTS); left > 0; left--)
      this.#untouched.pop()?.touch()
    this.#touchAt = now + GUARD_TOUCH_MS / TOUCH_PARTS
  }

  #sleep(latest: number): void {
    const now = monotonicNow()
    let until = Math.min(latest, this.#touchAt, this.#nextDueAt)
    if (this.#served.size > MANY && now - this.#grownAt < ACTIVE_MS) until = Math.min(until, now + POLL_MS)
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
