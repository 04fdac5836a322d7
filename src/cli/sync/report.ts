/** What came of a `sync`, for people and for programs. Pure. */
import {
  isSynced,
  type NotSynced,
  type PointsAndRecords,
  type SyncedDestination,
  type SyncedRun,
  type SyncOutcome,
} from '../../pipeline/delivery/sync-outcome.ts'
import type { SyncRunsOptions } from '../../pipeline/delivery/sync-runs.ts'
import { isDelivered } from '../report.ts'
import { alignedTable } from '../table.ts'
import { count, plain } from '../text.ts'

/** How points or records of a destination add up to what the journal holds. */
interface Division {
  readonly journaled: number
  readonly sent: number
  readonly alreadyThere: number
  readonly filtered: number
  readonly rejected: number
  readonly corrupt: number
  readonly pending: number
}
const PARTS = ['sent', 'alreadyThere', 'filtered', 'rejected', 'corrupt', 'pending'] as const

export interface DestinationTotals {
  readonly points: Division
  readonly records: Division
}

export interface SyncTotals {
  readonly runs: {
    readonly delivered: number
    readonly incomplete: number
    /** Corrupt, busy or not to be found. */
    readonly notSynced: number
    /** The sync was ended before their turn came. */
    readonly notBegun: number
  }
  readonly sent: PointsAndRecords
  readonly destinations: Readonly<Record<string, DestinationTotals>>
}

/** Whether nothing of a run is left to send. */
export function isWhole({ destinations }: SyncedRun): boolean {
  return Object.values(destinations).every((one) => isDelivered(one) && one.complete)
}

/** A run that never had a destination of the names that were asked for owes it nothing. */
export function lacksDestination(outcome: SyncOutcome, { prepare, destinations }: SyncRunsOptions): boolean {
  const isAsked = destinations !== undefined && prepare === undefined
  return isAsked && !isSynced(outcome) && outcome.error.code === 'ERR_OPTION'
}

/** Another process writes it, or delivers all that is left. */
export function isBusy(outcome: SyncOutcome): boolean {
  if (!isSynced(outcome)) return outcome.error.code === 'ERR_RUN_BUSY'
  const left = Object.values(outcome.destinations).filter(({ complete }) => !complete)
  return left.length > 0 && left.every(({ code }) => code === 'ERR_RUN_BUSY')
}

export function totalsOf(outcomes: readonly SyncOutcome[], notBegun: number): SyncTotals {
  const synced = outcomes.filter(isSynced)
  const delivered = synced.filter(isWhole).length
  const destinations: Record<string, DestinationTotals> = {}
  for (const run of synced) {
    for (const [name, destination] of Object.entries(run.destinations)) {
      const { points, records } = divisionsOf(run, destination)
      const before = destinations[name]
      destinations[name] = {
        points: before ? summed(before.points, points) : points,
        records: before ? summed(before.records, records) : records,
      }
    }
  }
  const sums = Object.values(destinations)
  return {
    runs: {
      delivered,
      incomplete: synced.length - delivered,
      notSynced: outcomes.length - synced.length,
      notBegun,
    },
    sent: {
      points: sums.reduce((sum, { points }) => sum + points.sent, 0),
      records: sums.reduce((sum, { records }) => sum + records.sent, 0),
    },
    destinations,
  }
}

/** Everything of one run. */
export function formatRun(run: SyncedRun): string {
  const entries = Object.entries(run.destinations)
  const divisions = entries.map(([name, one]) => [name, divisionsOf(run, one)] as const)
  return [
    `run ${plain(run.run)}${run.closedAsKilled ? '  (its process had died: closed as killed)' : ''}`,
    ...divisionTables(divisions),
    ...entries
      .filter(([, one]) => !isDelivered(one) || !one.complete)
      .map(([name, { reason }]) => `${plain(name)} has not got everything${because(reason)}`),
    ...entries.filter(([, { url }]) => url !== '').map(([name, { url }]) => `${plain(name)}: ${plain(url)}`),
    '',
  ].join('\n')
}

