/**
 * Lines of the history, the events and the summary, as `RowEncoder` and `Summary` give them, as records of a file: each
 * top field of a line is an item with its key and the JSON text of its value, just as it stands in the line.
 *
 *   Record   1 number   2 HistoryRecord | 3 SummaryRecord | 7 StatsRecord
 *   History  1 item…    2 step { 1 number }
 *   Summary  1 item…
 *   Stats    2 time { 1 seconds, 2 nanos }   3 item…
 *   item     1 key      16 JSON text
 *
 * Items are laid into one buffer; keys are known from line to line.
 */
import { MAX_VARINT_BYTES, putVarint, stringField, varintBytes } from '../../protobuf.ts'
import { timestamp } from './messages.ts'

const HISTORY = 2
const SUMMARY = 3
const STATS = 7
/** Field 16, length-delimited. */
const VALUE_TAG = [0x82, 0x01] as const
/** Before the items of a record: its number, its kind and length, a time. */
const HEAD_BYTES = 6 * MAX_VARINT_BYTES
/** Behind them: a step. */
const TAIL_BYTES = 2 * MAX_VARINT_BYTES
/** Of an item beside the bytes of key and value: three fields with their lengths. */
const ITEM_BYTES = 3 * 5 + 4
/** `"":1,` */
const MIN_ITEM_CHARS = 5
/** A longer buffer is not kept for the next lines. */
const KEPT_BYTES = 256 * 1024
/** Of more the further ones are encoded each time. */
const MAX_KNOWN_KEYS = 100_000

interface Key {
  readonly name: string
  /** Field `key` of an item. */
  readonly bytes: Uint8Array
}

export class ItemEncoder {
  readonly #keys = new Map<string, Key>()
  #out = Buffer.alloc(0)
  #at = 0

  /** What was given before is not needed any more. */
  begin(): void {
    if (this.#out.length > KEPT_BYTES) this.#out = Buffer.alloc(0)
    this.#at = 0
  }

  /**
   * @param lines as they stand in a request
   * @param number of the first record
   * @returns a record for each; valid until `begin`
   */
  history(lines: string, number: number): Uint8Array[] {
    return this.#all(lines, (line, at) => this.#record(line, HISTORY, number + at))
  }

  events(lines: string, number: number): Uint8Array[] {
    return this.#all(lines, (line, at) => this.#record(line, STATS, number + at))
  }

  /** @param line JSON text */
  summary(line: string, number: number): Uint8Array {
    return this.#record(line, SUMMARY, number)
  }

  #all(lines: string, record: (line: string, at: number) => Uint8Array): Uint8Array[] {
    const texts = JSON.parse(`[${lines}]`) as string[]
    return texts.map(record)
  }

  /** What is full stays with the records that lie there. */
  #reserve(line: string): void {
    const bound =
      HEAD_BYTES + TAIL_BYTES + Buffer.byteLength(line) + Math.ceil(line.length / MIN_ITEM_CHARS) * ITEM_BYTES
    if (this.#out.length - this.#at >= bound) return
    this.#out = Buffer.allocUnsafe(Math.max(KEPT_BYTES, bound))
    this.#at = 0
  }

  #record(line: string, kind: number, number: number): Uint8Array {
    this.#reserve(line)
    const out = this.#out
    const from = this.#at + HEAD_BYTES
    let at = from
    let step: string | undefined
    let seconds: string | undefined
    for (let char = 1; line.charCodeAt(char) === QUOTE; ) {
      const colon = endOfText(line, char)
      const end = endOfValue(line, colon + 1)
      const key = this.#keyOf(line.slice(char, colon), kind)
      const value = line.slice(colon + 1, end)
      char = end + 1
      if (key.name === '_step') step = value
      if (kind === STATS && key.name.startsWith('_')) {
        if (key.name === '_timestamp') seconds = value
        continue
      }
      at = putItem(out, at, kind === STATS ? 3 : 1, key.bytes, value)
    }
    if (kind === HISTORY && step !== undefined) at = putStep(out, at, Number(step))
    this.#at = at
    if (seconds === undefined) return withHead(out, from, at, kind, number)
    const time = timestamp(2, Math.round(Number(seconds) * 1000))
    out.set(time, from - time.length)
    return withHead(out, from - time.length, at, kind, number)
  }

  /** @param text JSON text of a key */
  #keyOf(text: string, kind: number): Key {
    const id = kind === STATS ? `-${text}` : text
    const known = this.#keys.get(id)
    if (known !== undefined) return known
    const name = JSON.parse(text) as string
    // sync puts it before each
    const key = { name, bytes: stringField(1, kind === STATS ? name.replace(/^system\./, '') : name) }
    if (this.#keys.size < MAX_KNOWN_KEYS) this.#keys.set(id, key)
    return key
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING = new Set([0x7b, 0x5b])
const CLOSING = new Set([0x7d, 0x5d])

/** Behind the text that begins at `at` with its quote. */
function endOfText(line: string, at: number): number {
  for (let end = at + 1; ; end++) {
    const code = line.charCodeAt(end)
    if (code === QUOTE) return end + 1
    if (code === BACKSLASH) end++
    if (Number.isNaN(code)) throw new Error('a line ends within a text')
  }
}

/** Behind the value that begins at `at`: where a comma stands or the line's last brace. */
function endOfValue(line: string, at: number): number {
  const first = line.charCodeAt(at)
  if (first === QUOTE) return endOfText(line, at)
  if (!OPENING.has(first)) {
    const comma = line.indexOf(',', at)
    return comma === -1 ? line.length - 1 : comma
  }
  for (let end = at, depth = 0; end < line.length; ) {
    const code = line.charCodeAt(end)
    if (code === QUOTE) {
      end = endOfText(line, end)
      continue
    }
    end++
    if (OPENING.has(code)) depth++
    else if (CLOSING.has(code) && --depth === 0) return end
  }
  throw new Error('a line ends within a value')
}

function putItem(out: Buffer, start: number, field: number, key: Uint8Array, value: string): number {
  // numbers, and most of the rest, are ASCII
  const valueBytes = Buffer.byteLength(value)
  let at = putVarint(out, start, field * 8 + 2)
  at = putVarint(out, at, key.length + VALUE_TAG.length + varintBytes(valueBytes) + valueBytes)
  out.set(key, at)
  at += key.length
  out[at++] = VALUE_TAG[0]
  out[at++] = VALUE_TAG[1]
  at = putVarint(out, at, valueBytes)
  return at + out.write(value, at)
}

function putStep(out: Buffer, start: number, step: number): number {
  const bytes = Buffer.alloc(MAX_VARINT_BYTES)
  let at = putVarint(out, start, 2 * 8 + 2)
  // what is 0 is left out
  if (step === 0) return putVarint(out, at, 0)
  const length = putVarint(bytes, 0, step)
  at = putVarint(out, at, 1 + length)
  out[at++] = 1 * 8
  out.set(bytes.subarray(0, length), at)
  return at + length
}

/** The record whose content stands at `from … to`, with what comes before it. */
function withHead(out: Buffer, from: number, to: number, kind: number, number: number): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES)
  let length = putVarint(head, 0, 1 * 8)
  length = putVarint(head, length, number)
  length = putVarint(head, length, kind * 8 + 2)
  length = putVarint(head, length, to - from)
  out.set(head.subarray(0, length), from - length)
  return out.subarray(from - length, to)
}
