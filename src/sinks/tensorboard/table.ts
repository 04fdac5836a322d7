/** A logged table as Markdown: its first rows, for the Text tab. Pure. */

export const MAX_ROWS = 100
export const MAX_COLUMNS = 50
const MAX_CELL_LENGTH = 200

/** What the blob of a table holds, or the beginning of it. */
export interface TableHead {
  readonly columns: readonly unknown[]
  readonly data: readonly (readonly unknown[])[]
}

/**
 * The beginning of a table's JSON, `{ "columns": […], "data": [[…], …] }`.
 * @param json the JSON, or its first bytes: then as many rows as are whole
 * @returns undefined when it is no table, or when not even its columns are whole
 */
export function parseTableHead(json: Buffer, isWhole: boolean): TableHead | undefined {
  try {
    const table: unknown = JSON.parse(isWhole ? json.toString() : closedAfterLastRow(json))
    const { columns, data } = table as { columns: unknown; data: unknown }
    return Array.isArray(columns) && Array.isArray(data) && data.every(Array.isArray)
      ? { columns, data }
      : undefined
  } catch {
    return undefined
  }
}

/** What is shown of a table, with a last line that says what is not. */
export function markdownTable(table: TableHead, columns: number, rows: number): string {
  const shownColumns = table.columns.slice(0, MAX_COLUMNS)
  const shownRows = table.data.slice(0, MAX_ROWS)
  const lines = [
    line(shownColumns),
    line(shownColumns.map(() => null)).replaceAll('  ', ' --- '),
    ...shownRows.map((row) => line(shownColumns.map((_, column) => row[column]))),
  ]
  if (shownRows.length === rows && shownColumns.length === columns) return lines.join('\n')
  const shown = `${shownRows.length} of ${rows} rows, ${shownColumns.length} of ${columns} columns`
  return [...lines, '', `… ${shown} are shown; the run's folder holds them all.`].join('\n')
}

function line(cells: readonly unknown[]): string {
  return `| ${cells.map(cellText).join(' | ')} |`
}

function cellText(cell: unknown): string {
  if (cell === null || cell === undefined) return ''
  const text = typeof cell === 'string' ? cell : JSON.stringify(cell)
  const shown = [...text.slice(0, 2 * MAX_CELL_LENGTH)].slice(0, MAX_CELL_LENGTH).join('')
  return escaped(shown === text ? text : `${shown}…`)
}

/** Markdown, HTML and the table's own signs as plain characters; lines broken within the cell. */
function escaped(text: string): string {
  return text
    .replace(/[&<>|\\`]/g, (sign) => `&#${sign.charCodeAt(0)};`)
    .replace(/[*_[\]]/g, '\\$&')
    .replace(/\r\n?|\n/g, '<br>')
    .replace(/\p{Cc}/gu, ' ')
    .trim()
}

/** Cut behind the last row that is whole, and closed: rows are what stands three brackets deep. */
function closedAfterLastRow(json: Buffer): string {
  let depth = 0
  let isText = false
  let end = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (isText) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) isText = false
    } else if (byte === QUOTE) isText = true
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      depth++
      // Without a whole row the table still has its columns.
      if (depth === 3 && end === 0) end = at
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
      depth--
      if (depth === 2) end = at + 1
    }
  }
  return `${json.toString('utf8', 0, end)}]}`
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
