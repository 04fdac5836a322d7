/**
 * A logged table's blob, `{"columns":[…],"data":[[…],…]}`, read in parts: a few rows at a time are in memory, and the
 * thread does something else between two parts. A single row is parsed at once, however long it is.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BlobError, chunksOf, type FilePiece } from '../../run-blobs.ts'

/** Some 2 ms of parsing. */
const PART_BYTES = 64 * 1024

/** Values as JSON has them. */
export type Cell = null | boolean | number | string | readonly Cell[] | { readonly [key: string]: Cell }
export type Row = readonly Cell[]

/**
 * Rows in parts, the columns with each of them; one part at the least.
 * @throws BlobError for what is no such table; errors of node:fs that may pass
 */
export async function* rowsOf(piece: FilePiece): AsyncGenerator<{
  readonly columns: readonly string[]
  readonly rows: readonly Row[]
}> {
  const scanner = new Scanner(piece.location)
  let isFirst = true
  for await (const chunk of chunksOf(piece)) {
    for (let at = 0; at < chunk.length; at += PART_BYTES) {
      if (!isFirst) await nextTurn()
      isFirst = false
      const rows = scanner.push(chunk.subarray(at, at + PART_BYTES))
      const { columns } = scanner
      if (columns !== undefined && rows.length > 0) yield { columns, rows }
    }
  }
  yield { columns: scanner.end(), rows: [] }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Finds where columns and rows begin and end by counting brackets; what they say is JSON.parse's. */
class Scanner {
  columns: readonly string[] | undefined
  readonly #location: string
  #depth = 0
  #isText = false
  #isEscaped = false
  /** Begun in an earlier part and not over. */
  #open: Buffer[] = []
  #isOpen = false

  constructor(location: string) {
    this.#location = location
  }

  /** @returns the rows that end in this part */
  push(part: Uint8Array): readonly Row[] {
    const bytes = Buffer.from(part.buffer, part.byteOffset, part.byteLength)
    const rows: Row[] = []
    let from = 0
    // rows that lie one behind the other are parsed together
    let to = -1
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]
      if (this.#isText) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === BACKSLASH) this.#isEscaped = true
        else if (byte === QUOTE) this.#isText = false
      } else if (byte === QUOTE) this.#isText = true
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        this.#depth++
        if (!this.#isOpen && this.#depth === (this.columns === undefined ? 2 : 3)) {
          this.#isOpen = true
          if (to < 0) from = at
        }
      } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
        this.#depth--
        if (!this.#isOpen || this.#depth !== (this.columns === undefined ? 1 : 2)) continue
        this.#isOpen = false
        if (this.columns === undefined) this.#takeColumns(this.#text(bytes, from, at + 1))
        else if (this.#open.length > 0) rows.push(...this.#parsed(this.#text(bytes, 0, at + 1)))
        else to = at + 1
      }
    }
    if (to >= 0) rows.push(...this.#parsed(bytes.toString('utf8', from, to)))
    if (this.#isOpen) this.#open.push(Buffer.from(bytes.subarray(to >= 0 ? this.#begin(bytes, to) : from)))
    return rows
  }

  end(): readonly string[] {
    if (this.columns === undefined || this.#depth !== 0) throw this.#noTable()
    return this.columns
  }

  /** Where the row begins that stands behind the last whole one. */
  #begin(bytes: Buffer, to: number): number {
    return bytes.indexOf(OPEN_ARRAY, to)
  }

  #text(bytes: Buffer, from: number, to: number): string {
    if (this.#open.length === 0) return bytes.toString('utf8', from, to)
    const all = Buffer.concat([...this.#open, bytes.subarray(0, to)])
    this.#open = []
    return all.toString('utf8')
  }

  #takeColumns(text: string): void {
    const columns = this.#json(text)
    if (!Array.isArray(columns) || !columns.every((column) => typeof column === 'string'))
      throw this.#noTable()
    this.columns = columns
  }

  /** @param text of rows with commas between them */
  #parsed(text: string): readonly Row[] {
    const rows = this.#json(`[${text}]`) as readonly Row[]
    const { length } = this.columns!
    if (!rows.every((row) => Array.isArray(row) && row.length === length)) throw this.#noTable()
    return rows
  }

  #json(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch {
      throw this.#noTable()
    }
  }

  #noTable(): BlobError {
    return new BlobError(`${this.#location} is no table`)
  }
}
