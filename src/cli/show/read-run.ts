/** Everything that `tracelet show` tells of a run's journal, gathered in one pass and in bounded memory. */
import { isPlaced } from '../../core/records.ts'
import type { MetricSummary, ParamValue, RunRecord, Series, UnknownRecord } from '../../core/types.ts'
import type { SeriesSummary } from '../../index.ts'
import { openJournal } from '../../pipeline/journal/reader.ts'
import { Superseded } from '../../pipeline/journal/rewinds.ts'
import { type Item, itemOf } from '../item.ts'
import { fitsPattern } from '../series-pattern.ts'
import type { Axis } from './axis.ts'
import { Curve } from './curve.ts'

export type MetricDefinition = Extract<RunRecord, { kind: 'metric' }>

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
 * @throws TraceletError ERR_JOURNAL_FORMAT
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
    else if (record.kind !== 'unknown' && record.kind !== 'rewind') {
      const item = itemOf(record)
      const key = `${item.kind} ${item.name}`
      const before = items.get(key)
      const bytes = item.bytes === undefined ? undefined : item.bytes + (before?.bytes ?? 0)
      items.set(key, { ...item, times: (before?.times ?? 0) + 1, ...(bytes !== undefined && { bytes }) })
    }
  }
  const superseded = Superseded.of(folder)
  const reader = openJournal(folder, { live: false })
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      const end = superseded.fromStep(entry.seq)
      if (entry.kind === 'record') {
        const { record } = entry
        if (!isPlaced(record) || record.step < end) take(record)
      } else if (entry.kind === 'corrupt') {
        corrupt.points += entry.points
        corrupt.records += entry.records
      } else if (entry.kind === 'points') {
        const { length, series, step, value } = entry.points
        for (let i = 0; i < length; i++) {
          if (step[i]! >= end) continue
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
