/** Going on with a run that is there: which one, from where, and with which numbers. */
import { TraceletError } from '../core/errors.ts'
import { nearest } from '../core/options.ts'
import type { RunId } from '../core/types.ts'
import { openJournal } from '../pipeline/journal/reader.ts'
import { Superseded } from '../pipeline/journal/rewinds.ts'
import { readTail } from '../pipeline/journal/tail.ts'
import { findRunFolder } from '../pipeline/store/folder.ts'
import { latestDestinations, readRunFile } from '../pipeline/store/run-file.ts'
import type { Backend } from './backends.ts'
import type { KeptCompanions } from './companions.ts'
import { describe } from './producer.ts'

/**
 * The id of a run that must be there: it goes on, the same one in every backend. With `fromStep` it goes back first:
 * what it logged at that step or beyond is superseded by what is logged from now on.
 */
export type Resume = RunId | { readonly runId: RunId; readonly fromStep?: number | undefined }

export interface WantedRun {
  readonly id: RunId
  readonly fromStep: number | undefined
}

/** What is known of a run that goes on. */
export interface FoundRun extends WantedRun {
  readonly project: string
  readonly folder: string
  /** Where it went when it was opened last. */
  readonly backend: Backend
  /** Options of what it had beside those that were named. */
  readonly companions: KeptCompanions
}

const KEYS = ['runId', 'fromStep']

/**
 * @param runId the option of that name, which must not name another run
 * @throws TraceletError ERR_OPTION
 */
export function parseResume(resume: unknown, runId: RunId | undefined): WantedRun | undefined {
  if (resume === undefined || resume === null) return undefined
  const wanted = typeof resume === 'object' ? resume : { runId: resume }
  for (const key of Object.keys(wanted)) {
    if (KEYS.includes(key)) continue
    const near = nearest(key, KEYS)
    throw wrong(`resume has no '${key}'${near === undefined ? '' : `; did you mean '${near}'?`}`)
  }
  const { runId: id, fromStep } = wanted as { runId?: unknown; fromStep?: unknown }
  if (typeof id !== 'string' || id === '') {
    throw wrong(`resume must be the id of a run or { runId, fromStep }, but names ${describe(id)}`)
  }
  if (runId !== undefined && runId !== id) {
    throw wrong(`resume names the run '${id}' and runId '${runId}': give one of them`)
  }
  if (fromStep !== undefined && !Number.isSafeInteger(fromStep)) {
    throw wrong(
      `resume.fromStep must be an integer between -(2^53 - 1) and 2^53 - 1, but is ${describe(fromStep)}`,
    )
  }
  return { id, fromStep: fromStep as number | undefined }
}

/**
 * @param project only there; undefined: wherever it is
 * @throws TraceletError ERR_RUN_UNKNOWN; ERR_OPTION when several projects have such a run; ERR_JOURNAL_FORMAT
 */
export function findRun(root: string, wanted: WantedRun, project: string | undefined): FoundRun {
  const folder = findRunFolder(root, wanted.id, project)
  const file = readRunFile(folder)
  const destinations = [...latestDestinations(file).values()]
  const named = destinations
    .filter(({ companionOf }) => companionOf === undefined)
    .map(
      ({ name, module, options }) => [name, { ...options, ...(module !== undefined && { module }) }] as const,
    )
  const companions = destinations
    .filter(({ companionOf }) => companionOf !== undefined)
    .map(({ name, options }) => [name, options] as const)
  return {
    ...wanted,
    folder,
    project: file.run.project,
    backend: Object.fromEntries(named),
    companions: Object.fromEntries(companions),
  }
}

/**
 * Where steps that are not given go on in a run that was written before: where it goes back to, else behind the
 * highest step that counts. For that the whole journal is read, which nobody may be writing.
 * @throws TraceletError ERR_JOURNAL_FORMAT when a newer version wrote it
 */
export function firstStepOf(folder: string, fromStep: number | undefined): number {
  if (fromStep === undefined) return nextStepOf(folder)
  readTail(folder)
  return fromStep
}

function nextStepOf(folder: string): number {
  const superseded = Superseded.of(folder)
  let highest = -1
  const reader = openJournal(folder, { live: false })
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      const end = superseded.fromStep(entry.seq)
      if (entry.kind === 'points') {
        for (const step of entry.points.step) if (step > highest && step < end) highest = step
      } else if (entry.kind === 'record' && 'step' in entry.record) {
        const { step = -1 } = entry.record
        if (step > highest && step < end) highest = step
      }
    }
  } finally {
    reader.close()
  }
  return Math.min(highest + 1, Number.MAX_SAFE_INTEGER)
}

function wrong(message: string): TraceletError {
  return new TraceletError('ERR_OPTION', `startLogging: ${message}`)
}
