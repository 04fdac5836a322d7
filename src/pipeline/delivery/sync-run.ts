/** Delivers what a run at rest still owes its destinations, in this process and without a drain thread. */
import { monotonicNow } from '../../core/clock.ts'
import { createCounters, RUN, runCounters } from '../../core/counters.ts'
import { TraceletError } from '../../core/errors.ts'
import { type Environment, nearest } from '../../core/options.ts'
import type { DestinationName, DestinationStats, RunId } from '../../core/types.ts'
import { destinationStats } from '../destination-stats.ts'
import { scanJournal } from '../journal/scan.ts'
import type { DestinationSpec, FromDelivery } from '../messages.ts'
import { latestDestinations, type RunDestination, readRunFile, runInfo } from '../store/run-file.ts'
import { Desk } from './desk.ts'

export interface SyncOptions {
  /** Those to deliver to. Default: all that the run has been opened with, each at its latest address. */
  readonly destinations?: readonly DestinationName[]
  /** What is not delivered after so many ms stays pending. */
  readonly deadlineMs: number
  /** Where credentials come from, which are never written down. */
  readonly environment: Environment
  /** Issues and addresses as they come. */
  readonly onMessage?: (message: FromDelivery) => void
  /** Given, before anything is sent, what reads the sums while they change. */
  readonly onStart?: (read: () => Readonly<Record<DestinationName, DestinationStats>>) => void
}

export interface SyncedDestination extends DestinationStats {
  /** Everything is settled. */
  readonly complete: boolean
}

export interface SyncedRun {
  readonly run: RunId
  /** Points and records that the journal holds. */
  readonly journaled: number
  readonly recordsJournaled: number
  readonly destinations: Readonly<Record<DestinationName, SyncedDestination>>
}

/**
 * @param folder the run's folder
 * @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT; ERR_OPTION for a destination that the run has not. What
 *   goes wrong at a destination, another process that delivers to it included, stands in its `reason`.
 */
export async function syncRun(folder: string, options: SyncOptions): Promise<SyncedRun> {
  const file = readRunFile(folder)
  const run = runInfo(folder, file)
  const chosen = choose(latestDestinations(file), options.destinations)
  const end = scanJournal(folder, 0)
  const counters = createCounters(chosen.length)
  const words = runCounters(counters)
  words[RUN.pointsBefore] = end.points
  words[RUN.recordsBefore] = end.seq - end.points
  words[RUN.seq] = end.seq
  const closed = new Map<DestinationName, Extract<FromDelivery, { type: 'closed' }>>()
  const urls = new Map<DestinationName, string>()
  const desk = new Desk({
    environment: options.environment,
    tell: (message) => {
      if (message.type === 'closed') closed.set(message.destination, message)
      if (message.type === 'url') urls.set(message.destination, message.url)
      options.onMessage?.(message)
    },
  })
  const deadlineAt = monotonicNow() + options.deadlineMs
  const specs = chosen.map(
    ({ name, kind, module, options }, index): DestinationSpec => ({
      name,
      index,
      kind,
      ...(module !== undefined && { module }),
      options,
    }),
  )
  options.onStart?.(() =>
    Object.fromEntries(
      specs.map(({ name, index }) => {
        const told = { url: urls.get(name) ?? '', reason: closed.get(name)?.reason ?? '' }
        return [name, destinationStats(counters, index, told)]
      }),
    ),
  )
  await desk.open({ run, counters, live: false, destinations: specs })
  desk.scheduler.finish(run.id, deadlineAt)
  await desk.scheduler.stopped()
  const stats = specs.map(({ name, index }) => {
    const { complete, reason } = closed.get(name)!
    const stats = destinationStats(counters, index, { url: urls.get(name) ?? '', reason })
    return [name, { complete, ...stats }] as const
  })
  return {
    run: run.id,
    journaled: end.points,
    recordsJournaled: end.seq - end.points,
    destinations: Object.fromEntries(stats),
  }
}

function choose(
  known: ReadonlyMap<DestinationName, RunDestination>,
  wanted: readonly DestinationName[] = [...known.keys()],
): RunDestination[] {
  return wanted.map((name) => {
    const destination = known.get(name)
    if (destination !== undefined) return destination
    const near = nearest(name, [...known.keys()])
    throw new TraceletError(
      'ERR_OPTION',
      `the run has no destination '${name}'${near ? `; did you mean '${near}'?` : `; it has ${[...known.keys()].join(', ') || 'none'}`}`,
    )
  })
}
