/** `startLogging`, `getActiveRun`, `stopLogging`: one active run per thread, as the field is used to. */
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { type ErrorRecord, TraceletError } from '../core/errors.ts'
import { type GivenOptions, resolveOptions } from '../core/options.ts'
import type { RunId, RunInfo, RunOutcome, Stats } from '../core/types.ts'
import type { DestinationSpec } from '../pipeline/messages.ts'
import { appendRecord } from '../pipeline/store/append-record.ts'
import { createRunFolder, isRunFolder, newRunId, runFolder } from '../pipeline/store/folder.ts'
import { takeGuard } from '../pipeline/store/guard.ts'
import { readRunFile } from '../pipeline/store/run-file.ts'
import { Addresses } from './addresses.ts'
import { type Backend, isInJournal, resolveBackends, toRunDestination } from './backends.ts'
import { companionsOf } from './companions.ts'
import { describeRun, newRunInfo } from './describe-run.ts'
import { disabledRun } from './disabled-run.ts'
import type { FinishOptions } from './end.ts'
import { Engine } from './engine.ts'
import { type IssueHandler, Issues } from './issues.ts'
import { byMode, freshMsOf, tellJournalOnly } from './modes.ts'
import { RUN_OPTIONS } from './options.ts'
import { watchProcessEnd } from './process-end.ts'
import type { Params, Tags } from './records.ts'
import { findRun, firstStepOf, parseResume, type Resume } from './resume.ts'
import { Run } from './run.ts'
import { type StopRequestHandler, StopRequests } from './stop-requests.ts'

export interface StartOptions extends Omit<GivenOptions<typeof RUN_OPTIONS>, 'parent'> {
  /** Where the run lands; default the local store and TensorBoard event files. */
  readonly backend?: Backend | undefined
  readonly tags?: Tags | undefined
  readonly params?: Params | undefined
  /**
   * Goes on with a run that is there (`runId`: goes on with it or makes it): the same run in every backend, where
   * `backend` says nothing in those that it had. Who it is (name, experiment, group, parent) stays as it was.
   * `{ runId, fromStep }` goes back first: what was logged at that step or beyond is superseded by what follows.
   * Steps that are not given go on behind the highest one that counts, or at `fromStep`; to find it the journal is
   * read once, about a second for 30 million points.
   */
  readonly resume?: Resume | undefined
  /**
   * The run that this one is part of, or its id. A run of this process passes its own options on: what is not given
   * here (backend, project, experiment, group, folder, mode …) is as it was there; its name, id, params and tags
   * stay its own.
   */
  readonly parent?: Run | RunId | undefined
  /**
   * Told everything that goes wrong, at once and each time, instead of a line on stderr. It runs within the call
   * that went wrong, so let it be quick. What it throws, or its promise rejects with, harms nothing. Other threads
   * of the run (`attachRun`) tell theirs on stderr.
   */
  readonly onIssue?: IssueHandler | undefined
  /**
   * Told once for each backend at which somebody asked that the run be stopped, by the event loop; a loop that never
   * awaits asks `run.stopRequested`. Nothing is stopped by itself. What it throws harms nothing. Besides, it is an
   * issue (ERR_STOP_REQUESTED, severity 'notice').
   */
  readonly onStopRequest?: StopRequestHandler | undefined
}

/** Where nothing is to be sent yet: what is journaled has arrived. */
const JOURNAL_ONLY: DestinationSpec = { name: 'local', index: 0, kind: 'local', options: {} }

let engine: Engine | undefined
const addresses = new Addresses()
/** Runs of this thread that are not finished, in the order they were started. */
const runs = new Set<Run>()
/** What runs were started with, for their children. */
const startedWith = new WeakMap<Run, StartOptions>()

