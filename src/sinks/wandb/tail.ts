/**
 * Lines that the server has and the cursor does not know of. They are ours, and an answer was lost, or another writer's:
 * they are compared by value with what the journal makes of those lines, before anything is sent over them.
 *
 * Where all of them can be read they are compared one by one. A look at the run shows only the last ones, perhaps from
 * a while ago, and without their numbers. But `_step` rises from line to line, so by it each finds its own.
 */
import { parseObject } from './api.ts'

type Line = Readonly<Record<string, unknown>>

/** 'unknown': none of the lines is among those that the server shows. */
export type Verdict = 'same' | 'unknown' | { readonly differs: string }

export class Tail {
  /** Lines that the server has in all. */
  readonly count: number
  readonly #lines: readonly Line[]
  /** Number of the first of them, where they are all. */
  readonly #from: number | undefined

  /**
   * @param shown the last lines, or all since line `first`
   * @param lastStep of the last line that the cursor knows of
   */
  constructor(count: number, shown: readonly string[], first: number, lastStep: number) {
    this.count = count
    this.#lines = shown.map(readLine).filter((line) => stepOf(line) > lastStep)
    this.#from = this.#lines.length === count - first ? first : undefined
  }

  /** Nothing is shown of the lines that are not known. */
  get isEmpty(): boolean {
    return this.#lines.length === 0
  }

  /**
   * @param first number of the first of these lines
   * @param history lines as they stand in a request
   */
  compare(first: number, history: string): Verdict {
    if (this.#from !== undefined) return this.#compareAll(first - this.#from, history)
    const texts = (JSON.parse(`[${history}]`) as string[]).slice(0, Math.max(0, this.count - first))
    const ours = texts.map(readLine)
    const last = ours.length === 0 ? Number.NEGATIVE_INFINITY : stepOf(ours.at(-1)!)
    const areAll = first + ours.length === this.count
    let verdict: Verdict = 'unknown'
    for (const theirs of this.#lines) {
      const step = stepOf(theirs)
      if (step > last && !areAll) continue
      const own = ours.find((line) => stepOf(line) === step)
      if (own === undefined) return { differs: `a line of step ${step} that is not ours` }
      if (!isSame(own, theirs)) return { differs: `another line of step ${step}` }
      verdict = 'same'
    }
    return verdict
  }

  #compareAll(at: number, history: string): Verdict {
    const theirs = this.#lines.slice(at)
    const ours = (JSON.parse(`[${history}]`) as string[]).slice(0, theirs.length).map(readLine)
    const differing = ours.findIndex((line, index) => !isSame(line, theirs[index]!))
    if (differing !== -1) return { differs: `another line of step ${stepOf(theirs[differing]!)}` }
    return 'same'
  }
}

/** `_step` of the last line that a tail shows; -1 where it shows none. */
export function lastStepOf(text: string | null | undefined): number {
  return readTail(text).reduce((last, line) => Math.max(last, stepOf(readLine(line))), -1)
}

/** `historyTail`, a JSON list of lines; what cannot be read counts as not shown. */
export function readTail(text: string | null | undefined): string[] {
  try {
    const list: unknown = JSON.parse(text || '[]')
    return Array.isArray(list) ? list.map(String) : []
  } catch {
    return []
  }
}

const BARE = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g

/** NaN and the infinities become the words that servers make of them. */
function readLine(text: string): Line {
  return parseObject(text.replace(BARE, (token) => (token[0] === '"' ? token : `"${token}"`))) ?? {}
}

function stepOf(line: Line): number {
  return typeof line._step === 'number' ? line._step : Number.NEGATIVE_INFINITY
}

/** Whether they say the same; a server may add fields of its own, which begin with `_`. */
function isSame(ours: Line, theirs: Line): boolean {
  const added = Object.keys(theirs).filter((key) => !(key in ours) && !key.startsWith('_'))
  return added.length === 0 && Object.keys(ours).every((key) => equal(ours[key], theirs[key]))
}

function equal(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return a === b
  const keys = Object.keys(a)
  return (
    Array.isArray(a) === Array.isArray(b) &&
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && equal((a as Line)[key], (b as Line)[key]))
  )
}
