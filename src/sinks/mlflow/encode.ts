/**
 * Points, params and tags → bodies of `runs/log-batch`. Pure.
 *
 * E1 Every element is one that MLflow can parse. On a fractional step, `1e400`, bare NaN or a step beyond int64 a
 *    server keeps what it has parsed so far, drops the rest of the batch and answers 200: such points never get
 *    into a body, they are rejected here by index.
 * E2 `run_id` stands first: an unparsable body without it is refused, not cut short.
 * E3 Equal points give equal bytes in any batch: MLflow's identity of a point is (key, timestamp, step, value), so
 *    what is sent twice is stored once.
 * E4 Bodies are ASCII (other letters as \uXXXX), so their length in bytes is their length in characters.
 */
import type { ParamValue, PointColumns, Rejection } from '../../core/types.ts'

export interface EncodedPoints {
  readonly body: Buffer
  /** Points in the body. */
  readonly count: number
  readonly rejected: readonly Rejection[]
  /** Points equal to an earlier one of the batch in all that MLflow tells points apart by. */
  readonly superseded: number
  /** Index of the first ±Infinity, which MLflow stores as ±1.797…e308; -1 for none. */
  readonly infinityAt: number
}

/** `{"run_id":"` 32 hex `","metrics":[` … `]}`, and room for a longer run id. */
export const ENVELOPE_BYTES = 512
const POINT_FIXED_BYTES = 41 + 24 + 17 + 16
const MAX_KEY_BYTES = 250 * 6

/** Upper bound of one point in a body, from the UTF-8 length of its series' name and context. */
export function pointBytes(nameBytes: number): number {
  return POINT_FIXED_BYTES + Math.min(MAX_KEY_BYTES, 3 * nameBytes + 4 + 18)
}

/** What stands before a point's value. */
export function pointPrefix(key: string): string {
  return `{"key":${asciiJson(key)},"value":`
}

/**
 * @param prefix `pointPrefix(key)` of a series
 */
export function encodePoints(
  runId: string,
  points: PointColumns,
  prefix: (series: number) => string,
): EncodedPoints {
  const { length, series, step, time, value } = points
  const rejected: Rejection[] = []
  let text = `{"run_id":${asciiJson(runId)},"metrics":[`
  let tail = ''
  let tailStep = Number.NaN
  let tailTime = Number.NaN
  let count = 0
  let infinityAt = -1
  // Points equal to another one can exist only where (time, step) does not strictly grow from row to row.
  let mayRepeat = false
  for (let i = 0; i < length; i++) {
    const pointStep = step[i]!
    const pointTime = time[i]!
    if (pointStep !== tailStep || pointTime !== tailTime) {
      const refused = refusal(pointStep, pointTime)
      if (refused !== undefined) {
        rejected.push({ index: i, code: 'ERR_REFUSED', reason: refused })
        continue
      }
      const stamp = Math.floor(pointTime)
      const before = Math.floor(tailTime)
      if (!(count === 0 || stamp > before || (stamp === before && pointStep > tailStep))) mayRepeat = true
      tailStep = pointStep
      tailTime = pointTime
      tail = `,"timestamp":${stampText(stamp)},"step":${pointStep}}`
    }
    const number = value[i]!
    let digits: string
    if (Number.isFinite(number)) digits = `${number}`
    else if (Number.isNaN(number)) digits = '"NaN"'
    else {
      digits = number > 0 ? '"Infinity"' : '"-Infinity"'
      if (infinityAt === -1) infinityAt = i
    }
    text += (count === 0 ? '' : ',') + prefix(series[i]!) + digits + tail
    count++
  }
  const superseded = mayRepeat || hasSeriesTwiceInRow(points) ? countRepeated(points) : 0
  return { body: Buffer.from(`${text}]}`, 'latin1'), count, rejected, superseded, infinityAt }
}

let millionsText = ''
let millions = -1