/**
 * Starts a run and makes it the active one. Synchronous; touches the local disk, never the network.
 * The first of a process takes about a tenth of a second: it waits until the drain thread is there.
 * @throws TraceletError ERR_OPTION, ERR_BACKEND_UNKNOWN for what is wrong in the options; ERR_RUN_UNKNOWN when there
 * is no run to resume; ERR_RUN_BUSY when another process writes the run; ERR_JOURNAL_WRITE when the folder cannot be
 * written; ERR_JOURNAL_FORMAT when a newer version wrote the run
 */
export function startLogging(options: StartOptions = {}): Run {
  const given = withParent(options)
  const { backend, tags, params, onIssue, onStopRequest, parent, resume, ...rest } = given
  const parentId = typeof parent === 'object' ? parent.id : parent
  const resolved = resolveOptions(RUN_OPTIONS, { ...rest, parent: parentId }, process.env, 'startLogging')
  if (!Number.isInteger(Math.log2(resolved.laneSlots))) {
    throw new TraceletError(
      'ERR_OPTION',
      `startLogging: laneSlots must be a power of two, but is ${resolved.laneSlots}`,
    )
  }
  for (const [name, handler] of Object.entries({ onIssue, onStopRequest })) {
    if (handler !== undefined && typeof handler !== 'function')
      throw new TraceletError('ERR_OPTION', `startLogging: ${name} must be a function`)
  }
  const wanted = parseResume(resume, resolved.runId)
  const id = wanted?.id ?? resolved.runId ?? newRunId()
  if (id === parentId)
    throw new TraceletError('ERR_OPTION', `startLogging: run '${id}' cannot be its own parent`)
  const root = resolve(resolved.dir)
  // who is not to log must not fail for a run that only others have
  const found = wanted && resolved.mode !== 'disabled' ? findRun(root, wanted, rest.project) : undefined
  const project = found?.project ?? resolved.project
  const identity = newRunInfo(id, found?.folder ?? runFolder(root, project, id), { ...resolved, project })
  let started: Run
  const onFinished = () => runs.delete(started)
  if (resolved.mode === 'disabled') started = disabledRun(identity, onFinished)
  else {
    const isOffline = resolved.mode === 'offline'
    const specs = resolveBackends(backend, process.env, identity, found?.backend)
    // where nothing is written but the journal there is nothing beside it either
    const companions = isOffline
      ? []
      : companionsOf(specs, identity, process.env, backend === undefined ? found?.companions : undefined)
    const modes = byMode([...specs, ...companions.map(({ spec }) => spec)])
    const isJournalOnly = modes.destinations.length === 0
    const destinations = isJournalOnly ? [JOURNAL_ONLY] : modes.destinations
    engine ??= new Engine(resolved)
    const issues = onIssue ? new Issues(onIssue) : engine.issues
    const { info, firstStep, damage } = claimFolder(
      root,
      identity,
      // as a destination of a run that has others the journal would be kept for ever
      isJournalOnly && found ? [] : destinations,
      wanted?.fromStep,
      resolved.retention,
    )
    const freshMs = isOffline ? undefined : freshMsOf(destinations)
    started = new Run(
      engine,
      {
        number: Engine.takeRunNumber(),
        incarnation: randomUUID(),
        run: info,
        destinations: isOffline ? [JOURNAL_ONLY] : destinations,
        durability: resolved.durability,
        rowMaxAgeMs: resolved.rowMaxAgeMs,
        ...(freshMs !== undefined && { freshMs }),
        retention: resolved.retention,
        ...(resolved.maxJournalBytes !== undefined && { maxJournalBytes: resolved.maxJournalBytes }),
      },
      {
        finishDeadlineMs: resolved.finishDeadlineMs,
        issues,
        // who hears issues has the program's words in hand
        addresses: onIssue || resolved.quiet ? undefined : addresses,
        stopRequests: new StopRequests(onStopRequest, issues),
        offline: (isOffline ? destinations.filter((one) => !isInJournal(one)) : modes.offline).map(
          ({ name }) => name,
        ),
        companions,
        startedAt: identity.createdAt,
        firstStep,
        onFinished,
      },
    )
    for (const issue of damage) issues.report({ ...issue, severity: 'notice' }, `${id} ${issue.message}`)
    if (isJournalOnly) tellJournalOnly(modes.disabled, info.folder)
    watchProcessEnd(runs, resolved.signals)
  }
  runs.add(started)
  startedWith.set(started, given)
  if (params !== undefined) started.logParams(params)
  if (tags !== undefined) started.setTags(tags)
  if (resolved.mode !== 'disabled') engine?.untilJournaling()
  return started
}

