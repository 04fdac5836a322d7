/** Everything that `tracelet show` tells of a run's journal, gathered in one pass and in bounded memory. */
import { FILE_LIST_TYPE } from '../../core/media-types.ts'
import type {
  FileList,
  MetricSummary,
  ParamValue,
  RunRecord,
  Series,
  UnknownRecord,
} from '../../core/types.ts'
import type { SeriesSummary } from '../../index.ts'
import { openJournal } from '../../pipeline/journal/reader.ts'
import { fitsPattern } from '../series-pattern.ts'
import type { Axis } from './axis.ts'
import { Curve } from './curve.ts'

export type MetricDefinition = Extract<RunRecord, { kind: 'metric' }>

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

export interface RunContent {
  readonly curves: readonly Curve[]
  readonly params: ReadonlyMap<string, ParamValue>
  readonly tags: ReadonlyMap<string, string>
  readonly notes: string
  readonly definitions: readonly MetricDefinition[]
  readonly items: readonly Item[]
  /** Wall ms of the last state that was said. */
  readonly stateAt: number | undefined
  readonly corrupt: { readonly points: number; readonly records: number }
}

/**
 * @param axisOf what the plot of a series has from left to right
 * @throws TraceletError ERR_JOURNAL_FORMAT, ERR_HISTORY_GONE
 */
export function readContent(folder: string, axisOf: (series: Series) => Axis): RunContent {
  const curves: Curve[] = []
  const params = new Map<string, ParamValue>()
  const tags = new Map<string, string>()
  const definitions = new Map<string, MetricDefinition>()
  const items = new Map<string, Item>()
  const corrupt = { points: 0, records: 0 }
  let notes = ''
  let stateAt: number | undefined
  const take = (record: RunRecord | UnknownRecord) => {
    if (record.kind === 'params')
      for (const [name, value] of Object.entries(record.params)) params.set(name, value)
    else if (record.kind === 'tags')
      for (const [name, value] of Object.entries(record.tags)) tags.set(name, value)
    else if (record.kind === 'notes') notes = record.notes
    else if (record.kind === 'metric') definitions.set(record.name, record)
    else if (record.kind === 'state') stateAt = record.time
    else if (record.kind !== 'unknown') {
      const item = itemOf(record)
      const key = `${item.kind} ${item.name}`
      const before = items.get(key)
      const bytes = item.bytes === undefined ? undefined : item.bytes + (before?.bytes ?? 0)
      items.set(key, { ...item, times: (before?.times ?? 0) + 1, ...(bytes !== undefined && { bytes }) })
    }
  }
  const reader = openJournal(folder, { live: false })
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      if (entry.kind === 'record') take(entry.record)
      else if (entry.kind === 'corrupt') {
        corrupt.points += entry.points
        corrupt.records += entry.records
      } else if (entry.kind === 'points') {
        const { length, series, step, value } = entry.points
        for (let i = 0; i < length; i++) {
          const id = series[i]!
          let curve = curves[id]
          if (curve === undefined) {
            const described = reader.series(id)
            curve = curves[id] = new Curve(described.name, described.context, axisOf(described))
          }
          curve.add(step[i]!, value[i]!)
        }
      }
    }
  } finally {
    reader.close()
  }
  return {
    curves: curves.filter((curve) => curve !== undefined),
    params,
    tags,
    notes,
    definitions: [...definitions.values()],
    items: [...items.values()],
    stateAt,
    corrupt,
  }
}

const DEFAULT_SUMMARY: readonly MetricSummary[] = ['last', 'min', 'max']

/** What is to be told of a series: what `defineMetric` said, where it said anything. */
export function kindsOf(
  { name, shown }: SeriesSummary,
  definitions: readonly MetricDefinition[],
): readonly MetricSummary[] {
  const isDefined = definitions.some((one) => one.summary !== undefined && fitsPattern(one.name, name))
  return isDefined ? shown : DEFAULT_SUMMARY
}

/** Undefined where there is none: 'best' of a series without a goal. */
export function summaryValue(summary: SeriesSummary, kind: MetricSummary): number | undefined {
  if (kind === 'last' || kind === 'best') return summary[kind]?.value
  return summary[kind]
}

export type OtherRecord = Exclude<RunRecord, { kind: 'params' | 'tags' | 'notes' | 'metric' | 'state' }>

export function itemOf(record: OtherRecord): Item {
  const { kind, name } = record
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
      return item(`${record.type}${filesOf(record.files)}`, record.bytes)
    case 'model': {
      const registered = record.register === undefined ? '' : `, registered as ${record.register}`
      const aliases = record.aliases?.length ? ` (${record.aliases.join(', ')})` : ''
      return item(`model${filesOf(record.files)}${registered}${aliases}`, record.bytes)
    }
  }
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
