/**
 * JSON as W&B's texts have it: numbers may be bare `NaN`, `Infinity` and `-Infinity`, and integers have 64 bits. What
 * another writer has left there must come back as it was, so integers beyond 2^53 are read as bigints.
 *
 * SDK 0.31.0 writes `Infinity` bare in configs, histories and summaries alike; a NaN of a config becomes null.
 */

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject
/** Without a prototype where it was read: any name may be a key. */
export interface JsonObject {
  readonly [key: string]: Json
}

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g
/** Before what JSON has no spelling for; doubled where a text begins with it. */
const MARK = '\u{10ffff}'

/** Undefined for a text that is none, and for none at all. */
export function parseJson(text: string | null | undefined): Json | undefined {
  if (typeof text !== 'string' || text === '') return undefined
  const marked = text.replace(TOKEN, (token) => {
    if (token[0] === '"') return token.startsWith(`"${MARK}`) ? `"${MARK}${token.slice(1)}` : token
    if (/[NI]/.test(token)) return `"${MARK}${token}"`
    return /^-?\d{16,}$/.test(token) ? `"${MARK}n${token}"` : token
  })
  try {
    return JSON.parse(marked, (_key, value: unknown) => {
      if (typeof value === 'string' && value.startsWith(MARK)) return unmarked(value.slice(MARK.length))
      if (typeof value === 'object' && value !== null && !Array.isArray(value))
        return Object.assign(Object.create(null), value)
      return value
    }) as Json
  } catch {
    return undefined
  }
}

export function jsonText(value: Json): string {
  if (typeof value === 'number') return numberText(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`
  const pairs = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${jsonText(inner)}`)
  return `{${pairs.join(',')}}`
}

/** As lines of the history have it: -0 is 0. */
export function numberText(value: number): string {
  return String(value)
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unmarked(text: string): Json {
  if (text.startsWith(MARK)) return text
  if (text[0] !== 'n') return Number(text)
  const number = Number(text.slice(1))
  return Number.isSafeInteger(number) ? number : BigInt(text.slice(1))
}
