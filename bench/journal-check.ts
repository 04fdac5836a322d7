/** The law by the bench's own count: what it logged, point by point, against what stands in the journal. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Stats } from '../src/core/types.ts'
import { openJournal } from '../src/pipeline/journal/reader.ts'
import { type Bench, LawBroken } from './harness.ts'

/** What a producer is to have logged under one name: steps from `firstStep` on, one by one. */
export interface LoggedSeries {
  readonly count: number
  readonly firstStep: number
  readonly valueAt: (step: number) => number
}

/**
 * @throws LawBroken when a point is missing, twice, out of order, of another value, or the sums differ
 * @returns bytes of the journal for each point
 */
export function checkJournal(
  bench: Bench,
  name: string,
  folder: string,
  logged: ReadonlyMap<string, LoggedSeries>,
  stats: Stats,
): number {
  const found = readBack(folder, logged)
  let count = 0
  for (const [series, { count: expected }] of logged) {
    count += expected
    const got = found.get(series) ?? 0
    if (got !== expected) throw new LawBroken(`${name}: ${got} of ${expected} points of '${series}'`)
  }
  bench.law(name, {
    logged: count,
    accepted: stats.accepted,
    'journaled + coalesced + lost': stats.journaled + stats.coalesced + stats.lost.laneFull + stats.lost.disk,
    'read back': [...found.values()].reduce((sum, points) => sum + points, 0),
  })
  return journalBytes(folder) / count
}

function readBack(folder: string, logged: ReadonlyMap<string, LoggedSeries>): Map<string, number> {
  const reader = openJournal(folder, { live: false })
  const byId: { name: string; next: number; valueAt: (step: number) => number; count: number }[] = []
  for (let entry = reader.next(); entry; entry = reader.next()) {
    if (entry.kind === 'corrupt') throw new LawBroken(`${entry.points} points of the journal are unreadable`)
    if (entry.kind !== 'points') continue
    const { length, series, step, value } = entry.points
    for (let i = 0; i < length; i++) {
      const id = series[i]!
      let one = byId[id]
      if (!one) {
        const { name } = reader.series(id)
        const told = logged.get(name)
        if (!told) throw new LawBroken(`nobody logged '${name}'`)
        one = { name, next: told.firstStep, valueAt: told.valueAt, count: 0 }
        byId[id] = one
      }
      if (step[i] !== one.next || !Object.is(value[i], one.valueAt(one.next))) {
        throw new LawBroken(
          `'${one.name}' has ${value[i]} at step ${step[i]}, where step ${one.next} was due`,
        )
      }
      one.next++
      one.count++
    }
  }
  reader.close()
  return new Map(byId.filter(Boolean).map(({ name, count }) => [name, count]))
}

function journalBytes(folder: string): number {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.tlj'))
    .reduce((sum, file) => sum + statSync(join(folder, file)).size, 0)
}
