/**
 * Items: the records that are a name, a step, a time, numbers, blobs and a little JSON. What each kind puts where:
 *
 *   kind        name  step  time   numbers                         blobs      json
 *   notes                                                                     notes
 *   metric       ×                                                            axis, summary, goal
 *   dataset      ×                                                            all else
 *   text         ×     ×     ×                                     long text  text
 *   histogram    ×     ×     ×     edges, counts[, sum, squares]              bins
 *   images       ×     ×     ×                                     images     images: width, height, caption
 *   table        ×     ×     ×                                     table      columns, rows
 *   figure       ×     ×     ×                                     figure     width, height
 *   prCurve      ×     ×     ×     tp, fp, tn, fn
 *   artifact     ×           ×                                     list       files, all else
 *   model        ×           ×                                     list       files, all else
 *   files                    ×                                     list       files, all else
 *   input                    ×                                                artifact, type
 *   alert                    ×                                                all else
 *   rewind             ×     ×
 *   console                  ×                                                stream, text
 *
 * Numbers stand in vectors because JSON has no NaN, no infinity and no −0.
 */
import type { BlobRef, FileList, LoggedImage, Placed, RunRecord } from '../../core/types.ts'

export type ItemRecord = Exclude<RunRecord, { kind: 'params' | 'tags' | 'state' }>
export type ItemKind = ItemRecord['kind']

/** An item as it is laid down. */
export interface ItemParts {
  readonly name: string
  readonly step: number
  readonly time: number
  readonly json: string
  readonly numbers: Float64Array
  readonly blobs: readonly BlobRef[]
}

const NO_NUMBERS = new Float64Array(0)

export function toParts(record: ItemRecord): ItemParts {
  switch (record.kind) {
    case 'notes':
      return parts({}, { notes: record.notes })
    case 'metric':
    case 'dataset': {
      const { kind: _, name, ...rest } = record
      return parts({ name }, rest)
    }
    case 'text':
      return typeof record.text === 'string'
        ? parts(record, { text: record.text })
        : parts(record, {}, { blobs: [record.text] })
    case 'histogram': {
      const { edges, counts, sum, sumSquares } = record
      const sums = sum === undefined || sumSquares === undefined ? [] : [sum, sumSquares]
      return parts(record, { bins: counts.length }, { numbers: joined(edges, counts, sums) })
    }
    case 'images':
      return parts(
        record,
        { images: record.images.map(({ image: _, ...rest }) => rest) },
        { blobs: record.images.map(({ image }) => image) },
      )
    case 'table':
      return parts(record, { columns: record.columns, rows: record.rows }, { blobs: [record.table] })
    case 'figure':
      return parts(record, { width: record.width, height: record.height }, { blobs: [record.figure] })
    case 'prCurve': {
      const { truePositives, falsePositives, trueNegatives, falseNegatives } = record
      return parts(
        record,
        {},
        { numbers: joined(truePositives, falsePositives, trueNegatives, falseNegatives) },
      )
    }
    case 'artifact':
    case 'model': {
      const { kind: _, name, time, files, ...rest } = record
      return Array.isArray(files)
        ? parts({ name, time }, { ...rest, files })
        : parts({ name, time }, rest, { blobs: [files as BlobRef] })
    }
    case 'files':
      return Array.isArray(record.files)
        ? parts({ time: record.time }, { bytes: record.bytes, files: record.files })
        : parts({ time: record.time }, { bytes: record.bytes }, { blobs: [record.files as BlobRef] })
    case 'input':
    case 'alert': {
      const { kind: _, time, ...rest } = record
      return parts({ time }, rest)
    }
    case 'rewind':
      return parts({ step: record.fromStep, time: record.time }, {})
    case 'console':
      return parts({ time: record.time }, { stream: record.stream, text: record.text })
  }
}