/** Text of a whole number of ms. The engine spells small integers several times as fast as large ones. */
function stampText(stamp: number): string {
  if (stamp < 1e6) return `${stamp}`
  const high = Math.floor(stamp / 1e6)
  if (high !== millions) {
    millions = high
    millionsText = `${high}`
  }
  return millionsText + `${1e6 + (stamp - high * 1e6)}`.slice(1)
}

/** Why MLflow cannot hold a point; undefined when it can. Times are cut to whole milliseconds. */
function refusal(step: number, time: number): string | undefined {
  if (!Number.isSafeInteger(step)) return `the step ${step} is not an integer below 2^53`
  if (!(time >= 0 && time <= Number.MAX_SAFE_INTEGER)) {
    return `MLflow takes no time before 1970 or beyond 2^53 ms, and this one is ${time} ms`
  }
  return undefined
}

/** By series: the last row, counted over all batches of the thread, that had a point of it. */
let lastRow = new Uint32Array(1024)
let row = 0

function hasSeriesTwiceInRow(points: PointColumns): boolean {
  const { length, series, step, time } = points
  if (row + length > 0xffffffff) {
    lastRow.fill(0)
    row = 0
  }
  row++
  for (let i = 0; i < length; i++) {
    if (i > 0 && (step[i] !== step[i - 1] || time[i] !== time[i - 1])) row++
    const id = series[i]!
    if (id >= lastRow.length) {
      const grown = new Uint32Array(2 * (id + 1))
      grown.set(lastRow)
      lastRow = grown
    }
    if (lastRow[id] === row) return true
    lastRow[id] = row
  }
  return false
}

function countRepeated(points: PointColumns): number {
  const { length, series, step, time, value } = points
  const seen = new Set<string>()
  let valid = 0
  for (let i = 0; i < length; i++) {
    if (refusal(step[i]!, time[i]!) !== undefined) continue
    valid++
    seen.add(`${series[i]} ${step[i]} ${Math.floor(time[i]!)} ${value[i]}`)
  }
  return valid - seen.size
}

// ── params and tags ──────────────────────────────────────────────────────────────────────────────────

export const MAX_PARAM_CHARS = 6000
export const MAX_TAG_CHARS = 8000
const MAX_ENTRIES = 100
const MAX_CHUNK_CHARS = 150_000

export interface Entry {
  /** Its place in the record, for a rejection. */
  readonly index: number
  readonly key: string
  readonly value: string
}

/** As JavaScript writes the value: `true`, `0.001`, `null`. */
export function paramText(value: ParamValue): string {
  return String(value)
}

/**
 * What MLflow and the databases below it can hold of a text: at most `max` characters, no half surrogates, no NUL
 * (PostgreSQL refuses it). Longer ones would be cut by the server without a word.
 */
export function fitText(text: string, max: number): string {
  const cut = text.length > max ? text.slice(0, /[\uD800-\uDBFF]/.test(text[max - 1]!) ? max - 1 : max) : text
  return cut.toWellFormed().replaceAll('\0', '\uFFFD')
}

/** Parts of at most 100 entries (MLflow's limit) whose bodies stay far below 1 MB even when all is escaped. */
export function chunkEntries(entries: readonly Entry[]): Entry[][] {
  const chunks: Entry[][] = []
  let chars = 0
  for (const entry of entries) {
    const size = entry.key.length + entry.value.length + 30
    const last = chunks.at(-1)
    if (last === undefined || last.length === MAX_ENTRIES || chars + size > MAX_CHUNK_CHARS) {
      chunks.push([entry])
      chars = size
    } else {
      last.push(entry)
      chars += size
    }
  }
  return chunks
}

export function encodeEntries(runId: string, field: 'params' | 'tags', entries: readonly Entry[]): Buffer {
  const list = entries.map(({ key, value }) => ({ key, value }))
  return Buffer.from(asciiJson({ run_id: runId, [field]: list }), 'latin1')
}

/** JSON in ASCII only. */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
