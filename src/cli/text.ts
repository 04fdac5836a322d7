/**
 * Text from runs and backends on its way to a terminal. Names, notes and reasons may hold anything: each passes
 * `plain` (or `jsonText`) before it is written, and widths are counted in columns.
 */

const ESC = String.fromCharCode(0x1b)
const CSI = String.fromCharCode(0x9b)
const BEL = String.fromCharCode(0x07)
/** Whole sequences first, so that what they carried does not stay behind as `[31m`. */
const ESCAPE_SEQUENCES = new RegExp(
  [
    `(?:${ESC}\\[|${CSI})[0-?]*[ -/]*[@-~]`,
    `${ESC}\\][^${BEL}${ESC}]*(?:${BEL}|${ESC}\\\\)?`,
    `${ESC}[PX^_][^${ESC}]*(?:${ESC}\\\\)?`,
    `${ESC}[ -/]*[0-~]`,
  ].join('|'),
  'g',
)
/** Marks that turn the direction of what follows, and line ends of Unicode's own. */
const TURNS = '\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff'
const DIRECTION = new RegExp(`[${TURNS}]`, 'gu')
const CONTROLS = /[\p{Cc}\u2028\u2029]+/gu
const CONTROLS_IN_LINES = /[^\P{Cc}\n]+/gu

/** One line without anything that a terminal would obey. */
export function plain(text: string): string {
  return withoutEscapes(text).replace(CONTROLS, ' ').trim()
}

/** As `plain`, for text of several lines. */
export function plainLines(text: string): string[] {
  return withoutEscapes(text.replace(/\r\n?|[\u2028\u2029]/g, '\n').replaceAll('\t', '  '))
    .replace(CONTROLS_IN_LINES, ' ')
    .split('\n')
    .map((line) => line.trimEnd())
}

function withoutEscapes(text: string): string {
  return text.toWellFormed().replace(ESCAPE_SEQUENCES, '').replace(DIRECTION, '')
}

/**
 * JSON in one line: what a terminal would obey stands as `\u…`, so that nothing is lost; NaN and the infinities are
 * the strings 'NaN', 'Infinity' and '-Infinity'.
 */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, part) =>
    typeof part === 'number' && !Number.isFinite(part) ? String(part) : part,
  ).replace(UNSAFE_IN_JSON, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
const UNSAFE_IN_JSON = new RegExp(`[\\u007f-\\u009f\\u2028\\u2029${TURNS}]`, 'g')

const ASCII = /^[ -~]*$/
/** Letters that take two columns: East Asian scripts, their punctuation and full-width forms, emoji. */
const WIDE =
  /^(?:\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Script=Bopomofo}|\p{Script=Yi}|\p{Emoji_Presentation}|[\u2e80-\u303e\u3041-\u33ff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6])/u
const HALF_WIDTH = /^[\uff61-\uffdc]/u
const EMOJI_STYLE = '\ufe0f'
const NO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]+$/u

let segmenter: Intl.Segmenter | undefined

/** What a reader takes for letters, with the marks that belong to each. */
function* letters(text: string): Generator<string> {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  for (const { segment } of segmenter.segment(text)) yield segment
}

/** Columns that a text takes in a terminal. */
export function width(text: string): number {
  if (ASCII.test(text)) return text.length
  let columns = 0
  for (const letter of letters(text)) columns += letterWidth(letter)
  return columns
}

function letterWidth(letter: string): number {
  if (NO_WIDTH.test(letter)) return 0
  if (HALF_WIDTH.test(letter)) return 1
  return WIDE.test(letter) || letter.includes(EMOJI_STYLE) ? 2 : 1
}

/** The text if it fits, else its beginning and `…`. */
export function fit(text: string, columns: number): string {
  if (width(text) <= columns) return text
  if (columns <= 0) return ''
  let kept = ''
  let used = 0
  for (const letter of letters(text)) {
    const next = used + letterWidth(letter)
    if (next > columns - 1) break
    kept += letter
    used = next
  }
  return `${kept}…`
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - width(text)))
}

export function padStart(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - width(text))) + text
}

/** `1,234` */
export function count(value: number): string {
  return value.toLocaleString('en')
}

/** A measured value in at most 11 characters, as exact as that allows. */
export function value(number: number): string {
  if (!Number.isFinite(number)) return String(number)
  if (Number.isInteger(number) && Math.abs(number) < 1e9) return String(number)
  const size = Math.abs(number)
  if (size >= 1e6 || size < 1e-4) return number.toExponential(3)
  return String(Number(number.toPrecision(6)))
}

/** `512 B`, `1.5 KiB`, `2.0 GiB` */
export function bytes(size: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let rest = size
  let unit = 0
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024
    unit++
  }
  return unit === 0 ? `${rest} B` : `${rest.toFixed(rest < 10 ? 1 : 0)} ${units[unit]}`
}

/** Local time: `2026-11-23 14:05` */
export function dateTime(wallMs: number): string {
  const date = new Date(wallMs)
  const two = (part: number) => String(part).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`
}
