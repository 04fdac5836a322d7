/** What was logged besides numbers, in a few words. */
import { FILE_LIST_TYPE } from '../core/media-types.ts'
import type { FileList, RunRecord } from '../core/types.ts'

/** Records of one kind and name, such as the images `samples`. */
export interface Item {
  readonly kind: string
  readonly name: string
  /** How often it was logged. */
  readonly times: number
  readonly lastStep?: number
  /** What the last one is, in a few words. */
  readonly what: string
  /** Of all of them together; the same content may be kept once. */
  readonly bytes?: number
}

export type OtherRecord = Exclude<
  RunRecord,
  { kind: 'params' | 'tags' | 'notes' | 'metric' | 'state' | 'rewind' }
>

export function itemOf(record: OtherRecord): Item {
  const { kind } = record
  const name = nameOf(record)
  const step = 'step' in record && record.step !== undefined ? { lastStep: record.step } : {}
  const item = (what: string, bytes?: number): Item => ({
    ...{ kind, name, times: 1, ...step, what },
    ...(bytes !== undefined && { bytes }),
  })
  switch (record.kind) {
    case 'dataset':
      return item([record.digest, record.source, record.context].filter(Boolean).join(', '))
    case 'text': {
      const { text } = record
      if (typeof text !== 'string') return item('', text.bytes)
      return item(text.split('\n', 1)[0]!.slice(0, 80), Buffer.byteLength(text))
    }
    case 'console':
      return item(record.text.split('\n').at(-1)!.slice(0, 80), Buffer.byteLength(record.text))
    case 'histogram':
      return item(`${record.counts.length} bins`)
    case 'prCurve':
      return item(`${record.truePositives.length} thresholds`)
    case 'images': {
      const [first] = record.images
      const size = first && first.width > 0 ? `, ${first.width} × ${first.height}` : ''
      const bytes = record.images.reduce((sum, { image }) => sum + image.bytes, 0)
      return item(`${record.images.length} ${record.images.length === 1 ? 'image' : 'images'}${size}`, bytes)
    }
    case 'table':
      return item(`${record.rows} rows, ${record.columns} columns`, record.table.bytes)
    case 'figure':
      return item(record.figure.type, record.figure.bytes)
    case 'artifact':
      return item(`${record.type}${filesOf(record.files)}${aliasesOf(record)}`, record.bytes)
    case 'files':
      return item(filesOf(record.files).replace(', ', ''), record.bytes)
    case 'input':
      return item(record.type ?? '')
    case 'alert':
      return item(`${record.level}: ${record.text.split('\n', 1)[0]!.slice(0, 80)}`)
    case 'model': {
      const registered = record.register === undefined ? '' : `, registered as ${record.register}`
      return item(`model${filesOf(record.files)}${registered}${aliasesOf(record)}`, record.bytes)
    }
  }
}

function nameOf(record: OtherRecord): string {
  switch (record.kind) {
    case 'console':
      return record.stream
    case 'files':
      return (Array.isArray(record.files) && record.files.length === 1 && record.files[0]?.path) || 'files'
    case 'input':
      return record.artifact
    case 'alert':
      return record.title
    default:
      return record.name
  }
}

function aliasesOf({ aliases }: { readonly aliases?: readonly string[] }): string {
  return aliases?.length ? ` (${aliases.join(', ')})` : ''
}

function filesOf(files: FileList): string {
  if (!Array.isArray(files)) return 'type' in files && files.type === FILE_LIST_TYPE ? ', many files' : ''
  const references = files.filter((file) => 'uri' in file).length
  const kept = files.length - references
  const words = [
    kept === 0 ? '' : `${kept} ${kept === 1 ? 'file' : 'files'}`,
    references === 0 ? '' : `${references} ${references === 1 ? 'reference' : 'references'}`,
  ].filter(Boolean)
  return words.map((word) => `, ${word}`).join('')
}
