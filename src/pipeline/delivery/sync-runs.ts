/**
 * Delivers what runs at rest still owe, many at a time, in this process and without a drain thread.
 *
 *  Y1  One desk serves all runs, so accounts, limits and back-off are shared.
 *  Y2  At most `parallel` runs are open; files, memory and connections follow that, not the number of runs.
 *  Y3  A run that owes nothing costs a few short reads: no guard, no request.
 *  Y4  What is wrong with one run is its own outcome. One that waits for a backend in trouble gives its place to
 *      others and comes again, until its own deadline.
 *  Y5  Two folders of one run (copies) are never open at once.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { monotonicNow } from '../../core/clock.ts'
import { type ErrorRecord, toErrorRecord } from '../../core/errors.ts'
import type { Environment } from '../../core/options.ts'
import type { DestinationName, RunId } from '../../core/types.ts'
import type { FromDelivery } from '../messages.ts'
import { applyRetention } from '../retention.ts'
import { Desk } from './desk.ts'
import { MAX_OPEN } from './slots.ts'
import {
  type Active,
  isInTrouble,
  type Job,
  note,
  progressOf,
  type ReadDestinations,
  readStats,
} from './sync-active.ts'
import {
  type DestinationOutcome,
  isSynced,
  type SyncedRun,
  type SyncOutcome,
  toSyncedRun,
} from './sync-outcome.ts'
import { planSync, type SyncPlan } from './sync-plan.ts'

export type { ReadDestinations } from './sync-active.ts'

/** As many as may be open at one account. */
export const DEFAULT_PARALLEL: number = MAX_OPEN

const GIVE_WAY_MS = 30_000
const LOOK_MS = 1_000

export interface SyncRunsOptions {
  /** Those to deliver to. Default: all that a run has been opened with, each at its latest address. */
  readonly destinations?: readonly DestinationName[]
  /** What of a run is not delivered so many ms after its turn came stays pending. */
  readonly deadlineMs: number
  /** Where credentials come from, which are never written down. */
  readonly environment: Environment
  /** Runs open at once. Default 64. */
  readonly parallel?: number
  /** A run in trouble that has got nothing through for so long makes room for one that waits. Default 30 s. */
  readonly giveWayMs?: number
  /**
   * A run that is in trouble and has got nothing through for so long is ended as incomplete. Default: it goes on
   * until its deadline.
   */
  readonly patienceMs?: number
  /** What a run owes, in place of what its folder says; with `booksFolder` nothing is written to its folder. */
  readonly plan?: (folder: string) => SyncPlan
  /** Where cursors, guards and dead letters lie. Default: in the folder of each run. */
  readonly booksFolder?: string
  /** Done to a run's folder before it is looked at; what it throws is the run's outcome. */
  readonly prepare?: (folder: string, onDamage: (issue: ErrorRecord) => void) => void
  /** Told, once a run, of what is damaged of its file although the run can be read. */
  readonly onDamage?: (issue: ErrorRecord) => void
  /** Issues and addresses as they come. */
  readonly onMessage?: (message: FromDelivery) => void
  /** Given, before anything of a run is sent, what reads its sums while they change. */
  readonly onStart?: (run: RunId, read: ReadDestinations) => void
  readonly onEnd?: (outcome: SyncOutcome) => void
}

/** @returns in the order of the folders; never rejects for a run's sake */
export async function syncRuns(
  folders: readonly string[],
  options: SyncRunsOptions & { readonly end?: { readonly signal: AbortSignal; readonly graceMs: number } },
): Promise<readonly SyncOutcome[]> {
  const outcomes = new Map<string, SyncOutcome>()
  const syncer = new RunSyncer({
    ...options,
    onEnd: (outcome) => {
      outcomes.set(outcome.folder, outcome)
      options.onEnd?.(outcome)
    },
  })
  const once = new Set(folders)
  for (const folder of once) syncer.add(folder)
  const { signal, graceMs } = options.end ?? {}
  signal?.addEventListener('abort', () => void syncer.stop(graceMs!), { once: true })
  await syncer.idle()
  return [...once].flatMap((folder) => outcomes.get(folder) ?? [])
}

export class RunSyncer {
  readonly #options: SyncRunsOptions
  readonly #desk: Desk
  readonly #waiting: Job[] = []
  readonly #active = new Map<RunId, Active>()
  #underWay = 0
  #stopsAt: number | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #onIdle: (() => void)[] = []

