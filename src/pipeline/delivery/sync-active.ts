/** What is known of a run while it is synced: what it was told, what has got through, whether it is in trouble. */
import { CURSOR_WORDS, DESTINATION, DESTINATION_STATES, destinationCounters } from '../../core/counters.ts'
import type { DestinationName, DestinationStats, SettledCounts } from '../../core/types.ts'
import { destinationStats } from '../destination-stats.ts'
import type { FromDelivery } from '../messages.ts'
import type { DestinationOutcome, SyncedRun } from './sync-outcome.ts'
import type { SyncPlan } from './sync-plan.ts'

export type ReadDestinations = () => Readonly<Record<DestinationName, DestinationStats>>

/** A run from when it is asked for to its outcome. */
export interface Job {
  readonly folder: string
  deadlineAt: number | undefined
  readonly before: Map<string, SettledCounts>
  hasDied: boolean
  isDamageTold: boolean
  /** Of its last try, if it has given way. */
  outcome?: SyncedRun
}

/** A run that is open. */
export interface Active {
  readonly job: Job
  readonly plan: SyncPlan
  readonly told: ReadonlyMap<DestinationName, DestinationOutcome>
  readonly end: () => void
  /** Resolves with `end`. */
  readonly ended: Promise<void>
  deadlineAt: number
  givesWay: boolean
  /** What it had got through at the last look, and since when. */
  moved: number
  movedAt: number
}

/** Takes a message into what is known of its destination. */
export function note(outcome: DestinationOutcome, message: Exclude<FromDelivery, { type: 'ready' }>): void {
  if (message.type === 'url') outcome.url = message.url
  else if (message.type === 'closed') {
    outcome.isClosed = true
    outcome.isComplete = message.complete
    outcome.reason = message.reason
  } else if (message.type !== 'issue') return
  else if (message.severity === 'failing' || message.severity === 'blocked') outcome.code = message.issue.code
  else if (message.severity === 'recovered') outcome.code = undefined
}

export function readStats({ plan, told }: Active): Readonly<Record<DestinationName, DestinationStats>> {
  return Object.fromEntries(
    plan.specs.map(({ name, index }) => [name, destinationStats(plan.counters, index, told.get(name))]),
  )
}

/** Grows with everything that gets through. */
export function progressOf({ owing, counters }: SyncPlan): number {
  let sum = 0
  for (const { index } of owing) {
    const block = destinationCounters(counters, index)
    for (const half of [0, CURSOR_WORDS]) {
      for (const word of ['delivered', 'recordsDelivered', 'filtered', 'bytesSent', 'filesSent'] as const)
        sum += block[half + DESTINATION[word]]!
    }
  }
  return sum
}

/** Whether all that is left of it waits for backends that do not answer as they should. */
export function isInTrouble({ plan, told }: Active): boolean {
  const retrying = DESTINATION_STATES.indexOf('retrying')
  return plan.owing.every(({ name, index }) => {
    const block = destinationCounters(plan.counters, index)
    const isRetrying = [0, CURSOR_WORDS].some((half) => block[half + DESTINATION.state] === retrying)
    return told.get(name)!.isClosed || isRetrying
  })
}
