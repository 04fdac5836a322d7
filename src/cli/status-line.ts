/** What is being waited for: one changing line in a terminal, else a line on stderr whenever it becomes another. */
import { CLEAR_LINE, terminalColumns } from './terminal.ts'
import { fit } from './text.ts'

export class StatusLine {
  #shown = ''

  show(text: string): void {
    const columns = terminalColumns()
    // a line that wraps could not be taken away
    if (columns !== undefined) process.stdout.write(`${CLEAR_LINE}${fit(`${text} …`, columns - 1)}`)
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
