/** Bytes into lines, in bounded memory. */
import { isUtf8 } from 'node:buffer'

const NEWLINE = 0x0a
const BYTE_ORDER_MARK = '\ufeff'

/** A line's text, or why it has none. */
export type Line = { readonly text: string } | { readonly fault: string }

export class LineSplitter {
  readonly #maxBytes: number
  readonly #onLine: (line: Line, number: number, isWhole: boolean) => void
  /** Of the line that is not whole yet. */
  #parts: Buffer[] = []
  #bytes = 0
  #number = 1

  /**
   * @param maxBytes of a longer line nothing is kept
   * @param onLine told each line with its number, from 1; blank ones are left out. The last line of all is not whole
   * when it did not end in a newline
   */
  constructor(maxBytes: number, onLine: (line: Line, number: number, isWhole: boolean) => void) {
    this.#maxBytes = maxBytes
    this.#onLine = onLine
  }

  push(chunk: Buffer): void {
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end))
      this.#tell(true)
      from = end + 1
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from))
  }

  end(): void {
    if (this.#bytes > 0) this.#tell(false)
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length
    if (this.#bytes > this.#maxBytes) this.#parts = []
    else if (part.length > 0) this.#parts.push(part)
  }

  #tell(isWhole: boolean): void {
    const number = this.#number++
    const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    const isTooLong = this.#bytes > this.#maxBytes
    this.#parts = []
    this.#bytes = 0
    if (isTooLong) {
      this.#onLine({ fault: `longer than ${this.#maxBytes} bytes` }, number, isWhole)
      return
    }
    if (!isUtf8(bytes)) {
      this.#onLine({ fault: 'not UTF-8' }, number, isWhole)
      return
    }
    const text = bytes.toString()
    const plain = number === 1 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text
    if (plain.trim() !== '') this.#onLine({ text: plain }, number, isWhole)
  }
}