/** One line of one run among many; undefined for a run that had nothing to send. */
export function formatRunLine(run: SyncedRun): string | undefined {
  const words = Object.entries(run.destinations).flatMap(([name, one]) => {
    const { sent, pending, records, rejected, reason } = one
    const refused = rejected + records.rejected
    const parts = [
      ...(sent.points + sent.records > 0 ? [`${count(sent.points + sent.records)} new`] : []),
      ...(pending + records.pending > 0 || !one.complete
        ? [`${count(pending + records.pending)} pending${because(reason)}`]
        : []),
    ]
    if (parts.length > 0 && refused > 0) parts.push(`${count(refused)} rejected`)
    return parts.length === 0 ? [] : [`${plain(name)} ${parts.join(', ')}`]
  })
  if (run.closedAsKilled) words.push('closed as killed')
  return words.length === 0 ? undefined : `${plain(run.run)}  ${words.join('  ')}`
}

export function formatNotSynced({ folder, error: { code, message } }: NotSynced): string {
  return `${folder}: ${code}: ${message}`
}

/** As a JSON document has it: without what was thrown. */
export function toJson(outcome: SyncOutcome): SyncedRun | Pick<NotSynced, 'folder' | 'error'> {
  if (isSynced(outcome)) return outcome
  const { folder, error } = outcome
  return { folder, error }
}

export function formatTotals({ runs, destinations }: SyncTotals): string {
  const all = runs.delivered + runs.incomplete
  return [`${count(all)} runs`, ...divisionTables(Object.entries(destinations)), ''].join('\n')
}

/** `0 new: everything is delivered` */
export function closingLine({ runs, sent }: SyncTotals): string {
  const problems = [
    ...(runs.incomplete > 0 ? [`${runsAre(runs.incomplete)} not complete`] : []),
    ...(runs.notSynced > 0 ? [`${runsAre(runs.notSynced)} not synced`] : []),
    ...(runs.notBegun > 0 ? [`${runsAre(runs.notBegun)} not begun`] : []),
  ]
  const state = problems.length === 0 ? 'everything is delivered' : problems.join(', ')
  return `${count(sent.points + sent.records)} new: ${state}\n`
}

function runsAre(number: number): string {
  return `${count(number)} ${number === 1 ? 'run is' : 'runs are'}`
}

function because(reason: string): string {
  return reason === '' ? '' : `: ${plain(reason)}`
}

function divisionsOf(run: SyncedRun, one: SyncedDestination): DestinationTotals {
  const { sent, alreadyThere, records } = one
  return {
    points: division(run.journaled, sent.points, alreadyThere.points, one),
    records: division(run.recordsJournaled, sent.records, alreadyThere.records, records),
  }
}

function division(
  journaled: number,
  sent: number,
  alreadyThere: number,
  { filtered, rejected, corrupt, pending }: Omit<Division, 'journaled' | 'sent' | 'alreadyThere'>,
): Division {
  return { journaled, sent, alreadyThere, filtered, rejected, corrupt, pending }
}

function divisionTables(rows: readonly (readonly [string, DestinationTotals])[]): string[] {
  return [
    ' points',
    ...divisionTable(rows.map(([name, { points }]) => [name, points])),
    ' records',
    ...divisionTable(rows.map(([name, { records }]) => [name, records])),
  ]
}

const HEADER = [
  '',
  'journaled',
  '= sent',
  '+ already there',
  '+ filtered',
  '+ rejected',
  '+ corrupt',
  '+ pending',
  '',
]

/** A row per destination, with a mark that tells whether its sum is what the journals hold. */
function divisionTable(rows: readonly (readonly [string, Division])[]): string[] {
  const cells = rows.map(([name, division]) => {
    const sum = PARTS.reduce((total, part) => total + division[part], 0)
    return [
      plain(name),
      count(division.journaled),
      ...PARTS.map((part) => count(division[part])),
      sum === division.journaled ? '✓' : '✗',
    ]
  })
  return alignedTable([HEADER, ...cells], '  ')
}

function summed(a: Division, b: Division): Division {
  const parts = ['journaled', ...PARTS] as const
  return Object.fromEntries(parts.map((part) => [part, a[part] + b[part]])) as unknown as Division
}
