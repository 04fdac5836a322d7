/**
 * What the end of a run looks like in a terminal: what logging cost, whether every point is accounted for, and where
 * to look. Pure.
 */

import { duration } from '../core/duration.ts'
import type { DestinationStats, Stats } from '../core/types.ts'
import { alignedTable } from './table.ts'
import { count, plain } from './text.ts'

export interface ReportInput {
  readonly runId: string
  readonly stats: Stats
  /** Of the calls of `log()`, where they were timed. */
  readonly cost?: LogCost
  /** Lines under "where to look": a destination's name and what to open or run. */
  readonly places: readonly { readonly name: string; readonly look: string }[]
}
export interface LogCost {
  readonly calls: number
  readonly p50Ns: number
  readonly p99Ns: number
  readonly maxNs: number
  /** All calls together. */
  readonly totalMs: number
  /** The loop in which they were made, calls included. */
  readonly loopMs: number
}

export function formatReport({ runId, stats, cost, places }: ReportInput): string {
  const lines = [`run ${runId}`, '']
  if (cost) lines.push(...costLines(cost, stats.accepted), '')
  const title = lawHolds(stats) ? 'every point is accounted for' : 'THE SUMS DO NOT ADD UP (ERR_LAW)'
  lines.push(title, ...pointTables(stats), '')
  lines.push('records: parameters, texts, images, files, …', ...recordTables(stats))
  const troubles = troubleLines(runId, stats)
  if (troubles.length > 0) lines.push('', ...troubles)
  if (places.length > 0) {
    const width = Math.max(...places.map(({ name }) => name.length))
    lines.push('', 'where to look', ...places.map(({ name, look }) => `  ${name.padEnd(width)}  ${look}`))
  }
  return lines.join('\n')
}

/** Whether all sums of the run and its destinations add up. */
export function lawHolds(stats: Stats): boolean {
  const { records, before, journaled } = stats
  return (
    runHolds(stats) &&
    records.accepted === records.parked + records.journaled + records.lost &&
    Object.values(stats.destinations).every(
      (sums) =>
        sumOf(sums) === before.points + journaled &&
        sumOf(sums.records) === before.records + records.journaled,
    )
  )
}

/** Whether nothing of the run is still on its way there; what is to be sent later is not. */
export function isDelivered({ state, pending, records }: DestinationStats): boolean {
  return state === 'offline' || pending + records.pending === 0
}

function costLines(cost: LogCost, points: number): string[] {
  const share = cost.loopMs > 0 ? (cost.totalMs / cost.loopMs) * 100 : 0
  return [
    `log()  ${count(cost.calls)} calls, ${count(points)} points`,
    `  a call: p50 ${nanoseconds(cost.p50Ns)}, p99 ${nanoseconds(cost.p99Ns)}, max ${nanoseconds(cost.maxNs)}`,
    `  of the loop's ${duration(cost.loopMs)}: ${share.toPrecision(2)} % (${cost.totalMs.toPrecision(3)} ms)`,
  ]
}

function pointTables(stats: Stats): string[] {
  const lost = stats.lost.laneFull + stats.lost.disk
  const run = [
    ['', 'logged', '= journaled', '+ coalesced', '+ lost', '+ in ring', ''],
    [
      'run',
      ...[stats.accepted, stats.journaled, stats.coalesced, lost, stats.inRing].map(count),
      mark(runHolds(stats)),
    ],
  ]
  return [
    ...alignedTable(run, '  '),
    '',
    ...destinationTable(
      stats.destinations,
      stats.before.points + stats.journaled,
      (destination) => destination,
    ),
  ]
}

function recordTables(stats: Stats): string[] {
  const journaled = stats.before.records + stats.records.journaled
  return destinationTable(stats.destinations, journaled, (destination) => destination.records)
}

type Sums = Pick<DestinationStats, 'delivered' | 'filtered' | 'rejected' | 'corrupt' | 'pending'>

/** A row per destination, with a mark that tells whether its sum is what the journal holds. */
function destinationTable(
  destinations: Stats['destinations'],
  journaled: number,
  sumsOf: (destination: DestinationStats) => Sums,
): string[] {
  const rows = Object.entries(destinations).map(([name, destination]) => {
    const sums = sumsOf(destination)
    const { delivered, filtered, rejected, corrupt, pending } = sums
    return [
      plain(name),
      ...[journaled, delivered, filtered, rejected, corrupt, pending].map(count),
      mark(sumOf(sums) === journaled),
    ]
  })
  const header = ['', 'journaled', '= delivered', '+ filtered', '+ rejected', '+ corrupt', '+ pending', '']
  return alignedTable([header, ...rows], '  ')
}

function troubleLines(runId: string, stats: Stats): string[] {
  const lines: string[] = []
  if (stats.refused > 0) lines.push(`${count(stats.refused)} values were refused by log()`)
  const { parked, lost } = stats.records
  if (parked > 0) lines.push(`${count(parked)} records are still being copied`)
  if (lost > 0) lines.push(`${count(lost)} records are lost; the reasons were said when it happened`)
  if (stats.late > 0) lines.push(`${count(stats.late)} points came after finish()`)
  for (const [name, destination] of Object.entries(stats.destinations)) {
    const pending = destination.pending + destination.records.pending
    if (destination.state === 'offline') {
      lines.push(`${name} is offline; send it later with: tracelet sync ${runId}`)
      continue
    }
    if (destination.reason !== '') lines.push(`${name} is ${destination.state}: ${destination.reason}`)
    if (pending > 0)
      lines.push(`${name} has not got everything yet; send the rest with: tracelet sync ${runId}`)
    const rejected = destination.rejected + destination.records.rejected
    if (rejected > 0)
      lines.push(`${name} refused ${count(rejected)}; reasons are in dead-letters.jsonl of the run`)
  }
  return lines
}

function runHolds({ accepted, journaled, coalesced, lost, inRing }: Stats): boolean {
  return accepted === journaled + coalesced + lost.laneFull + lost.disk + inRing
}

function sumOf({ delivered, filtered, rejected, corrupt, pending }: Sums): number {
  return delivered + filtered + rejected + corrupt + pending
}

function mark(holds: boolean): string {
  return holds ? '✓' : '✗'
}

function nanoseconds(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`
  if (ns < 1e6) return `${(ns / 1000).toPrecision(3)} µs`
  return `${(ns / 1e6).toPrecision(3)} ms`
}
