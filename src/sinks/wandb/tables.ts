/**
 * Logged tables as W&B has them, byte by byte as SDK 0.31.0 writes them, wherever they are made:
 *
 *   run        {"columns":[…],"data":[[…],…]}                        the first 10,000 rows, a file of the run
 *   artifact   {"_type": "table", "column_types": …, "columns": […], "data": [[…], …],
 *               "log_mode": "IMMUTABLE", "ncols": n, "nrows": n}      the first 200,000
 *
 * Neither is ever whole in memory: each is made of the blob while it is read, a part at a time.
 */
import { createHash } from 'node:crypto'
import type { BlobRef } from '../../core/types.ts'
import { type FilePiece, verified } from '../run-blobs.ts'
import { cellJson, type Spelling } from './tables/cell-json.ts'
import { CellType, type TypeJson } from './tables/column-types.ts'
import { type Row, rowsOf } from './tables/rows.ts'

/** `wandb.Table.MAX_ROWS` and `wandb.Table.MAX_ARTIFACT_ROWS`. */
export const MAX_ROWS = { run: 10_000, artifact: 200_000 } as const satisfies Record<Spelling, number>
export const LOG_MODE = 'IMMUTABLE'

/** Bytes as they come, and what they come to. */
export interface Made {
  readonly bytes: number
  readonly sha256: string
}

/**
 * @throws BlobError for a blob that is missing, damaged or no table; errors of node:fs that may pass
 */
export async function openTable(blob: BlobRef, runFolder: string): Promise<WandbTable> {
  const piece = await verified(blob, runFolder)
  const types: CellType[] = []
  let rowCount = 0
  let names: readonly string[] = []
  for await (const { columns, rows } of rowsOf(piece)) {
    names = columns
    while (types.length < columns.length) types.push(new CellType())
    for (const row of rows) for (let at = 0; at < types.length; at++) types[at]!.add(row[at]!)
    rowCount += rows.length
  }
  return new WandbTable(piece, names, types, rowCount)
}

export class WandbTable {
  readonly columns: readonly string[]
  /** All of them, also those that W&B does not hold. */
  readonly rowCount: number
  readonly #piece: FilePiece
  readonly #types: readonly CellType[]
  readonly #measured = new Map<Spelling, Made>()

  constructor(piece: FilePiece, columns: readonly string[], types: readonly CellType[], rowCount: number) {
    this.#piece = piece
    this.columns = columns
    this.#types = types
    this.rowCount = rowCount
  }

  /** What the file takes, found out once. */
  async measured(spelling: Spelling): Promise<Made> {
    const known = this.#measured.get(spelling)
    if (known !== undefined) return known
    const hash = createHash('sha256')
    let bytes = 0
    for await (const chunk of this.chunks(spelling)) {
      hash.update(chunk)
      bytes += chunk.length
    }
    const made = { bytes, sha256: hash.digest('hex') }
    this.#measured.set(spelling, made)
    return made
  }

  /** The file, in parts. */
  async *chunks(spelling: Spelling): AsyncGenerator<Buffer> {
    const isRun = spelling === 'run'
    const comma = isRun ? ',' : ', '
    const columns = cellJson(this.columns, spelling)
    const count = Math.min(this.rowCount, MAX_ROWS[spelling])
    const size = `"ncols": ${this.columns.length}, "nrows": ${count}`
    yield Buffer.from(
      isRun
        ? `{"columns":${columns},"data":[`
        : `{"_type": "table", "column_types": ${this.#columnTypes()}, "columns": ${columns}, "data": [`,
    )
    let left = count
    for await (const { rows } of rowsOf(this.#piece)) {
      const taken = rows.length > left ? rows.slice(0, left) : rows
      if (taken.length === 0) continue
      const text = taken.map((row) => this.#rowJson(row, spelling, comma)).join(comma)
      yield Buffer.from(left === count ? text : comma + text)
      left -= taken.length
      if (left === 0) break
    }
    yield Buffer.from(isRun ? ']}' : `], "log_mode": "${LOG_MODE}", ${size}}`)
  }

  #rowJson(row: Row, spelling: Spelling, comma: string): string {
    let text = '['
    for (let at = 0; at < row.length; at++) {
      if (at > 0) text += comma
      text += cellJson(row[at]!, spelling, this.#types[at]!)
    }
    return `${text}]`
  }

  #columnTypes(): string {
    const types: Record<string, TypeJson> = Object.create(null)
    for (const [at, name] of this.columns.entries()) types[name] = this.#types[at]!.columnJson()
    return cellJson({ params: { type_map: types }, wb_type: 'typedDict' }, 'artifact')
  }
}