  constructor(options: SyncRunsOptions) {
    this.#options = options
    this.#desk = new Desk({
      environment: options.environment,
      ...(options.booksFolder !== undefined && { booksFolder: options.booksFolder }),
      tell: (message) => this.#heard(message),
      onCursor: (run, store, cursor) => {
        const before = this.#active.get(run)?.job.before
        // of several tries the first counts
        if (cursor !== undefined && before !== undefined && !before.has(store))
          before.set(store, cursor.settled)
      },
    })
  }

  /** Runs that wait or are open. */
  get size(): number {
    return this.#waiting.length + this.#underWay
  }

  /** Takes a run's folder to its outcome, which `onEnd` is told. */
  add(folder: string): void {
    this.#waiting.push({
      folder,
      deadlineAt: undefined,
      before: new Map(),
      hasDied: false,
      isDamageTold: false,
    })
    this.#fill()
  }

  /** Resolves when there is nothing to do. */
  async idle(): Promise<void> {
    if (this.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  /**
   * Begins no further run and gives those that are open so many ms, those in trouble none. Resolves when all are
   * closed.
   */
  async stop(graceMs: number): Promise<void> {
    const now = monotonicNow()
    const stopsAt = now + graceMs
    this.#stopsAt = Math.min(this.#stopsAt ?? Infinity, stopsAt)
    for (const { outcome } of this.#waiting.splice(0))
      if (outcome !== undefined) this.#options.onEnd?.(outcome)
    for (const [run, active] of this.#active) this.#finish(run, active, isInTrouble(active) ? now : stopsAt)
    await this.idle()
  }

  #fill(): void {
    const { parallel = DEFAULT_PARALLEL } = this.#options
    while (this.#underWay < parallel && this.#waiting.length > 0 && this.#stopsAt === undefined) {
      this.#underWay++
      void this.#take(this.#waiting.shift()!)
    }
    if (this.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  async #take(job: Job): Promise<void> {
    // Runs that owe nothing follow each other: answers for the others must come in between.
    await nextTurn()
    let outcome: SyncOutcome | undefined
    try {
      outcome = await this.#sync(job)
    } catch (cause) {
      outcome = { folder: job.folder, error: toErrorRecord(cause, 'ERR_JOURNAL_FORMAT'), cause }
    }
    this.#underWay--
    if (outcome === undefined) this.#waiting.push(job)
    else {
      // what retention cannot remove it finds with the next sync
      const mayRemove = isSynced(outcome) && this.#options.plan === undefined
      if (mayRemove) attempt(() => applyRetention(job.folder))
      this.#options.onEnd?.(outcome)
    }
    this.#fill()
  }

  /** Undefined: it has given way and comes again. */
  async #sync(job: Job): Promise<SyncedRun | undefined> {
    const { destinations, environment, prepare, deadlineMs } = this.#options
    const onDamage = (issue: ErrorRecord) => {
      if (!job.isDamageTold) this.#options.onDamage?.(issue)
      job.isDamageTold = true
    }
    prepare?.(job.folder, onDamage)
    const plan =
      this.#options.plan?.(job.folder) ?? (await planSync(job.folder, destinations, environment, onDamage))
    const { id } = plan.run
    job.hasDied ||= plan.hasDied
    if (plan.owing.length === 0) return toSyncedRun(plan, new Map(), plan.settled, job.hasDied)
    if (this.#active.has(id)) {
      while (this.#active.has(id)) await this.#active.get(id)!.ended
      return await this.#sync(job)
    }
    job.deadlineAt ??= monotonicNow() + deadlineMs
    const active = await this.#deliver(job, plan, job.deadlineAt)
    const isDone = plan.owing.every(({ name }) => active.told.get(name)!.isComplete)
    const mayComeAgain =
      active.givesWay &&
      this.#options.patienceMs === undefined &&
      monotonicNow() < job.deadlineAt &&
      this.#stopsAt === undefined
    const before = new Map([...plan.settled, ...job.before])
    const outcome = toSyncedRun(plan, active.told, before, job.hasDied)
    if (isDone || !mayComeAgain) return outcome
    job.outcome = outcome
    return undefined
  }

  async #deliver(job: Job, plan: SyncPlan, deadlineAt: number): Promise<Active> {
    const { run, counters, owing, isLive = false } = plan
    const { promise: ended, resolve: end } = withResolvers()
    const told = new Map(
      owing.map(({ name }) => [
        name,
        { url: '', reason: '', code: undefined, isComplete: false, isClosed: false } as DestinationOutcome,
      ]),
    )
    const active: Active = {
      job,
      plan,
      told,
      end,
      ended,
      deadlineAt: Math.min(deadlineAt, this.#stopsAt ?? Infinity),
      givesWay: false,
      moved: 0,
      movedAt: monotonicNow(),
    }
    this.#active.set(run.id, active)
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
    this.#options.onStart?.(run.id, () => readStats(active))
    try {
      await this.#desk.open({ run, counters, live: isLive, destinations: owing })
      this.#finish(run.id, active, active.deadlineAt)
      await ended
    } finally {
      this.#desk.scheduler.forget(run.id)
      this.#active.delete(run.id)
    }
    return active
  }

  #finish(run: RunId, active: Active, deadlineAt: number): void {
    active.deadlineAt = Math.min(active.deadlineAt, deadlineAt)
    this.#desk.scheduler.finish(run, active.deadlineAt)
  }

  #heard(message: FromDelivery): void {
    if (message.type !== 'ready') {
      const active = this.#active.get(message.run)
      const outcome = active?.told.get(message.destination)
      if (active !== undefined && outcome !== undefined) {
        note(outcome, message)
        if ([...active.told.values()].every(({ isClosed }) => isClosed)) active.end()
      }
    }
    this.#options.onMessage?.(message)
  }

  /** Whoever gets nothing through for long makes room (Y4). */
  #look(): void {
    const now = monotonicNow()
    const { patienceMs, giveWayMs = GIVE_WAY_MS } = this.#options
    for (const [run, active] of this.#active) {
      const moved = progressOf(active.plan)
      if (moved !== active.moved) {
        active.moved = moved
        active.movedAt = now
      } else if (
        (patienceMs !== undefined || this.#waiting.length > 0) &&
        !active.givesWay &&
        now - active.movedAt >= (patienceMs ?? giveWayMs) &&
        isInTrouble(active)
      ) {
        active.givesWay = true
        this.#finish(run, active, now)
      }
    }
  }
}

function attempt(work: () => void): void {
  try {
    work()
  } catch {
    // the run's outcome tells what is wrong with its folder
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
