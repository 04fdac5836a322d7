/** One run, written as the files of another tool. The run's folder is only read. */
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { type ErrorRecord, TraceletError } from '../../core/errors.ts'
import type { Environment } from '../../core/options.ts'
import type { RunInfo } from '../../core/types.ts'
import { planExport } from '../../pipeline/delivery/export-plan.ts'
import { isSynced, type SyncedDestination } from '../../pipeline/delivery/sync-outcome.ts'
import { type ReadDestinations, syncRuns } from '../../pipeline/delivery/sync-runs.ts'
import type { FromDelivery } from '../../pipeline/messages.ts'
import { latestDestinations, type RunFile, readRunFile, runInfo } from '../../pipeline/store/run-file.ts'
import { type Exports, resolveDestinationOptions, type SinkDefinition } from '../../sinks/contract.ts'
import { type Refusal, refusalsOf } from '../refusals.ts'

const DEADLINE_MS = 24 * 3_600_000
/** A disk that has taken nothing for so long is not waited for. */
const PATIENCE_MS = 10_000

/** A sink whose files can be exported. */
export type ExportSink = SinkDefinition & { readonly exports: Exports }

export interface ExportOptions {
  readonly sink: ExportSink
  /** Folder that the export is made in. */
  readonly out: string
  /** Options of the sink that stand over those that the run had there. */
  readonly given: Readonly<Record<string, unknown>>
  readonly environment: Environment
  /** What was begun is removed when it aborts. */
  readonly signal: AbortSignal
  readonly onMessage: (message: FromDelivery) => void
  readonly onDamage: (issue: ErrorRecord) => void
  readonly onStart: (read: ReadDestinations) => void
}

export interface ExportedRun {
  readonly run: RunInfo
  /** The folder that was made. */
  readonly path: string
  /** Points and records that were in the journal. */
  readonly points: number
  readonly records: number
  readonly isLive: boolean
  readonly isUnended: boolean
  readonly sums: SyncedDestination
  readonly refusals: readonly Refusal[]
}

/**
 * @throws TraceletError ERR_EXPORT_EXISTS; ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT, ERR_OPTION; and when it does not come
 * to its end: nothing of it is left then
 */
export async function exportRun(folder: string, options: ExportOptions): Promise<ExportedRun> {
  const { sink, environment, signal } = options
  const file = readRunFile(folder, options.onDamage)
  const run = runInfo(resolve(folder), file)
  const resolved = optionsFor(file, options)
  const path = sink.exports.folderOf(resolved as never, run)
  refuseTaken(path, run)
  const books = mkdtempSync(join(tmpdir(), 'tracelet-export-'))
  try {
    const plan = planExport(run, { name: sink.kind, index: 0, kind: sink.kind, options: resolved })
    const [outcome] = await syncRuns([folder], {
      plan: () => plan,
      booksFolder: books,
      deadlineMs: DEADLINE_MS,
      patienceMs: PATIENCE_MS,
      environment,
      onMessage: options.onMessage,
      onStart: (_, read) => options.onStart(read),
      end: { signal, graceMs: 0 },
    })
    if (outcome !== undefined && !isSynced(outcome)) throw outcome.cause
    const sums = outcome?.destinations[sink.kind]
    if (sums?.complete !== true) throw notComplete(path, sums, signal)
    const { points, records, isLive, isUnended } = plan
    return { run, path, points, records, isLive, isUnended, sums, refusals: refusalsOf(books) }
  } catch (error) {
    // it was not there before, and half of it would pass for the whole
    if (existsSync(path)) rmSync(path, { recursive: true, force: true })
    throw error
  } finally {
    rmSync(books, { recursive: true, force: true })
  }
}

/** What the run says of itself in that format holds for its export: as which run it is known there. */
function optionsFor(
  file: RunFile,
  { sink, out, given, environment }: ExportOptions,
): Readonly<Record<string, unknown>> {
  const { format, folderOption } = sink.exports
  const destinations = [...latestDestinations(file).values()].filter(({ module }) => module === undefined)
  const known =
    destinations.find(({ kind }) => kind === sink.kind) ?? destinations.find(({ kind }) => kind === format)
  const had = Object.entries(known?.options ?? {}).filter(([name]) => Object.hasOwn(sink.options, name))
  const all = { ...Object.fromEntries(had), ...given, [folderOption]: out }
  return resolveDestinationOptions(sink, all, environment, `export to ${format}`)
}

/** @throws TraceletError ERR_EXPORT_EXISTS, ERR_OPTION */
function refuseTaken(path: string, run: RunInfo): void {
  if (isWithin(path, run.folder)) {
    throw new TraceletError(
      'ERR_OPTION',
      `the export would lie in the folder of the run itself, ${run.folder}: name another folder with --out`,
    )
  }
  if (!isTaken(path)) return
  throw new TraceletError(
    'ERR_EXPORT_EXISTS',
    `${path} is there already: remove it, or name another folder with --out`,
  )
}

function isTaken(path: string): boolean {
  try {
    return readdirSync(path).length > 0
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return false
    // it is a file, or something above it is, of which the sink says more
    if (code === 'ENOTDIR') return existsSync(path)
    throw error
  }
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(realpathSync(folder), real(path))
  return !way.startsWith('..') && resolve(way) !== way
}

/** Of a path of which only the beginning is there. */
function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(real(above), basename(path))
  }
}

function notComplete(path: string, sums: SyncedDestination | undefined, signal: AbortSignal): TraceletError {
  const code = signal.aborted ? 'ERR_DEADLINE' : (sums?.code ?? 'ERR_DEADLINE')
  const why = signal.aborted ? 'it was ended' : sums?.reason || 'it could not be opened'
  return new TraceletError(code, `nothing was exported to ${path}: ${why}`)
}
