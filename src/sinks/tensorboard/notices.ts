/** What the sink tells the user, each thing once but for losses. */
import type { RunRecord } from '../../core/types.ts'
import { MAX_TEXT_BYTES, type RecordContent } from './content.ts'
import { MAX_COLUMNS, MAX_ROWS } from './table.ts'

export class Notices {
  readonly #notice: (code: string, message: string) => void
  readonly #said = new Set<string>()

  constructor(notice: (code: string, message: string) => void) {
    this.#notice = notice
  }

  lost(fileName: string, lostBytes: number): void {
    if (lostBytes === 0) return
    this.#notice(
      'ERR_SERVER',
      `${fileName} had lost ${lostBytes} bytes that were written to it, probably by a power failure; ` +
        'those points are missing in TensorBoard, the journal has them',
    )
  }

  /** What of the record TensorBoard will not show. */
  mapped(record: RunRecord, content: RecordContent, firstParams: boolean): void {
    if (record.kind === 'params' && !firstParams) {
      this.#once(
        "TensorBoard's HParams table shows a run's first parameters; later ones stand in its Text tab only",
      )
    }
    if (record.kind === 'images' && record.images.some(({ caption }) => caption !== undefined)) {
      this.#once('TensorBoard shows images without their captions')
    }
    if (record.kind === 'figure' && content.kind !== 'images') {
      this.#once('TensorBoard draws no Plotly figures; its Text tab says where in the run they lie')
    }
    if (content.kind === 'text' && content.isCut) {
      this.#once(`TensorBoard is given the first ${MAX_TEXT_BYTES / 1024} KiB of a text`)
    }
    if (record.kind === 'table' && (record.rows > MAX_ROWS || record.columns > MAX_COLUMNS)) {
      this.#once(`TensorBoard is given the first ${MAX_ROWS} rows and ${MAX_COLUMNS} columns of a table`)
    }
  }

  overflow(): void {
    this.#once('finite values beyond float32 (±3.4e38) are ±Infinity in TensorBoard')
  }

  shared(plain: string, tag: string): void {
    this.#once(
      `TensorBoard shows a name on one dashboard only: '${plain}' was logged as two kinds, of which the later ` +
        `one stands under '${tag}'`,
    )
  }

  #once(message: string): void {
    if (this.#said.has(message)) return
    this.#said.add(message)
    this.#notice('ERR_MAPPED', message)
  }
}
