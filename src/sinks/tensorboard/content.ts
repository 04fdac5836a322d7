/** Reads what a record keeps in blobs, as far as its event needs it. */
import type { BlobRef, Rejection, RunRecord } from '../../core/types.ts'
import { BlobError, headOf, verified } from '../run-blobs.ts'
import type { SizedImage } from './images.ts'
import { parseTableHead, type TableHead } from './table.ts'

/**
 * Of a text. TensorBoard 2.21 renders Markdown anew at every look: 64 KiB took it 0.7 to 2.4 s, 256 KiB up to 22 s.
 */
export const MAX_TEXT_BYTES = 64 * 1024
/** Of a table: enough for the rows that are shown, unless cells are huge. */
const MAX_TABLE_BYTES = 1 << 20
/** A message of Protocol Buffers is at most 2 GiB long; what stands around the images takes far less than this. */
const MAX_IMAGES_BYTES = 2 ** 31 - 2 ** 20

export type RecordContent =
  | { readonly kind: 'images'; readonly images: readonly SizedImage[] }
  | { readonly kind: 'text'; readonly text: string; readonly isCut: boolean }
  | { readonly kind: 'table'; readonly table: TableHead }
  /** Nothing beside what the record says itself. */
  | { readonly kind: 'none' }

export interface ReadContent {
  readonly content: RecordContent
  /** Images that are not there any more; of any other record its only blob is all. */
  readonly rejected: readonly Rejection[]
}

/**
 * @throws BlobError when nothing of the record is left; errors of node:fs that may pass
 */
export async function readContent(
  record: RunRecord,
  runFolder: string,
  signal: AbortSignal,
): Promise<ReadContent> {
  switch (record.kind) {
    case 'images':
      return readImages(record.images, runFolder, signal)
    case 'figure': {
      const { figure, width = 0, height = 0 } = record
      if (figure.type.startsWith('image/'))
        return readImages([{ image: figure, width, height }], runFolder, signal)
      await verified(figure, runFolder, signal)
      return whole({ kind: 'none' })
    }
    case 'notes':
      return whole(await readText(record.notes, runFolder, signal))
    case 'text':
      return whole(await readText(record.text, runFolder, signal))
    case 'table': {
      const file = await verified(record.table, runFolder, signal)
      const head = await headOf(file, MAX_TABLE_BYTES)
      const table = parseTableHead(head, head.length === file.bytes)
      if (table === undefined) throw new BlobError(`${file.location} is no table, or its header is too long`)
      return whole({ kind: 'table', table })
    }
    default:
      return whole({ kind: 'none' })
  }
}

async function readImages(
  given: readonly { readonly image: BlobRef; readonly width: number; readonly height: number }[],
  runFolder: string,
  signal: AbortSignal,
): Promise<ReadContent> {
  const images: SizedImage[] = []
  const rejected: Rejection[] = []
  let bytes = 0
  for (const [index, { image, width, height }] of given.entries()) {
    try {
      const file = await verified(image, runFolder, signal)
      if (bytes + file.bytes > MAX_IMAGES_BYTES) {
        rejected.push({
          index,
          code: 'ERR_REFUSED',
          reason: 'images of one step are at most 2 GiB in TensorBoard',
        })
        continue
      }
      bytes += file.bytes
      images.push({ width, height, file })
    } catch (error) {
      if (!(error instanceof BlobError)) throw error
      rejected.push({ index, code: 'ERR_BLOB', reason: error.message })
    }
  }
  return { content: { kind: 'images', images }, rejected }
}

async function readText(
  text: string | BlobRef,
  runFolder: string,
  signal: AbortSignal,
): Promise<RecordContent> {
  if (typeof text === 'string') {
    const bytes = Buffer.from(text)
    return { kind: 'text', ...textOf(bytes.subarray(0, MAX_TEXT_BYTES), bytes.length) }
  }
  const file = await verified(text, runFolder, signal)
  return { kind: 'text', ...textOf(await headOf(file, MAX_TEXT_BYTES), file.bytes) }
}

/** Cut between two characters. */
function textOf(head: Buffer, bytes: number): { readonly text: string; readonly isCut: boolean } {
  const isCut = head.length < bytes
  return { text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(head, { stream: isCut }), isCut }
}

function whole(content: RecordContent): ReadContent {
  return { content, rejected: [] }
}
