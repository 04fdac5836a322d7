/** Text in columns, two spaces between. */
import { fit, padEnd, padStart, width } from './text.ts'

const GAP = '  '
/** A column of text gives way to this in a narrow terminal. */
const NARROWEST = 6

export interface TableLayout {
  /** Columns flush left; the others are flush right. Default: the first. */
  readonly left?: readonly number[]
  /** Columns of the terminal: those flush left give way first, then lines are cut. Default: no limit. */
  readonly columns?: number | undefined
  /** Colours a cell that has its spaces already. */
  readonly paint?: (cell: string, row: number, column: number) => string
}

export function alignedTable(
  rows: readonly (readonly string[])[],
  indent = '',
  { left = [0], columns = Infinity, paint = (cell) => cell }: TableLayout = {},
): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, width(cell))
  }
  narrow(widths, left, columns - indent.length)
  return rows.map((row, at) => {
    let room = columns - indent.length
    let line = indent
    for (const [column, cell] of row.entries()) {
      const fitting = fit(cell, Math.min(widths[column]!, room))
      const isLast = column === row.length - 1
      const full = left.includes(column)
        ? isLast
          ? fitting
          : padEnd(fitting, Math.min(widths[column]!, room))
        : padStart(fitting, Math.min(widths[column]!, Math.max(0, room)))
      line += paint(full, at, column)
      room -= width(full) + GAP.length
      if (isLast || room <= 0) break
      line += GAP
    }
    return line.trimEnd()
  })
}

/** Takes columns from the widest text until the table fits or no text can give more. */
function narrow(widths: number[], left: readonly number[], columns: number): void {
  let excess = widths.reduce((sum, one) => sum + one, 0) + GAP.length * (widths.length - 1) - columns
  while (excess > 0) {
    let widest = -1
    for (const column of left) {
      const size = widths[column] ?? 0
      if (size > NARROWEST && (widest < 0 || size > widths[widest]!)) widest = column
    }
    if (widest < 0) return
    widths[widest]!--
    excess--
  }
}
