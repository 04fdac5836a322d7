/** What stands in a run's journal, read back whole: the truth that tests of the API compare with. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ParamValue, RunRecord, UnknownRecord } from '../../src/core/types.ts'
import { openJournal } from '../../src/pipeline/journal/reader.ts'

export interface JournaledPoint {
  readonly step: number
  readonly time: number
  readonly value: number
  readonly row: number
}

export interface Journaled {
  /** By name, or `name [context]`. */
  readonly points: ReadonlyMap<string, readonly JournaledPoint[]>
  readonly count: number
  readonly records: readonly (RunRecord | UnknownRecord)[]
  /** Of the values logged more than once, the last. */
  readonly params: Readonly<Record<string, ParamValue>>
  readonly tags: Readonly<Record<string, string>>
  /** Every state that was written, in order. */
  readonly states: readonly string[]
  readonly sessions: number
  readonly coalesced: number
  readonly lost: number
}

/** @throws Error for a journal with damage */
export function readJournal(folder: string): Journaled {
  const reader = openJournal(folder, { live: false })
  const points = new Map<string, JournaledPoint[]>()
  const records: (RunRecord | UnknownRecord)[] = []
  let count = 0
  let sessions = 0
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      if (entry.kind === 'corrupt') throw new Error(`damage at ${entry.seq}: ${JSON.stringify(entry)}`)
      if (entry.kind === 'session') sessions++
      if (entry.kind === 'record') records.push(entry.record)
      if (entry.kind !== 'points') continue
      const { series, step, time, value, length } = entry.points
      for (let i = 0; i < length; i++) {
        const { name, context } = reader.series(series[i]!)
        const key = context === '' ? name : `${name} [${context}]`
        const list = points.get(key) ?? []
        if (list.length === 0) points.set(key, list)
        list.push({ step: step[i]!, time: time[i]!, value: value[i]!, row: entry.row[i]! })
      }
      count += length
    }
    const { coalesced, lost } = reader.carried
    const ofKind = <Kind extends RunRecord['kind']>(kind: Kind) =>
      records.filter((record): record is Extract<RunRecord, { kind: Kind }> => record.kind === kind)
    return {
      points,
      count,
      records,
      params: Object.fromEntries(ofKind('params').flatMap(({ params }) => Object.entries(params))),
      tags: Object.fromEntries(ofKind('tags').flatMap(({ tags }) => Object.entries(tags))),
      states: ofKind('state').map(({ state }) => state),
      sessions,
      coalesced,
      lost,
    }
  } finally {
    reader.close()
  }
}

/** Folder of the only run below a root folder. */
export function onlyRun(root: string, project = 'default'): string {
  const runs = readdirSync(join(root, project))
  if (runs.length !== 1) throw new Error(`${runs.length} runs below ${root}/${project}`)
  return join(root, project, runs[0]!)
}

/** Values of one series, in the order of the journal. */
export function valuesOf(journaled: Journaled, series: string): number[] {
  return (journaled.points.get(series) ?? []).map(({ value }) => value)
}
