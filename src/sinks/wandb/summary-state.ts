/**
 * What of a summary outlives the process: what the server's own summary cannot give back stands in the cursor's state.
 *
 * The server's text may be from a while ago, and says neither how many values a mean is of nor what stands behind a
 * summary. So the state has, up to 16 KiB, first what the aggregated keys need to go on, then last values. It belongs
 * to the cursor's place in the journal: rows that come again are counted from there, once.
 *
 * Beyond 16 KiB (some 150 aggregated keys, or 500 others) the server's text counts: a last value, a min, max or best
 * go on from there; a mean begins anew with the restart.
 */
import { isObject, type JsonObject, jsonText, numberText, parseJson } from './extended-json.ts'
import type { MetricDefinitions } from './metric-definitions.ts'
import { KIND, SHOWN, type SummaryColumns } from './summary-columns.ts'

const MAX_STATE_BYTES = 16 * 1024
/** Of one last value; what is longer has to be had from the server. */
const MAX_VALUE_BYTES = 1024
/** Keys that are looked at for it. */
const MAX_KEYS = 2000
const AGGREGATED = SHOWN.min | SHOWN.max | SHOWN.mean | SHOWN.least | SHOWN.greatest
const OWN_FIELDS: ReadonlySet<string> = new Set(['_step', '_timestamp', '_runtime', '_wandb'])

export interface SummaryState {
  /** By key: min, max, sum, count and best of its values, with spaces between; NaN and infinities are words. */
  readonly sums?: Readonly<Record<string, string>>
  /** By key: the last value as JSON text. */
  readonly last?: Readonly<Record<string, string>>
  /** W&B's own fields, as they stand in the line. */
  readonly times?: string
}

/** @param aggregated slots of the keys that are */
export function stateOf(columns: SummaryColumns, aggregated: readonly number[], times: string): SummaryState {
  let room = MAX_STATE_BYTES - 100
  const take = (key: string, text: string) => {
    // both stand in quotes, and those within are escaped
    const bytes = Buffer.byteLength(JSON.stringify(key)) + Buffer.byteLength(JSON.stringify(text)) + 2
    if (bytes > room) return false
    room -= bytes
    return true
  }
  const withSums = new Set<number>()
  const sums: [string, string][] = []
  const last: [string, string][] = []
  const { keys, kind, min, max, sum, count, best } = columns
  for (const slot of aggregated.slice(0, MAX_KEYS)) {
    if (count[slot] === 0) continue
    const numbers = [min[slot]!, max[slot]!, sum[slot]!, count[slot]!, best[slot]!]
    const text = numbers.map(numberText).join(' ')
    if (!take(keys[slot]!, text)) break
    sums.push([keys[slot]!, text])
    withSums.add(slot)
  }
  for (let slot = 0; slot < Math.min(columns.length, MAX_KEYS); slot++) {
    if (kind[slot] !== KIND.number && kind[slot] !== KIND.text) continue
    // without its sums it would seem to be a plain one
    if (isAggregated(columns, slot) && count[slot]! > 0 && !withSums.has(slot)) continue
    const text = kind[slot] === KIND.number ? numberText(columns.last[slot]!) : columns.texts[slot]!
    if (text.length > MAX_VALUE_BYTES) continue
    if (!take(keys[slot]!, text)) break
    last.push([keys[slot]!, text])
  }
  return { sums: Object.fromEntries(sums), last: Object.fromEntries(last), times }
}

/**
 * What the server has, and over it what the state knows better.
 * @returns W&B's own fields, as they stand in the line
 */
export function restore(
  columns: SummaryColumns,
  definitions: MetricDefinitions,
  saved: unknown,
  served: string | null | undefined,
): string {
  const slotOf = (key: string) => {
    const slot = columns.slotOf(key)
    columns.setShown(slot, definitions.of(key))
    return slot
  }
  const theirs = parseJson(served)
  const fields: string[] = []
  for (const [key, value] of Object.entries(isObject(theirs) ? theirs : {})) {
    if (OWN_FIELDS.has(key)) {
      fields.push(`"${key}":${jsonText(value)}`)
      continue
    }
    const slot = slotOf(key)
    columns.kind[slot] = KIND.served
    columns.texts[slot] = jsonText(value)
    if (isObject(value)) goOnFrom(columns, slot, value)
  }
  const { sums = {}, last = {}, times } = isState(saved) ? saved : {}
  for (const [key, text] of Object.entries(last)) {
    const slot = slotOf(key)
    const value = parseJson(text)
    if (typeof value === 'number') {
      columns.kind[slot] = KIND.number
      columns.last[slot] = value
    } else if (value !== undefined) {
      columns.kind[slot] = KIND.text
      columns.texts[slot] = text
    }
  }
  for (const [key, text] of Object.entries(sums)) {
    const numbers = text.split(' ').map(Number)
    if (numbers.length !== 5) continue
    const slot = slotOf(key)
    const [min, max, sum, count, best] = numbers as [number, number, number, number, number]
    columns.min[slot] = min
    columns.max[slot] = max
    columns.sum[slot] = sum
    columns.count[slot] = count
    columns.best[slot] = best
  }
  return times || fields.join(',')
}

/** Those that need sums to go on. */
export function isAggregated(columns: SummaryColumns, slot: number): boolean {
  return (columns.shown[slot]! & AGGREGATED) !== 0
}

/** A min, max or best of the server's; of a mean it cannot be told how many values it is of. */
function goOnFrom(columns: SummaryColumns, slot: number, value: JsonObject): void {
  if (!isAggregated(columns, slot) || '_type' in value) return
  const number = (of: unknown) =>
    typeof of === 'number' ? of : typeof of === 'string' ? WORDS[of] : undefined
  columns.min[slot] = number(value.min) ?? columns.min[slot]!
  columns.max[slot] = number(value.max) ?? columns.max[slot]!
  columns.best[slot] = number(value.best) ?? columns.best[slot]!
}

/** What a server makes of numbers that its JSON does not know. */
const WORDS: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
}

function isState(saved: unknown): saved is SummaryState {
  return typeof saved === 'object' && saved !== null
}
