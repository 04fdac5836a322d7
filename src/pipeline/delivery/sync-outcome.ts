/** What came of delivering a run at rest. */
import type { ErrorCode, ErrorRecord } from '../../core/errors.ts'
import type { DestinationName, DestinationStats, RunId, SettledCounts } from '../../core/types.ts'
import { destinationStats } from '../destination-stats.ts'
import { uploadsName } from '../store/cursor.ts'
import type { SyncPlan } from './sync-plan.ts'

export interface PointsAndRecords {
  readonly points: number
  readonly records: number
}

export interface SyncedDestination extends DestinationStats {
  /** Everything is settled. */
  readonly complete: boolean
  /** Delivered by this sync: new to the backend. */
  readonly sent: PointsAndRecords
  /** Delivered before, or merged by the backend into what it had: `delivered = sent + alreadyThere`. */
  readonly alreadyThere: PointsAndRecords
  /** What kept it from being complete, where that is known. */
  readonly code?: ErrorCode
}

export interface SyncedRun {
  readonly run: RunId
  readonly folder: string
  /** Points and records that the journal holds. */
  readonly journaled: number
  readonly recordsJournaled: number
  /** Its process had died without a word: it has been closed as killed, at the time of what it logged last. */
  readonly closedAsKilled: boolean
  readonly destinations: Readonly<Record<DestinationName, SyncedDestination>>
}

/** A run that could not be looked at, or that a live process writes. */
export interface NotSynced {
  readonly folder: string
  readonly error: ErrorRecord
  /** What was thrown. */
  readonly cause: unknown
}

export type SyncOutcome = SyncedRun | NotSynced

export function isSynced(outcome: SyncOutcome): outcome is SyncedRun {
  return 'run' in outcome
}

/** What is learned of a destination while it is delivered to. */
export interface DestinationOutcome {
  url: string
  reason: string
  code: ErrorCode | undefined
  isComplete: boolean
  isClosed: boolean
}

export type SettledBefore = ReadonlyMap<string, SettledCounts>

/**
 * @param told of the destinations that owed something; the others are complete
 * @param before what each cursor had settled when this sync began
 */
export function toSyncedRun(
  plan: SyncPlan,
  told: ReadonlyMap<DestinationName, DestinationOutcome>,
  before: SettledBefore,
  closedAsKilled: boolean,
): SyncedRun {
  const destinations = plan.specs.map(({ name, index }) => {
    const outcome = told.get(name)
    const url = outcome?.url || (plan.urls.get(name) ?? '')
    const stats = destinationStats(plan.counters, index, { url, reason: outcome?.reason ?? '' })
    const complete = outcome?.isComplete ?? true
    const { code } = outcome ?? {}
    const sent = plan.inJournal.has(name) ? { points: 0, records: 0 } : sentOf(stats, name, before)
    const alreadyThere = {
      points: stats.delivered - sent.points,
      records: stats.records.delivered - sent.records,
    }
    return [name, { complete, ...stats, sent, alreadyThere, ...(!complete && code && { code }) }] as const
  })
  return {
    run: plan.run.id,
    folder: plan.run.folder,
    journaled: plan.points,
    recordsJournaled: plan.records,
    closedAsKilled,
    destinations: Object.fromEntries(destinations),
  }
}

/** What this sync has brought, less what the backend merged into what it had. */
function sentOf(
  { delivered, superseded, records }: DestinationStats,
  name: DestinationName,
  before: SettledBefore,
): PointsAndRecords {
  const [rows, uploads] = [before.get(name), before.get(uploadsName(name))]
  const had = (word: 'delivered' | 'superseded' | 'recordsDelivered') =>
    (rows?.[word] ?? 0) + (uploads?.[word] ?? 0)
  return {
    points: delivered - had('delivered') - (superseded - had('superseded')),
    records: records.delivered - had('recordsDelivered'),
  }
}
