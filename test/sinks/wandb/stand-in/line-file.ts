/**
 * A file of lines, as file_stream fills it: line n of the file is written by its offset n. A line may be written
 * again with the same bytes; what does not fit is a problem, and is written all the same, as a server would.
 */
import { parseJson } from './json.ts'

export interface LineRules {
  /** Lines after a gap go to the end of the file. Without it they are kept out: what a hole does is nobody's fact. */
  readonly rebasesGaps: boolean
  /** A written line may change: a console's. */
  readonly allowsRewrites: boolean
  /** Bytes are counted and forgotten. */
  readonly isLight: boolean
}

export class LineFile {
  readonly name: string
  /** Nothing of it where the server is light. */
  readonly lines: string[] = []
  count = 0
  /** Of its lines in UTF-8; where the server is light as they stood in the bodies. */
  bytes = 0
  /** Lines that came again, byte by byte the same; where the server is light, all that came again. */
  overlapSame = 0
  overlapDiffering = 0
  gaps = 0
  rewritten = 0
  /** Lines that were there after each request that brought new ones, and when: ms since the epoch. */
  readonly growth: { readonly lines: number; readonly atMs: number }[] = []
  readonly #isJson: boolean
  readonly #rules: LineRules
  readonly #problem: (text: string) => void

  constructor(name: string, rules: LineRules, problem: (text: string) => void) {
    this.name = name
    this.#isJson = name.endsWith('.jsonl')
    this.#rules = rules
    this.#problem = problem
  }

  write(offset: number, content: readonly string[]): void {
    if (content.length === 0) return
    const at = this.#place(offset, content.length)
    if (at === undefined) return
    let firstDiffering = -1
    for (const [i, line] of content.entries()) {
      const n = at + i
      if (n >= this.lines.length) {
        if (this.#isJson && !isJsonObject(line)) this.#problem(`${this.name}: line ${n} is no JSON object`)
        this.lines.push(line)
        this.bytes += Buffer.byteLength(line)
      } else if (this.lines[n] === line) {
        this.overlapSame++
      } else {
        this.lines[n] = line
        if (this.#rules.allowsRewrites) this.rewritten++
        else {
          this.overlapDiffering++
          if (firstDiffering === -1) firstDiffering = n
        }
      }
    }
    this.#grow(this.lines.length)
    if (firstDiffering !== -1) {
      this.#problem(`${this.name}: line ${firstDiffering} came again with other bytes (offset ${offset})`)
    }
  }

  /** As `write`, of a body that was not read. */
  writeUnread(offset: number, lines: number, bytes: number): void {
    if (lines === 0) return
    const at = this.#place(offset, lines)
    if (at === undefined) return
    const known = Math.min(this.count - at, lines)
    this.overlapSame += known
    this.#grow(Math.max(this.count, at + lines))
    // of a request that is partly known: its share
    this.bytes += Math.round((bytes * (lines - known)) / lines)
  }

  /** As a second writer would. */
  append(line: string): void {
    if (!this.#rules.isLight) this.lines.push(line)
    this.count++
    this.bytes += Buffer.byteLength(line)
  }

  #grow(count: number): void {
    if (count === this.count) return
    this.count = count
    this.growth.push({ lines: count, atMs: performance.timeOrigin + performance.now() })
  }

  #place(offset: number, length: number): number | undefined {
    if (!Number.isSafeInteger(offset) || offset < 0) {
      this.#problem(`${this.name}: offset ${offset}`)
      return undefined
    }
    if (offset <= this.count) return offset
    this.gaps++
    this.#problem(`${this.name}: a gap, ${length} lines at offset ${offset} where line ${this.count} is next`)
    return this.#rules.rebasesGaps ? this.count : undefined
  }
}

function isJsonObject(line: string): boolean {
  try {
    const value = parseJson(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
