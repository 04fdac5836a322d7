/** `startLogging`, `getActiveRun`, `stopLogging`: one active run per thread, as the field is used to. */
import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { TraceletError } from '../core/errors.ts'
import { type GivenOptions, resolveOptions } from '../core/options.ts'
import { redactText } from '../core/redact.ts'
import type { RunInfo, RunOutcome, Stats } from '../core/types.ts'
import { VERSION } from '../core/version.ts'
import { createRunFolder, isRunFolder, newRunId } from '../pipeline/store/folder.ts'
import { takeGuard } from '../pipeline/store/guard.ts'
import {
  type RunFile,
  readRunFile,
  runInfo,
  withDestinations,
  writeRunFile,
} from '../pipeline/store/run-file.ts'
import { type Backend, resolveBackends, toRunDestination } from './backends.ts'
import { Engine } from './engine.ts'
import { RUN_OPTIONS } from './options.ts'
import { watchProcessEnd } from './process-end.ts'
import type { Params, Tags } from './records.ts'
import { type FinishOptions, Run } from './run.ts'

export interface StartOptions extends GivenOptions<typeof RUN_OPTIONS> {
  /** Where the run lands; default the local store and TensorBoard event files. */
  readonly backend?: Backend | undefined
  readonly tags?: Tags | undefined
  readonly params?: Params | undefined
}

let engine: Engine | undefined
/** Runs of this thread that are not finished, in the order they were started. */
const runs = new Set<Run>()
let active: Run | undefined

/**
 * Starts a run and makes it the active one. Synchronous; touches the local disk, never the network.
 * The first of a process takes about a tenth of a second: it waits until the drain thread is there.
 * @throws TraceletError ERR_OPTION, ERR_BACKEND_UNKNOWN for what is wrong in the options; ERR_RUN_BUSY when another
 * process writes the run; ERR_JOURNAL_WRITE when the folder cannot be written
 */
export function startLogging(options: StartOptions = {}): Run {
  const { backend, tags, params, ...rest } = options
  const resolved = resolveOptions(RUN_OPTIONS, rest, process.env, 'startLogging')
  if (!Number.isInteger(Math.log2(resolved.laneSlots))) {
    throw new TraceletError(
      'ERR_OPTION',
      `startLogging: laneSlots must be a power of two, but is ${resolved.laneSlots}`,
    )
  }
  const destinations = resolveBackends(backend, process.env)
  const id = resolved.runId ?? newRunId()
  const root = resolve(resolved.dir)
  const folder = onDisk(root, () => createRunFolder(root, resolved.project, id))
  // the drain thread takes it over and keeps it
  const guard = onDisk(folder, () => takeGuard(folder, 'writer'))
  const run: RunInfo = {
    id,
    name: redactText(resolved.name ?? id),
    project: resolved.project,
    experiment: redactText(resolved.expName),
    ...(resolved.group !== undefined && { group: redactText(resolved.group) }),
    ...(resolved.parent !== undefined && { parent: resolved.parent }),
    createdAt: Date.now(),
    nonce: randomUUID(),
    folder,
  }
  let info: RunInfo
  try {
    const toDescribe = destinations.map((destination) => toRunDestination(destination, run))
    info = onDisk(folder, () => describeRun(run, toDescribe))
  } catch (error) {
    guard.release()
    throw error
  }
  const isFirst = engine === undefined
  engine ??= new Engine(resolved)
  const { durability, rowMaxAgeMs, finishDeadlineMs } = resolved
  const started: Run = new Run(
    engine,
    {
      number: Engine.takeRunNumber(),
      incarnation: randomUUID(),
      run: info,
      destinations,
      durability,
      rowMaxAgeMs,
    },
    finishDeadlineMs,
    () => {
      runs.delete(started)
      if (active === started) active = [...runs].at(-1)
    },
  )
  runs.add(started)
  active = started
  watchProcessEnd(runs, resolved.signals)
  if (params !== undefined) started.logParams(params)
  if (tags !== undefined) started.setTags(tags)
  if (isFirst) engine.untilJournaling()
  return started
}

/**
 * The run started last in this thread and not finished.
 * @throws TraceletError ERR_NO_ACTIVE_RUN
 */
export function getActiveRun(): Run {
  if (!active || active.isFinished) {
    throw new TraceletError(
      'ERR_NO_ACTIVE_RUN',
      'there is no active run in this thread: call startLogging() first',
    )
  }
  return active
}

/** Finishes the active run; undefined when there is none. */
export async function stopLogging(outcome?: RunOutcome, options?: FinishOptions): Promise<Stats | undefined> {
  return active?.finish(outcome, options)
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

/** Writes `run.json`, or adds this start to the one that is there; who the run is stays as it was first written. */
function describeRun(run: RunInfo, destinations: Parameters<typeof withDestinations>[1]): RunInfo {
  const now = Date.now()
  const { folder, ...identity } = run
  const before: RunFile = isRunFolder(folder)
    ? { ...readRunFile(folder), tracelet: VERSION, openedAt: now, state: 'running' }
    : { tracelet: VERSION, run: identity, openedAt: now, state: 'running', destinations: [] }
  const file = withDestinations(before, destinations, now)
  writeRunFile(folder, file)
  return runInfo(folder, file)
}
