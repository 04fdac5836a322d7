/**
 * What has files: images and figures go into the sequence itself, as blobs that Aim reads only when they are looked at.
 *
 *   images     aim.image in a list, however many: a sequence has one type for ever
 *   figure     aim.figure where it is Plotly's, else aim.image
 *   prCurve    aim.figure
 *   table      aim.figure of Plotly's tables: Aim has none of its own
 *
 * Files of artifacts, models and of the run itself: files.ts.
 *
 * A record is sent when all its files are there, in one step: a step's object is replaced as a whole.
 */
import { readFile } from 'node:fs/promises'
import { PLOTLY_TYPE } from '../../core/media-types.ts'
import type {
  BlobRef,
  LoggedImage,
  RecordKind,
  RunInfo,
  RunRecord,
  Upload,
  WriteResult,
} from '../../core/types.ts'
import { type Notices, shown } from '../notices.ts'
import { prCurveFigure } from '../pr-curve-figure.ts'
import { BlobError, verified } from '../run-blobs.ts'
import { AimFiles } from './files.ts'
import { FIGURE, IMAGES, learnObjects, type ObjectKind, objectMessages } from './objects.ts'
import type { AimSession } from './session.ts'
import { AimBlob, AimCustom, type AimTree } from './tree.ts'

export const UPLOAD_KINDS: readonly RecordKind[] = [
  'images',
  'figure',
  'table',
  'prCurve',
  'artifact',
  'model',
  'files',
]

type Placed = Extract<RunRecord, { kind: 'images' | 'figure' | 'table' | 'prCurve' }>
interface Content {
  readonly kind: ObjectKind
  readonly object: AimTree
  readonly recordLength?: number
}

/** A browser has to draw them. */
const MAX_TABLE_ROWS = 1000
const MAX_TABLE_BYTES = 64 * 1024 * 1024

export class AimUploader {
  readonly #session: AimSession
  readonly #run: RunInfo
  readonly #notices: Notices
  readonly #files: AimFiles

  /** @param store folder or `file:` address that files are copied to */
  constructor(session: AimSession, run: RunInfo, notices: Notices, store: string | undefined) {
    this.#session = session
    this.#run = run
    this.#notices = notices
    this.#files = new AimFiles(session, run.folder, notices, store)
  }

  async upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    const { record, file, sent } = upload
    if (record.kind === 'artifact' || record.kind === 'model' || record.kind === 'files') {
      return this.#files.upload(record, upload, signal)
    }
    if (file !== undefined) {
      sent(file.blob.bytes)
      return { status: 'accepted' }
    }
    const placed = record as Placed
    let content: Content
    try {
      content = await this.#contentOf(placed)
    } catch (error) {
      const { message: reason } = error as Error
      if (error instanceof BlobError) return { status: 'split', code: 'ERR_BLOB', reason }
      // of a disk, and may pass
      return { status: 'retry', code: 'ERR_BLOB', reason, unsent: true }
    }
    const { name, step, time } = placed
    const { kind, object, recordLength } = content
    const sequence = {
      ...{ name, context: '', kind, objects: [{ step, time, object }] },
      ...(recordLength !== undefined && { recordLength }),
    }
    const refusal = await this.#session.send(objectMessages(this.#session, sequence), signal)
    if (refusal !== undefined) return refusal
    learnObjects(this.#session, sequence)
    return { status: 'accepted' }
  }

  async #contentOf(record: Placed): Promise<Content> {
    const { name, step } = record
    switch (record.kind) {
      case 'images':
        return this.#images(record.images)
      case 'figure': {
        const { figure: image, width = 0, height = 0 } = record
        if (image.type !== PLOTLY_TYPE) return this.#images([{ image, width, height }])
        return { kind: FIGURE, object: figureObject((await this.#bytesOf(image)).toString()) }
      }
      case 'prCurve':
        return {
          kind: FIGURE,
          object: figureObject(JSON.stringify(prCurveFigure(record, `${name}, step ${step}`))),
        }
      case 'table':
        return { kind: FIGURE, object: figureObject(await this.#tableFigure(record)) }
    }
  }

  async #images(images: readonly LoggedImage[]): Promise<Content> {
    const objects: AimTree[] = []
    for (const { image, width, height, caption } of images) {
      const data = new AimBlob(await this.#bytesOf(image))
      const format = image.type.slice('image/'.length)
      const size = { width: BigInt(width), height: BigInt(height) }
      objects.push(
        new AimCustom('aim.image', {
          caption: caption ?? '',
          data,
          source: 'PIL.Image',
          mode: 'RGB',
          format,
          ...size,
        }),
      )
    }
    return { kind: IMAGES, object: objects, recordLength: objects.length }
  }

  async #tableFigure({ name, table, rows }: Extract<RunRecord, { kind: 'table' }>): Promise<string> {
    if (table.bytes > MAX_TABLE_BYTES) {
      throw new BlobError(`a table of ${table.bytes} bytes is more than Aim's UI could show`)
    }
    const { columns, data } = JSON.parse((await this.#bytesOf(table)).toString()) as {
      columns: readonly unknown[]
      data: readonly (readonly unknown[])[]
    }
    if (rows > MAX_TABLE_ROWS) {
      const message = `Aim gets ${MAX_TABLE_ROWS} rows of a table, as a figure: the rest is left out (first '${shown(name)}')`
      this.#notices.tell('table', message)
    }
    const held = data.slice(0, MAX_TABLE_ROWS)
    const cells = columns.map((_, at) => held.map((row) => row[at] ?? null))
    return JSON.stringify({
      data: [{ type: 'table', header: { values: columns }, cells: { values: cells } }],
      layout: {},
    })
  }

  async #bytesOf(blob: BlobRef): Promise<Buffer> {
    return readFile((await verified(blob, this.#run.folder)).location)
  }
}

/** @param json Plotly's `{ data, layout }` */
function figureObject(json: string): AimCustom {
  const data = new AimBlob(json)
  return new AimCustom('aim.figure', { source: 'plotly', version: 'unknown', format: 'raw_json', data })
}
