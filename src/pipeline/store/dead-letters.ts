/**
 * `dead-letters.jsonl`: what a destination refused for good and why, one JSON object a line, append-only.
 * Letters are appended before the cursor moves over their items, so after a crash one may stand there twice:
 * readers take the first of each (destination, seq, mention). The journal keeps the item itself, unchanged.
 */
import { closeSync, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
import type { DestinationName, RecordKind, WallMs } from '../../core/types.ts'
import { FILE_MODE } from './folder.ts'

export const DEAD_LETTERS_FILE = 'dead-letters.jsonl'
/** Where something else than our file has its name: what is refused must not hold up what is not. */
const BESIDE_FILE = 'dead-letters.2.jsonl'
/** Of an open: there is something that will not become a file by waiting, unlike a disk that is full. */
const NO_FILE_OF_OURS = ['EISDIR', 'EACCES', 'EPERM', 'ELOOP', 'ENXIO']
/** A reason often quotes an answer of the backend, which may be a page of HTML. */
const MAX_REASON_LENGTH = 1000
const CHUNK_BYTES = 64 * 1024
/** The names in a letter are those of one record, which a frame of the journal holds. */
const MAX_LINE_BYTES = 64 * 1024 * 1024
const NEWLINE = 10

interface Refusal {
  readonly destination: DestinationName
  /** Number of the item in the run's journal. */
  readonly seq: number
  readonly code: string
  readonly reason: string
  /** When it was refused. */
  readonly at: WallMs
}
export interface DeadPoint extends Refusal {
  readonly kind: 'point'
  readonly name: string
  readonly context: string
  readonly step: number
  readonly time: WallMs
  readonly value: number
}
export interface DeadRecord extends Refusal {
  readonly kind: RecordKind
  /** Names of the parameters or tags that were refused; the others of the record were stored. */
  readonly items?: readonly string[]
  /** It was to be named among the rows, and is not; what became of its upload is counted, and told, apart. */
  readonly mention?: true
}
/** What retention removed before it was delivered there: from `seq` on, so many points and records. */
export interface DeadRange extends Refusal {
  readonly kind: 'gone'
  readonly points: number
  readonly records: number
}
export type DeadLetter = DeadPoint | DeadRecord | DeadRange

/**
 * Appends letters with one write; several destinations and processes may do so at once.
 * @throws TraceletError ERR_JOURNAL_WRITE: then the cursor must not move over their items
 */
export function appendDeadLetters(folder: string, letters: readonly DeadLetter[]): void {
  if (letters.length === 0) return
  const path = join(folder, DEAD_LETTERS_FILE)
  const lines = letters.map((letter) => `${JSON.stringify(letter, toLine)}\n`).join('')
  try {
    const fd = openLetters(folder)
    try {
      // A line that a crash or a full disk tore off must not swallow the next one.
      const content = Buffer.from(endsInLine(fd) ? lines : `\n${lines}`)
      const written = writeSync(fd, content)
      if (written < content.length) throw new Error(`only ${written} of ${content.length} bytes were taken`)
    } finally {
      closeSync(fd)
    }
  } catch (cause) {
    throw new TraceletError('ERR_JOURNAL_WRITE', `cannot write ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
}

function openLetters(folder: string): number {
  try {
    return openSync(join(folder, DEAD_LETTERS_FILE), 'a+', FILE_MODE)
  } catch (error) {
    if (!NO_FILE_OF_OURS.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return openSync(join(folder, BESIDE_FILE), 'a+', FILE_MODE)
  }
}

/** Each dead letter of a run once, oldest first; none when there is no file. Torn lines are passed over. */
export function* readDeadLetters(folder: string): Generator<DeadLetter> {
  const seen = new Set<string>()
  for (const line of allLines(folder)) {
    const letter = parseLetter(line)
    if (letter === undefined) continue
    const isMention = 'mention' in letter && letter.mention
    const identity = `${letter.seq} ${isMention ? 'mention ' : ''}${letter.destination}`
    if (seen.has(identity)) continue
    seen.add(identity)
    yield letter
  }
}

/** Lines that are no letter: damaged, or torn by a crash. An unfinished last line is being written. */
export function countUnreadableLetters(folder: string): number {
  let count = 0
  for (const line of allLines(folder)) if (line !== '' && parseLetter(line) === undefined) count++
  return count
}

function toLine(key: string, value: unknown): unknown {
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))) {
    return Object.is(value, -0) ? '-0' : String(value)
  }
  if (typeof value !== 'string') return value
  const text = withoutControls(value)
  return key === 'reason' && text.length > MAX_REASON_LENGTH
    ? `${text.slice(0, MAX_REASON_LENGTH - 1)}…`
    : text
}

/** A terminal that shows a letter must not obey it: control and bidirectional characters become spaces. */
function withoutControls(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ')
}

function parseLetter(line: string): DeadLetter | undefined {
  let letter: DeadLetter
  try {
    letter = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof letter?.destination !== 'string' || typeof letter.seq !== 'number') return undefined
  // Number() gives back what toLine wrote for NaN, the infinities and -0.
  return letter.kind === 'point'
    ? { ...letter, step: Number(letter.step), value: Number(letter.value) }
    : letter
}

function endsInLine(fd: number): boolean {
  const { size } = fstatSync(fd)
  if (size === 0) return true
  const last = Buffer.alloc(1)
  readSync(fd, last, 0, 1, size - 1)
  return last[0] === NEWLINE
}

function* allLines(folder: string): Generator<string> {
  for (const name of [DEAD_LETTERS_FILE, BESIDE_FILE]) {
    const path = join(folder, name)
    // what is no file has no lines, and would be waited for where it is a pipe
    if (statSync(path, { throwIfNoEntry: false })?.isFile()) yield* readLines(path)
  }
}

function* readLines(path: string): Generator<string> {
  const fd = openSync(path, 'r')
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES)
    // what stands before the chunk of the line that it goes on with
    let parts: Buffer[] = []
    let partBytes = 0
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk)) {
      let start = 0
      for (let end = chunk.indexOf(NEWLINE); end >= 0 && end < length; end = chunk.indexOf(NEWLINE, start)) {
        yield Buffer.concat([...parts, chunk.subarray(start, end)]).toString()
        parts = []
        partBytes = 0
        start = end + 1
      }
      partBytes += length - start
      // of a line that no letter can be so much is kept that it stays one
      if (partBytes <= MAX_LINE_BYTES) parts.push(Buffer.from(chunk.subarray(start, length)))
    }
  } finally {
    closeSync(fd)
  }
}
