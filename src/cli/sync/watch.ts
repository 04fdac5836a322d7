/**
 * `tracelet sync --watch`: sends whatever comes to owe something, as soon as nobody else writes or delivers it.
 *
 * Between two looks nothing runs. A look reads no more than the names and sizes of files where a run had nothing to
 * send and has not changed since; one that a live process writes or delivers is left alone until the next look.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isSynced, type SyncOutcome } from '../../pipeline/delivery/sync-outcome.ts'
import { RunSyncer, type SyncRunsOptions } from '../../pipeline/delivery/sync-runs.ts'
import { mayBeHeld, readGuards } from '../../pipeline/store/guard-look.ts'
import { isBusy, isWhole, lacksDestination } from './report.ts'

/** What is under way when the end is asked for has so long. */
export const GRACE_MS = 10_000
/** A backend in trouble holds a run's place no longer. */
const PATIENCE_MS = 30_000
/** Waits of a run that could not be delivered: doubled each time, up to the last. */
const FIRST_WAIT_MS = 30_000
const LAST_WAIT_MS = 600_000

export interface WatchOptions extends Omit<SyncRunsOptions, 'onEnd' | 'patienceMs'> {
  readonly intervalMs: number
  /** Folders of runs, as they are now. */
  readonly list: () => readonly string[]
  /** Told of each run that is delivered, and of one that could not be once for each reason. */
  readonly onOutcome: (outcome: SyncOutcome) => void
  /** Ends the watch. */
  readonly signal: AbortSignal
}

/** What the last look at a run has found. */
interface Seen {
  /** Of the folder when it had nothing to send: not looked into while it is the same. */
  stamp?: string
  failures: number
  notBefore: number
  /** What was said of it last: said once. */
  told?: string
}

/** @returns whether every run that was looked at has been delivered */
export async function watch({
  intervalMs,
  list,
  onOutcome,
  signal,
  ...options
}: WatchOptions): Promise<boolean> {
  const runs = new Map<string, Seen>()
  const underWay = new Map<string, string>()
  /** After a failure one run at a time tries whether the backends are back. */
  let isProbing = false
  const onEnd = (outcome: SyncOutcome) => {
    const { folder } = outcome
    const stamp = underWay.get(folder)
    underWay.delete(folder)
    const seen = runs.get(folder) ?? { failures: 0, notBefore: 0 }
    runs.set(folder, seen)
    if (isBusy(outcome)) return
    const isLacking = lacksDestination(outcome, options)
    const isDelivered = isLacking || (isSynced(outcome) && isWhole(outcome))
    if (isDelivered) {
      Object.assign(seen, { stamp, failures: 0, notBefore: 0 })
      isProbing = false
    } else {
      if (isSynced(outcome)) isProbing = true
      seen.notBefore =
        performance.now() + Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(seen.failures, 10))
      seen.failures++
    }
    const news = newsOf(outcome)
    if (!isLacking && (isDelivered || news !== seen.told)) onOutcome(outcome)
    seen.told = news
  }
  const syncer = new RunSyncer({ ...options, patienceMs: PATIENCE_MS, onEnd })
  while (!signal.aborted) {
    const listed = list()
    forgetOthers(runs, listed)
    for (const folder of listed) {
      if (underWay.has(folder)) continue
      if (isProbing && syncer.size > 0) break
      const seen = runs.get(folder)
      if (seen !== undefined && seen.notBefore > performance.now()) continue
      const stamp = stampOf(folder)
      if (stamp === undefined || stamp === seen?.stamp || isTaken(folder)) continue
      underWay.set(folder, stamp)
      syncer.add(folder)
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => {})
  }
  await syncer.stop(GRACE_MS)
  return [...runs.values()].every(({ failures }) => failures === 0)
}

/** Whether a live process writes or delivers it. */
function isTaken(folder: string): boolean {
  return readGuards(folder).some(mayBeHeld)
}

/**
 * Changes when anything is added to the journal, or put into the folder itself; undefined when it is gone. Guards and
 * cursors lie deeper and do not change it.
 */
function stampOf(folder: string): string | undefined {
  try {
    const last = readdirSync(folder)
      .filter((name) => name.endsWith('.tlj'))
      .sort()
      .at(-1)
    const size = last === undefined ? 0 : statSync(join(folder, last)).size
    return `${statSync(folder).mtimeMs} ${last} ${size}`
  } catch {
    return undefined
  }
}

function newsOf(outcome: SyncOutcome): string {
  if (!isSynced(outcome)) return outcome.error.code
  return Object.entries(outcome.destinations)
    .map(([name, { complete, code = '' }]) => `${name} ${complete} ${code}`)
    .join()
}

/** Runs that were removed. */
function forgetOthers(runs: Map<string, Seen>, listed: readonly string[]): void {
  if (runs.size <= listed.length) return
  const there = new Set(listed)
  for (const folder of runs.keys()) if (!there.has(folder)) runs.delete(folder)
}
