/**
 * JSON as W&B's lines have it: `NaN`, `Infinity` and `-Infinity` stand bare among the values. What comes out is what
 * `JSON.parse` gives, with those numbers; integers beyond 2^53 lose what a double has no room for.
 */
const STRING_OR_BARE = /"[^"\\]*(?:\\.[^"\\]*)*"|(?:\bNaN|-?\bInfinity)\b(?!\s*:)/g
const BARE: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
}
/** No JSON text has U+FFFF, a noncharacter, unless somebody means to upset this. */
const MARK = '\uffff'

export function parseJson(text: string): unknown {
  if (!/NaN|Infinity/.test(text)) return JSON.parse(text)
  const marked = text.replace(STRING_OR_BARE, (found) => (found[0] === '"' ? found : `"${MARK}${found}"`))
  return JSON.parse(marked, (_key, value) =>
    typeof value === 'string' && value[0] === MARK ? (BARE[value.slice(1)] ?? value) : value,
  )
}

/** As the server's own JSON has them, which knows no such numbers: the words. */
export function withWords(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (Array.isArray(value)) return value.map(withWords)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withWords(inner)]))
}

/** The same value in another text: keys in order of their names. NaN and the infinities stand bare. */
export function rewritten(text: string): string {
  return write(parseJson(text))
}

function write(value: unknown): string {
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : String(value)
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${pairs.map(([key, inner]) => `${JSON.stringify(key)}:${write(inner)}`).join(',')}}`
}
