/**
 * `run.json`: what a run is and where it goes, small and readable, so that `sync` can finish the work on
 * another day or host. Written only by the holder of the run's `writer` guard, always as a whole.
 *
 * The points, params, tags and the outcome stand in the journal; `state` here is a hint for listings.
 * It holds no secret: options come here without them, and credentials are found anew where they are needed.
 */
import { closeSync, fdatasyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
import type { DestinationName, RunInfo, RunOutcome, WallMs } from '../../core/types.ts'
import { FILE_MODE, RUN_FILE } from './folder.ts'

const FORMAT = 'tracelet-run'
const VERSION = 1

/** Identified by name and address together: another address is another destination, with a cursor of its own. */
export interface RunDestination {
  readonly name: DestinationName
  readonly kind: string
  readonly module?: string
  /** As resolved, without secrets and undefined ones (`withoutSecrets`). */
  readonly options: Readonly<Record<string, unknown>>
  /** The sink's `address()`: where exactly the run goes. */
  readonly address: string
  readonly addedAt: WallMs
  /** When the run was last opened with it. */
  readonly usedAt: WallMs
}

export interface RunFile {
  /** Version of the package that wrote it last. */
  readonly tracelet: string
  /** All of RunInfo but the folder, which is wherever this file lies. */
  readonly run: Omit<RunInfo, 'folder'>
  readonly openedAt: WallMs
  /** A hint: the journal knows. */
  readonly state: 'running' | RunOutcome
  readonly destinations: readonly RunDestination[]
}

/** @throws TraceletError ERR_JOURNAL_WRITE */
export function writeRunFile(folder: string, file: RunFile): void {
  const path = join(folder, RUN_FILE)
  const { folder: _, ...run } = file.run as RunInfo
  const text = `${JSON.stringify({ format: FORMAT, version: VERSION, ...file, run }, null, 2)}\n`
  try {
    // Losing the nonce to a power cut would make a second remote run; it is written once or twice in a run.
    replaceSynced(path, text)
  } catch (cause) {
    throw new TraceletError('ERR_JOURNAL_WRITE', `cannot write ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/**
 * @throws TraceletError ERR_RUN_UNKNOWN when there is no such file; ERR_JOURNAL_FORMAT when it is damaged, not
 * ours, or of a newer version
 */
export function readRunFile(folder: string): RunFile {
  const path = join(folder, RUN_FILE)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new TraceletError(
        'ERR_RUN_UNKNOWN',
        `${folder} is not the folder of a run: it has no ${RUN_FILE}`,
      )
    }
    throw new TraceletError('ERR_JOURNAL_FORMAT', `cannot read ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new TraceletError('ERR_JOURNAL_FORMAT', `${path} is damaged: it is not JSON`, { cause })
  }
  if (!isObject(content) || content.format !== FORMAT) {
    throw new TraceletError('ERR_JOURNAL_FORMAT', `${path} is not a run file of tracelet`)
  }
  const { format: _, version, ...file } = content
  if (typeof version === 'number' && version > VERSION) {
    throw new TraceletError(
      'ERR_JOURNAL_FORMAT',
      `${path} has version ${version}, this tracelet reads up to ${VERSION}: use a newer one`,
    )
  }
  const fault = version === VERSION ? faultOf(file) : 'version'
  if (fault !== undefined) {
    throw new TraceletError('ERR_JOURNAL_FORMAT', `${path} is damaged: '${fault}' is missing or wrong`)
  }
  return file as unknown as RunFile
}

/** What the pipeline knows a run by, wherever its folder lies now. */
export function runInfo(folder: string, file: RunFile): RunInfo {
  return { ...file.run, folder }
}

/**
 * The file with the destinations of one more opening. Those of earlier openings stay: `sync` still owes them
 * what they have not got. One that is there (same name and address) takes the new options.
 */
export function withDestinations(
  file: RunFile,
  destinations: readonly Omit<RunDestination, 'addedAt' | 'usedAt'>[],
  now: WallMs,
): RunFile {
  const merged = [...file.destinations]
  for (const destination of destinations) {
    const at = merged.findIndex(
      (known) => known.name === destination.name && known.address === destination.address,
    )
    if (at < 0) merged.push({ ...destination, addedAt: now, usedAt: now })
    else merged[at] = { ...destination, addedAt: merged[at]!.addedAt, usedAt: now }
  }
  return { ...file, openedAt: now, destinations: merged }
}

/** The destinations by name: of several addresses under one name the one used last. */
export function latestDestinations(file: RunFile): Map<DestinationName, RunDestination> {
  const latest = new Map<DestinationName, RunDestination>()
  for (const destination of file.destinations) {
    const known = latest.get(destination.name)
    if (known === undefined || destination.usedAt >= known.usedAt) latest.set(destination.name, destination)
  }
  return latest
}

/** A reader, a crash or a power cut finds the old content or the new. */
function replaceSynced(path: string, text: string): void {
  const beside = `${path}.tmp`
  const fd = openSync(beside, 'w', FILE_MODE)
  try {
    writeFileSync(fd, text)
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(beside, path)
}

/** Path of the first part that a version 1 file must have and this one has not; undefined when it is sound. */
function faultOf(file: Record<string, unknown>): string | undefined {
  const { run, destinations } = file
  if (typeof file.tracelet !== 'string') return 'tracelet'
  if (typeof file.openedAt !== 'number') return 'openedAt'
  if (typeof file.state !== 'string') return 'state'
  if (!isObject(run)) return 'run'
  for (const key of ['id', 'name', 'project', 'experiment', 'nonce']) {
    if (typeof run[key] !== 'string') return `run.${key}`
  }
  if (typeof run.createdAt !== 'number') return 'run.createdAt'
  for (const key of ['group', 'parent', 'user', 'program']) {
    if (run[key] !== undefined && typeof run[key] !== 'string') return `run.${key}`
  }
  if (!Array.isArray(destinations)) return 'destinations'
  for (const [index, destination] of destinations.entries()) {
    if (!isDestination(destination)) return `destinations[${index}]`
  }
  return undefined
}

function isDestination(value: unknown): boolean {
  return (
    isObject(value) &&
    ['name', 'kind', 'address'].every((key) => typeof value[key] === 'string') &&
    ['addedAt', 'usedAt'].every((key) => typeof value[key] === 'number') &&
    (value.module === undefined || typeof value.module === 'string') &&
    isObject(value.options)
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