/** The options of a parent that is a run of this process stand in for those that are not given. */
function withParent(options: StartOptions): StartOptions {
  const { parent } = options
  if (typeof parent !== 'object' || parent === null) return options
  const before = startedWith.get(parent)
  if (before === undefined) {
    throw new TraceletError(
      'ERR_OPTION',
      'startLogging: parent must be a run that startLogging() gave in this thread, or the id of a run',
    )
  }
  const { name: _, runId, resume, params, tags, parent: grandparent, ...inherited } = before
  const own = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...inherited, ...Object.fromEntries(own) }
}

/** Makes the run's folder this process's own, and writes down what the run is and where it goes. */
function claimFolder(
  root: string,
  run: RunInfo,
  destinations: readonly DestinationSpec[],
  fromStep: number | undefined,
  retention: 'keep' | 'delivered',
): {
  readonly info: RunInfo
  /** Of steps that are not given. */
  readonly firstStep: number
  /** What was found damaged of `run.json`, which is whole again. */
  readonly damage: readonly ErrorRecord[]
} {
  const { folder } = run
  if (!isRunFolder(folder)) onDisk(root, () => createRunFolder(root, run.project, run.id))
  // the drain thread takes it over and keeps it
  const guard = onDisk(folder, () => takeGuard(folder, 'writer'))
  try {
    // asked under the guard: another process may have made the run, and ended it, just before
    const isKnown = isRunFolder(folder)
    const toDescribe = destinations.map((destination) => toRunDestination(destination, run))
    const damage: ErrorRecord[] = []
    if (isKnown) readRunFile(folder, (issue) => damage.push(issue))
    return onDisk(folder, () => {
      const firstStep = isKnown ? firstStepOf(folder, fromStep) : 0
      const info = describeRun(run, toDescribe, retention)
      // now: ahead of what any thread may log, and of the opening of a backend that is new to the run
      if (fromStep !== undefined)
        appendRecord(folder, run.id, { kind: 'rewind', fromStep, time: run.createdAt })
      return { damage, firstStep, info }
    })
  } catch (error) {
    guard.release()
    throw error
  }
}

/**
 * The run started last in this thread and not finished: after the end of a nested run, its parent.
 * @throws TraceletError ERR_NO_ACTIVE_RUN
 */
export function getActiveRun(): Run {
  const active = activeRun()
  if (active) return active
  throw new TraceletError(
    'ERR_NO_ACTIVE_RUN',
    'there is no active run in this thread: call startLogging() first',
  )
}

/** Finishes the active run; undefined when there is none. */
export async function stopLogging(outcome?: RunOutcome, options?: FinishOptions): Promise<Stats | undefined> {
  // without one: the run that is just finishing, so that whoever calls this twice waits for its end
  return (activeRun() ?? [...runs].at(-1))?.finish(outcome, options)
}

function activeRun(): Run | undefined {
  return [...runs].findLast((run) => !run.isFinished)
}

/** @throws TraceletError ERR_JOURNAL_WRITE for a fault of the file system */
function onDisk<Result>(place: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof TraceletError) throw error
    const why = error instanceof Error ? error.message : String(error)
    throw new TraceletError('ERR_JOURNAL_WRITE', `startLogging: cannot write below ${place}: ${why}`, {
      cause: error,
    })
  }
}
