/** Tables as users give them, as the JSON that a run keeps: `{ "columns": […], "data": [[…], …] }`. */
import type { ErrorRecord } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'
import { describe } from '../producer.ts'

/** Rows as objects, columns in the order of their first appearance; or columns and rows of cells. */
export type TableInput =
  | readonly Readonly<Record<string, unknown>>[]
  | { readonly columns: readonly string[]; readonly data: readonly (readonly unknown[])[] }

export interface Table {
  readonly json: string
  readonly columns: number
  readonly rows: number
}

/** A table is read whole by people and backends; more is a dataset, to be logged as an artifact. */
export const MAX_CELLS = 1_000_000

export function toTable(input: TableInput): Table | ErrorRecord {
  if (Array.isArray(input)) return fromRows(input)
  if (typeof input !== 'object' || input === null) return refused(`but was given ${describe(input)}`)
  const { columns, data } = input as Exclude<TableInput, readonly unknown[]>
  if (!Array.isArray(columns) || !Array.isArray(data)) return refused('but was given another object')
  if (!columns.every((column) => typeof column === 'string')) return refused('but a column is not a text')
  if (new Set(columns).size < columns.length) return refused('but two columns have one name')
  if (columns.length * data.length > MAX_CELLS) return tooMany(columns.length, data.length)
  const wrong = data.findIndex((row) => !Array.isArray(row) || row.length !== columns.length)
  if (wrong >= 0) return refused(`but row ${wrong} has not one cell for each of ${columns.length} columns`)
  return toJson(
    columns,
    data.map((row) => row.map(toCell)),
  )
}

function fromRows(rows: readonly Readonly<Record<string, unknown>>[]): Table | ErrorRecord {
  const places = new Map<string, number>()
  for (const [index, row] of rows.entries()) {
    if (typeof row !== 'object' || row === null || Array.isArray(row))
      return refused(`but row ${index} is ${describe(row)}`)
    for (const column of Object.keys(row)) if (!places.has(column)) places.set(column, places.size)
    if (places.size * rows.length > MAX_CELLS) return tooMany(places.size, rows.length)
  }
  const columns = [...places.keys()]
  return toJson(
    columns,
    rows.map((row) => columns.map((column) => (Object.hasOwn(row, column) ? toCell(row[column]) : null))),
  )
}

function toJson(columns: readonly string[], data: readonly (readonly unknown[])[]): Table {
  return {
    json: JSON.stringify({ columns: columns.map(redactText), data }),
    columns: columns.length,
    rows: data.length,
  }
}

/** JSON has no NaN, no infinities, no big integers and no dates: they stand there as texts. */
function toCell(value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'string':
    case 'boolean':
      return value
    case 'undefined':
      return null
    case 'object':
      return value === null ? null : toNested(value)
    default:
      return String(value)
  }
}

function toNested(value: object): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  try {
    return JSON.parse(JSON.stringify(value, (_, inner) => toInner(inner)))
  } catch {
    // it holds itself, or something of it cannot be read
    return Object.prototype.toString.call(value)
  }
}

function toInner(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint') return String(value)
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as Uint8Array)
  if (value instanceof Map) return Object.fromEntries(value)
  if (value instanceof Set) return [...value]
  return value
}

function refused(why: string): ErrorRecord {
  return {
    code: 'ERR_VALUE',
    message: `a table is an array of objects or { columns, data } with a row each in data, ${why}`,
  }
}
function tooMany(columns: number, rows: number): ErrorRecord {
  return {
    code: 'ERR_VALUE_TOO_LONG',
    message: `a table has at most ${MAX_CELLS} cells, but this one has ${rows} rows of ${columns}; log it as an artifact`,
  }
}
