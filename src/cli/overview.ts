/** What can be said of a run without reading its journal: `run.json`, cursors, guards and the journal's last bytes. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { TraceletError } from '../core/errors.ts'
import type { DestinationName, RunInfo, RunOutcome } from '../core/types.ts'
import { segmentName } from '../pipeline/journal/format.ts'
import { listSegments } from '../pipeline/journal/segment-file.ts'
import { type JournalTail, readTail } from '../pipeline/journal/tail.ts'
import { isHeld } from '../pipeline/store/guard-look.ts'
import {
  latestDestinations,
  type RunDestination,
  type RunFile,
  readRunFile,
  runInfo,
} from '../pipeline/store/run-file.ts'
import { resolveDestinationOptions } from '../sinks/contract.ts'
import { SINKS } from '../sinks/index.ts'
import { type SavedCursors, savedCursors, settledOf } from './saved-cursors.ts'

/** 'died': it says it runs, and no live process holds it. */
export type RunState = 'running' | 'died' | RunOutcome
export const RUN_STATES: readonly RunState[] = ['running', 'died', 'finished', 'failed', 'killed']

export interface Overview {
  readonly folder: string
  readonly info: RunInfo
  readonly file: RunFile
  readonly state: RunState
  readonly points: number
  readonly records: number
  readonly destinations: readonly DestinationOverview[]
}
export interface DestinationOverview extends Pending {
  readonly name: DestinationName
  readonly destination: RunDestination
  readonly cursors: SavedCursors
}
/** What a destination has still to get. */
export interface Pending {
  readonly points: number
  readonly records: number
}
/** A run that cannot be read, and why. */
export interface Unreadable {
  readonly folder: string
  readonly error: TraceletError
}

const NO_CURSORS: SavedCursors = { rows: undefined, uploads: undefined, damage: [] }

/** @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT */
export function overviewOf(folder: string, file: RunFile = readRunFile(folder)): Overview {
  const tail = readTail(folder)
  return {
    folder,
    file,
    info: runInfo(folder, file),
    state: stateOf(folder, tail),
    points: tail.points,
    records: tail.records,
    destinations: [...latestDestinations(file).values()].map((destination) => {
      const inJournal = isInJournal(destination)
      const cursors = inJournal ? NO_CURSORS : savedCursors(folder, destination)
      return {
        name: destination.name,
        destination,
        cursors,
        ...pendingOf(tail, cursors, inJournal),
      }
    }),
  }
}

/** @returns the overview, or why there is none: one bad folder must not hide the others */
export function tryOverview(folder: string, file?: RunFile): Overview | Unreadable {
  try {
    return overviewOf(folder, file)
  } catch (error) {
    return { folder, error: asTraceletError(folder, error) }
  }
}

export function isUnreadable(run: Overview | Unreadable): run is Unreadable {
  return 'error' in run
}

/** @throws what is neither an error of ours nor of the file system: a defect */
export function asTraceletError(folder: string, error: unknown): TraceletError {
  if (error instanceof TraceletError) return error
  if (typeof (error as NodeJS.ErrnoException).code !== 'string') throw error
  return new TraceletError('ERR_JOURNAL_FORMAT', `cannot read ${folder}: ${(error as Error).message}`, {
    cause: error,
  })
}

/** Whether the journal itself is the destination's store. */
export function isInJournal({ kind, module }: RunDestination): boolean {
  return module === undefined && SINKS.find((sink) => sink.kind === kind)?.inJournal === true
}

/**
 * Whether what a destination got lies outside of the run's folder, so that a copy of the folder does not have it.
 * Where nobody can say, as of options that only a newer version knows, it does not.
 */
export function isElsewhere({ name, kind, module, options }: RunDestination): boolean {
  const sink = module === undefined ? SINKS.find((one) => one.kind === kind) : undefined
  if (sink === undefined) return true
  if (sink.inJournal) return false
  if (sink.inRunFolder === undefined) return true
  try {
    // the options as the run had them: the environment of today must not move it
    return !sink.inRunFolder(resolveDestinationOptions(sink, options, {}, `backend ${name}`) as never)
  } catch (error) {
    if (error instanceof TraceletError) return false
    throw error
  }
}

/** Wall ms of the last append to the journal, or when the run was opened. */
export function lastWrittenAt({ folder, file }: Overview): number {
  const last = listSegments(folder).at(-1)
  const appended = last === undefined ? 0 : statSync(join(folder, segmentName(last))).mtimeMs
  return Math.max(appended, file.openedAt)
}

function stateOf(folder: string, { state }: JournalTail): RunState {
  return state === 'running' && !isHeld(folder, 'writer') ? 'died' : state
}

function pendingOf({ points, records }: JournalTail, cursors: SavedCursors, inJournal: boolean): Pending {
  if (inJournal) return { points: 0, records: 0 }
  const { delivered, filtered, rejected, corrupt, ...of } = settledOf(cursors)
  const settledRecords = of.recordsDelivered + of.recordsFiltered + of.recordsRejected + of.recordsCorrupt
  // a cursor may be ahead of a journal that a power cut shortened
  return {
    points: Math.max(0, points - delivered - filtered - rejected - corrupt),
    records: Math.max(0, records - settledRecords),
  }
}
