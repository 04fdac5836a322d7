/** What `tracelet tail` says of an entry of the journal: rows of values, records in a few words. Pure. */
import type { JournalEntry, RunRecord, Series, SeriesId, UnknownRecord } from '../../core/types.ts'
import { itemOf } from '../item.ts'
import { bytes, count, plain, value } from '../text.ts'

/** One line of output. */
export type TailEvent =
  | {
      readonly type: 'metrics'
      readonly step: number
      /** Of the first point, in ms since 1970. */
      readonly time: number
      readonly context?: string
      readonly values: Readonly<Record<string, number>>
    }
  | ({ readonly type: 'params' | 'tags' | 'notes' | 'state' | 'rewind' | 'metric' } & Readonly<
      Record<string, unknown>
    >)
  | { readonly type: 'corrupt' | 'gone'; readonly points: number; readonly records: number }
  | ({ readonly type: string } & Readonly<Record<string, unknown>>)

/** @param wants whether a series is to be told; with a choice of series nothing but them is */
export function eventsOf(
  entry: JournalEntry,
  describe: (id: SeriesId) => Series,
  wants: ((name: string) => boolean) | undefined,
): TailEvent[] {
  if (entry.kind === 'points') return rowsOf(entry, describe, wants)
  if (wants !== undefined) return []
  if (entry.kind === 'corrupt' || entry.kind === 'gone')
    return [{ type: entry.kind, points: entry.points, records: entry.records }]
  if (entry.kind !== 'record') return []
  const { record } = entry
  if (record.kind !== 'console') return [recordEvent(record)]
  const { kind, stream, text, time } = record
  return text.split('\n').map((line) => ({ type: kind, stream, text: line, time }))
}

function rowsOf(
  { points, row }: Extract<JournalEntry, { kind: 'points' }>,
  describe: (id: SeriesId) => Series,
  wants: ((name: string) => boolean) | undefined,
): TailEvent[] {
  // a row may come in pieces, and pieces of several rows may lie among each other
  const rows = new Map<string, { step: number; time: number; context: string; values: Map<string, number> }>()
  for (let i = 0; i < points.length; i++) {
    const { name, context } = describe(points.series[i]!)
    if (wants !== undefined && !wants(name)) continue
    const key = `${row[i]} ${context}`
    let found = rows.get(key)
    // one series may stand in a row more than once: each value is told
    if (found?.values.has(name)) {
      rows.set(`${key} ${rows.size}`, found)
      found = undefined
    }
    if (found === undefined) {
      found = { step: points.step[i]!, time: points.time[i]!, context, values: new Map() }
      rows.set(key, found)
    }
    found.values.set(name, points.value[i]!)
  }
  return [...rows.values()].map(({ step, time, context, values }) => ({
    type: 'metrics',
    step,
    time,
    ...(context !== '' && { context }),
    values: Object.fromEntries(values),
  }))
}

function recordEvent(record: Exclude<RunRecord, { kind: 'console' }> | UnknownRecord): TailEvent {
  switch (record.kind) {
    case 'unknown':
      return { type: 'unknown' }
    case 'params':
      return { type: 'params', params: record.params }
    case 'tags':
      return { type: 'tags', tags: record.tags }
    case 'notes':
      return { type: 'notes', notes: record.notes }
    case 'state':
      return { type: 'state', state: record.state, time: record.time }
    case 'rewind':
      return { type: 'rewind', fromStep: record.fromStep, time: record.time }
    case 'metric': {
      const { kind, ...definition } = record
      return { type: kind, ...definition }
    }
    default: {
      const { kind, name, lastStep, what, bytes } = itemOf(record)
      return {
        ...{ type: kind, name },
        ...(lastStep !== undefined && { step: lastStep }),
        ...('time' in record && { time: record.time }),
        ...(what !== '' && { what }),
        ...(bytes !== undefined && { bytes }),
      }
    }
  }
}

/** `step 120  loss 0.25  acc 0.91` */
export function eventLine(event: TailEvent): string {
  if (event.type === 'metrics') {
    const { step, context, values } = event as Extract<TailEvent, { type: 'metrics' }>
    const cells = Object.entries(values).map(([name, one]) => `${plain(name)} ${value(one)}`)
    return [`step ${count(step)}${context === undefined ? '' : ` [${plain(context)}]`}`, ...cells].join('  ')
  }
  const { type, ...rest } = event as { type: string } & Record<string, unknown>
  if (type === 'params' || type === 'tags') {
    const pairs = Object.entries(rest[type] as Record<string, unknown>)
    return `${type}  ${pairs.map(([name, one]) => `${plain(name)}=${plain(String(one))}`).join('  ')}`
  }
  if (type === 'state') return `the run is ${plain(String(rest.state))}`
  if (type === 'rewind')
    return `the run goes back: what follows replaces step ${count(Number(rest.fromStep))} on`
  if (type === 'notes') return `notes  ${plain(String(rest.notes))}`
  if (type === 'corrupt') {
    return `damage: ${count(Number(rest.points))} points and ${count(Number(rest.records))} records are gone`
  }
  if (type === 'gone') {
    return `removed by retention: ${count(Number(rest.points))} points and ${count(Number(rest.records))} records`
  }
  if (type === 'console') return `${rest.stream}  ${plain(String(rest.text))}`
  const words = [
    type,
    rest.name,
    rest.step === undefined ? undefined : `step ${count(Number(rest.step))}`,
    rest.what,
    rest.bytes === undefined ? undefined : bytes(Number(rest.bytes)),
  ]
  return words
    .filter((word) => word !== undefined)
    .map((word) => plain(String(word)))
    .join('  ')
}