/** Undefined when the parts are not those of the kind. */
export function fromParts(kind: ItemKind, item: ItemParts): ItemRecord | undefined {
  const json = parseObject(item.json)
  if (json === undefined) return undefined
  const { name, step, time, numbers, blobs } = item
  const placed: Placed = { name, step, time }
  const blob = blobs[0]
  switch (kind) {
    case 'notes':
      return typeof json.notes === 'string' ? { kind, notes: json.notes } : undefined
    case 'metric':
      return { ...json, kind, name } as ItemRecord
    case 'dataset':
      if (!['digest', 'source', 'sourceType'].every((key) => typeof json[key] === 'string')) return undefined
      return { ...json, kind, name } as ItemRecord
    case 'text': {
      const text = blob ?? json.text
      return text === undefined ? undefined : { ...placed, kind, text: text as string | BlobRef }
    }
    case 'histogram':
      return histogram(placed, json.bins, numbers)
    case 'images': {
      const images = json.images as Omit<LoggedImage, 'image'>[]
      if (!Array.isArray(images) || images.length !== blobs.length) return undefined
      return { ...placed, kind, images: blobs.map((image, index) => ({ ...images[index]!, image })) }
    }
    case 'table':
      if (blob === undefined) return undefined
      return { ...placed, kind, table: blob, columns: Number(json.columns), rows: Number(json.rows) }
    case 'figure':
      if (blob === undefined) return undefined
      return { ...placed, kind, figure: blob, ...json }
    case 'prCurve': {
      const thresholds = numbers.length / 4
      if (!Number.isInteger(thresholds) || thresholds === 0) return undefined
      const part = (index: number) => numbers.slice(index * thresholds, (index + 1) * thresholds)
      return {
        ...placed,
        kind,
        truePositives: part(0),
        falsePositives: part(1),
        trueNegatives: part(2),
        falseNegatives: part(3),
      }
    }
    case 'artifact':
    case 'model': {
      const files = blob ?? json.files
      if (files === undefined || typeof json.bytes !== 'number') return undefined
      return { ...json, kind, name, time, files: files as FileList } as ItemRecord
    }
    case 'files': {
      const files = blob ?? json.files
      if (files === undefined || typeof json.bytes !== 'number') return undefined
      return { kind, time, files: files as FileList, bytes: json.bytes }
    }
    case 'input':
      return typeof json.artifact === 'string' ? ({ ...json, kind, time } as ItemRecord) : undefined
    case 'alert':
      if (!['title', 'text', 'level'].every((key) => typeof json[key] === 'string')) return undefined
      return { ...json, kind, time } as ItemRecord
    case 'rewind':
      return Number.isSafeInteger(step) ? { kind, fromStep: step, time } : undefined
    case 'console': {
      const { stream, text } = json
      if (typeof text !== 'string' || (stream !== 'stdout' && stream !== 'stderr')) return undefined
      return { kind, stream, text, time }
    }
  }
}

function histogram(placed: Placed, bins: unknown, numbers: Float64Array): ItemRecord | undefined {
  if (!Number.isSafeInteger(bins) || (bins as number) < 1) return undefined
  const count = bins as number
  const sums = numbers.length - (2 * count + 1)
  if (sums !== 0 && sums !== 2) return undefined
  return {
    ...placed,
    kind: 'histogram',
    edges: numbers.slice(0, count + 1),
    counts: numbers.slice(count + 1, 2 * count + 1),
    ...(sums === 2 && { sum: numbers.at(-2)!, sumSquares: numbers.at(-1)! }),
  }
}

function parts(
  place: Partial<Placed>,
  json: object,
  more: { readonly numbers?: Float64Array; readonly blobs?: readonly BlobRef[] } = {},
): ItemParts {
  const { name = '', step = 0, time = 0 } = place
  const { numbers = NO_NUMBERS, blobs = [] } = more
  return { name, step, time, json: JSON.stringify(json), numbers, blobs }
}

function joined(...columns: readonly (Float64Array | readonly number[])[]): Float64Array {
  const all = new Float64Array(columns.reduce((length, column) => length + column.length, 0))
  let at = 0
  for (const column of columns) {
    all.set(column, at)
    at += column.length
  }
  return all
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
