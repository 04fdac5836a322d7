/** What is being waited for: one changing line in a terminal, else a line on stderr whenever it becomes another. */
const CLEAR_LINE = '\r\x1b[K'

export class StatusLine {
  #shown = ''

  show(text: string): void {
    if (process.stdout.isTTY) process.stdout.write(`${CLEAR_LINE}${text} …`)
    // A log of a pipe needs no line per package.
    else if (firstWords(text) !== firstWords(this.#shown)) process.stderr.write(`${text} …\n`)
    this.#shown = text
  }

  clear(): void {
    if (process.stdout.isTTY && this.#shown !== '') process.stdout.write(CLEAR_LINE)
    this.#shown = ''
  }
}

function firstWords(text: string): string {
  return text.split(',', 1)[0]!
}
