/** Text in columns, two spaces between. */
import { fit, padEnd, padStart, width } from './text.ts'

const GAP = '  '
/** A column of text gives way to this in a narrow terminal. */
const NARROWEST = 6
/** One very long text does not push the others away: columns are no wider than this, and what is longer juts out. */
const WIDEST = 120

export interface TableLayout {
  /** Columns flush left; the others are flush right. Default: the first. */
  readonly left?: readonly number[]
  /** Columns of the terminal: those flush left give way first, then lines end early. Default: no limit. */
  readonly columns?: number | undefined
  /** Columns flush left that give way only when all others have: names that are there to be copied. */
  readonly firm?: readonly number[]
  /** Columns that are left out, one after the other, where not all find room. */
  readonly spare?: readonly number[]
  /** Colours a cell that has its spaces already. */
  readonly paint?: (cell: string, row: number, column: number) => string
}

export function alignedTable(
  rows: readonly (readonly string[])[],
  indent = '',
  { left = [0], columns = Infinity, firm = [], spare = [], paint = (cell) => cell }: TableLayout = {},
): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, width(cell))
  }
  const soft = left.filter((column) => !firm.includes(column))
  const shown = shownColumns(widths, soft, spare, columns - indent.length)
  for (const giving of [soft, firm]) narrow(widths, giving, shown, columns - indent.length)
  return rows.map((row, at) => {
    let room = columns - indent.length
    let line = indent
    for (const column of shown) {
      const cell = row[column]
      if (cell === undefined) continue
      const isText = left.includes(column)
      const size = Math.min(widths[column]!, room, WIDEST)
      const full = isText ? padEnd(fitted(cell, columns, size), size) : padStart(whole(cell, room), size)
      line += paint(column === shown.at(-1) ? full.trimEnd() : full, at, column)
      room -= width(full) + GAP.length
      if (column === shown.at(-1) || room <= 0) break
      line += GAP
    }
    return line.trimEnd()
  })
}

function fitted(text: string, columns: number, size: number): string {
  return columns === Infinity ? text : fit(text, size)
}

/** A number that is cut would be another number. */
function whole(number: string, room: number): string {
  return width(number) <= room ? number : fit('…', room)
}

/** Without those that are to be left out first, as many as it takes. */
function shownColumns(
  widths: readonly number[],
  soft: readonly number[],
  spare: readonly number[],
  columns: number,
): number[] {
  let shown = Array.from(widths.keys())
  const least = (column: number) =>
    soft.includes(column) ? Math.min(NARROWEST, widths[column]!) : widths[column]!
  for (const column of spare) {
    const needed = shown.reduce((sum, one) => sum + least(one) + GAP.length, -GAP.length)
    if (needed <= columns) break
    shown = shown.filter((one) => one !== column)
  }
  return shown
}

/** Takes columns from the widest text until the table fits or no text can give more. */
function narrow(
  widths: number[],
  giving: readonly number[],
  shown: readonly number[],
  columns: number,
): void {
  let excess = shown.reduce((sum, one) => sum + widths[one]! + GAP.length, -GAP.length) - columns
  while (excess > 0) {
    let widest = -1
    for (const column of giving) {
      if (!shown.includes(column)) continue
      const size = widths[column] ?? 0
      if (size > NARROWEST && (widest < 0 || size > widths[widest]!)) widest = column
    }
    if (widest < 0) return
    widths[widest]!--
    excess--
  }
}
