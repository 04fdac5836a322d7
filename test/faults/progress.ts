/**
 * A trainer's diary, about a line every millisecond: how many rows it has logged, and how the drain thread fared.
 * Each line is one synchronous write of 48 bytes, which outlives the process.
 */
import { existsSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs'
import { monotonicNow } from '../../src/core/clock.ts'

const WORDS = 6
export const ENTRY = { rows: 0, flushed: 1, finishing: 2, finished: 3 } as const

export interface Entry {
  readonly kind: number
  /** Rows whose calls had returned. */
  readonly rows: number
  /** Monotonic ms. */
  readonly at: number
  /** Since its start the drain thread has waited so long for a processor that others had. */
  readonly waitedMs: number
  readonly ranMs: number
  /** Whether it wanted a processor, having one or not. */
  readonly isRunnable: boolean
}

export class Diary {
  readonly #file: number
  readonly #watch: ThreadWatch
  readonly #line = new Float64Array(WORDS)
  #writtenAt = 0

  constructor(path: string, watch: ThreadWatch) {
    this.#file = openSync(path, 'a')
    this.#watch = watch
  }

  /** Unless one was written within this millisecond. */
  note(rows: number): void {
    if (monotonicNow() - this.#writtenAt >= 1) this.write(ENTRY.rows, rows)
  }

  write(kind: number, rows: number): void {
    const line = this.#line
    this.#watch.read(line)
    line[0] = kind
    line[1] = rows
    line[2] = this.#writtenAt = monotonicNow()
    writeSync(this.#file, new Uint8Array(line.buffer))
  }
}

export function readDiary(path: string): Entry[] {
  if (!existsSync(path)) return []
  const bytes = readFileSync(path)
  const entries: Entry[] = []
  for (let at = 0; at + WORDS * 8 <= bytes.length; at += WORDS * 8) {
    const [kind, rows, time, waitedMs, ranMs, isRunnable] = Array.from({ length: WORDS }, (_, word) =>
      bytes.readDoubleLE(at + word * 8),
    ) as [number, number, number, number, number, number]
    entries.push({ kind, rows, at: time, waitedMs, ranMs, isRunnable: isRunnable === 1 })
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

/** Threads of this process by the system's numbers; empty where the system does not tell. */
export function threadIds(): string[] {
  return existsSync('/proc/self/task') ? readdirSync('/proc/self/task') : []
}

/** Asks Linux how long one thread of this process ran, and how long it waited for a processor. */
export class ThreadWatch {
  readonly #times: number | undefined
  readonly #state: number | undefined
  readonly #buffer = Buffer.alloc(256)

  constructor(id: string | undefined) {
    if (id === undefined) return
    this.#times = openSync(`/proc/self/task/${id}/schedstat`, 'r')
    this.#state = openSync(`/proc/self/task/${id}/stat`, 'r')
  }

  /** Fills words 3, 4 and 5 of a line. Leaves them once the thread has ended. */
  read(line: Float64Array): void {
    if (this.#times === undefined || this.#state === undefined) return
    try {
      const [ran, waited] = this.#text(this.#times).split(' ')
      line[3] = Number(waited) / 1e6
      line[4] = Number(ran) / 1e6
      const stat = this.#text(this.#state)
      line[5] = stat[stat.lastIndexOf(')') + 2] === 'R' ? 1 : 0
    } catch {
      // ESRCH: the thread has ended
    }
  }

  #text(file: number): string {
    return this.#buffer.toString('latin1', 0, readSync(file, this.#buffer, 0, this.#buffer.length, 0))
  }
}
