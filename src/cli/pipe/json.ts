/** JSON as programs print it: Python's json writes NaN, Infinity and -Infinity, which JSON has no words for. */

/** Begins a text that stands for such a number; names and metrics never hold U+0000. */
const MARK = '\u0000number:'
const BARE_NUMBER = /-?\b(?:NaN|Infinity)\b/g

/** @throws SyntaxError */
export function parseJson(text: string): unknown {
  if (!text.includes('NaN') && !text.includes('Infinity')) return JSON.parse(text)
  // not by trying JSON first: a line that throws costs ten times one that does not
  const marked = withMarks(text)
  if (marked === text) return JSON.parse(text)
  try {
    return JSON.parse(marked, (_, value: unknown) =>
      typeof value === 'string' && value.startsWith(MARK) ? Number(value.slice(MARK.length)) : value,
    )
  } catch (error) {
    // its message quotes what was parsed
    throw new SyntaxError((error as Error).message.replaceAll(/"?\\u0000number:([-\w]*)"?/g, '$1'))
  }
}

/** The bare words outside of texts as marked texts. */
function withMarks(text: string): string {
  const mark = JSON.stringify(MARK).slice(0, -1)
  let marked = ''
  for (let at = 0; at < text.length; ) {
    const quote = text.indexOf('"', at)
    const outside = text.slice(at, quote < 0 ? text.length : quote)
    marked += outside.replace(BARE_NUMBER, (word) => `${mark}${word}"`)
    if (quote < 0) break
    const end = endOfText(text, quote)
    marked += text.slice(quote, end)
    at = end
  }
  return marked
}

/** Behind the quote that ends the text beginning at `quote`. */
function endOfText(text: string, quote: number): number {
  for (let at = text.indexOf('"', quote + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let backslashes = 0
    while (text[at - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return at + 1
  }
  return text.length
}
