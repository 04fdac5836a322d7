/**
 * A trainer's diary, about a line every millisecond: how many rows it has logged, and how the drain thread fared.
 * Each line is one synchronous write of 56 bytes, which outlives the process.
 */
import { existsSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs'
import { monotonicNow } from '../../src/core/clock.ts'

const WORDS = 7
/** A running thread's times move at every tick of the system, 4 ms at most. */
export const STALLED_MS = 5
export const ENTRY = { rows: 0, flushed: 1, finishing: 2, finished: 3, recorded: 4 } as const

export interface Entry {
  readonly kind: number
  /** Rows whose calls had returned. */
  readonly rows: number
  /** Records (texts, images, files) whose calls had returned. */
  readonly records: number
  /** Monotonic ms. */
  readonly at: number
  /** Since their start, the drain thread and those that V8 collects and compiles with have waited for processors. */
  readonly drainWaitedMs: number
  readonly helpersWaitedMs: number
  /** How long the drain thread has run. */
  readonly drainRanMs: number
}

export class Diary {
  readonly #file: number
  readonly #drain: ThreadWatch
  readonly #helpers: ThreadWatch
  readonly #line = new Float64Array(WORDS)
  #writtenAt = 0
  #records = 0

  constructor(path: string, threads: ThreadIds) {
    this.#file = openSync(path, 'a')
    this.#drain = new ThreadWatch(threads.drain)
    this.#helpers = new ThreadWatch(threads.helpers)
  }

  /** Unless one was written within this millisecond. */
  note(rows: number): void {
    if (monotonicNow() - this.#writtenAt >= 1) this.write(ENTRY.rows, rows)
  }

  write(kind: number, rows: number, records = this.#records): void {
    const line = this.#line
    const now = monotonicNow()
    line[0] = kind
    line[1] = rows
    line[2] = this.#writtenAt = now
    line[3] = this.#drain.waitedMs(now)
    line[4] = this.#helpers.waitedMs(now)
    line[5] = this.#drain.ranMs
    line[6] = records
    this.#records = Math.max(this.#records, records)
    writeSync(this.#file, new Uint8Array(line.buffer))
  }
}

export function readDiary(path: string): Entry[] {
  if (!existsSync(path)) return []
  const bytes = readFileSync(path)
  const entries: Entry[] = []
  for (let at = 0; at + WORDS * 8 <= bytes.length; at += WORDS * 8) {
    const [kind, rows, time, drainWaitedMs, helpersWaitedMs, drainRanMs, records] = Array.from(
      { length: WORDS },
      (_, word) => bytes.readDoubleLE(at + word * 8),
    ) as [number, number, number, number, number, number, number]
    entries.push({ kind, rows, records, at: time, drainWaitedMs, helpersWaitedMs, drainRanMs })
  }
  return entries
}

/** A thread that waited a millisecond was woken so much later. */
export interface Lateness {
  /** Monotonic ms of the waking. */
  readonly at: number
  readonly ms: number
}

export function readLateness(path: string): Lateness[] {
  if (!existsSync(path)) return []
  const bytes = readFileSync(path)
  const found: Lateness[] = []
  for (let at = 0; at + 16 <= bytes.length; at += 16) {
    found.push({ at: bytes.readDoubleLE(at), ms: bytes.readDoubleLE(at + 8) })
  }
  return found
}

/** By the system's numbers; empty where the system does not tell. */
export interface ThreadIds {
  readonly drain: readonly string[]
  /** Those that V8 collects garbage and compiles with: now and then the drain thread has to wait for them. */
  readonly helpers: readonly string[]
}

/** Threads of this process. */
export function threadIds(): string[] {
  return existsSync('/proc/self/task') ? readdirSync('/proc/self/task') : []
}

/**
 * Asks Linux how long threads of this process have waited for a processor that others had. The system counts a wait
 * when it ends; one that has not ended is a thread that wants to run and has not moved for a while.
 */
export class ThreadWatch {
  readonly #threads: { readonly times: number; readonly state: number; counted: string; movedAt: number }[]
  readonly #buffer = Buffer.alloc(256)

  constructor(ids: readonly string[]) {
    this.#threads = ids.map((id) => ({
      times: openSync(`/proc/self/task/${id}/schedstat`, 'r'),
      state: openSync(`/proc/self/task/${id}/stat`, 'r'),
      counted: '',
      movedAt: 0,
    }))
  }

  /** How long they have run, as of the last look at their waiting. */
  get ranMs(): number {
    return this.#threads.reduce((sum, { counted }) => sum + Number(counted.split(' ')[0]) / 1e6, 0)
  }

  /** Sum over the threads, since they were started. */
  waitedMs(now: number): number {
    let waitedMs = 0
    for (const thread of this.#threads) {
      const counted = this.#text(thread.times)
      if (counted !== thread.counted) {
        thread.counted = counted
        thread.movedAt = now
      }
      waitedMs += Number(counted.split(' ')[1] ?? 0) / 1e6
      const unmovedMs = now - thread.movedAt
      if (unmovedMs >= STALLED_MS && this.#isRunnable(thread.state)) waitedMs += unmovedMs
    }
    return waitedMs
  }

  #isRunnable(file: number): boolean {
    const stat = this.#text(file)
    return stat[stat.lastIndexOf(')') + 2] === 'R'
  }

  #text(file: number): string {
    try {
      return this.#buffer.toString('latin1', 0, readSync(file, this.#buffer, 0, this.#buffer.length, 0))
    } catch {
      // the thread has ended
      return ''
    }
  }
}
