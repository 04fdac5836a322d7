/**
 * `run.json`: what a run is and where it goes, small and readable, so that `sync` can finish the work on
 * another day or host. Written only by the holder of the run's `writer` guard, always as a whole, and twice: what
 * stands in it is nowhere else, so one damaged file must not cost it.
 *
 * The points, params, tags and the outcome stand in the journal; `state` here is a hint for listings.
 * It holds no secret: options come here without them, and credentials are found anew where they are needed.
 */
import { closeSync, fdatasyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ErrorRecord, TraceletError } from '../../core/errors.ts'
import type { DestinationName, RunInfo, RunOutcome, WallMs } from '../../core/types.ts'
import { Damage } from './cursor-format.ts'
import { FILE_MODE, RUN_COPY_FILE, RUN_FILE } from './folder.ts'
import { type DecodedRunFile, decodeRunFile, encodeRunFile } from './run-file-format.ts'

/** Identified by name and address together: another address is another destination, with a cursor of its own. */
export interface RunDestination {
  readonly name: DestinationName
  readonly kind: string
  readonly module?: string
  /** As resolved, without secrets and undefined ones (`withoutSecrets`). */
  readonly options: Readonly<Record<string, unknown>>
  /** The sink's `address()`: where exactly the run goes. */
  readonly address: string
  /** The destination that it stands beside: nobody has named it, and who goes on with the run does not have it by that. */
  readonly companionOf?: DestinationName
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
  /** What the run was last started with; absent: everything is kept. */
  readonly retention?: 'delivered'
}

/**
 * Writes `run.json`, and the same beside it as `run.copy.json`.
 * @throws TraceletError ERR_JOURNAL_WRITE
 */
export function writeRunFile(folder: string, file: RunFile): void {
  const path = join(folder, RUN_FILE)
  const text = encodeRunFile(file)
  try {
    // Losing the nonce to a power cut would make a second remote run; it is written once or twice in a run.
    replace(path, text, true)
    // The other is safe by now: whatever a power cut leaves of this one, it is not needed.
    replace(join(folder, RUN_COPY_FILE), text, false)
  } catch (cause) {
    throw new TraceletError('ERR_JOURNAL_WRITE', `cannot write ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/**
 * The run's file; where that is damaged or gone, the copy of it.
 * @param onDamage told of what is damaged although the run can be read (ERR_JOURNAL_DAMAGED)
 * @throws TraceletError ERR_RUN_UNKNOWN when there is neither; ERR_JOURNAL_FORMAT when both are damaged or not ours,
 * or a newer version wrote them
 */
export function readRunFile(folder: string, onDamage?: (issue: ErrorRecord) => void): RunFile {
  const path = join(folder, RUN_FILE)
  const present = read(path)
  if (present !== undefined && !(present instanceof Damage) && present.isChecked) {
    tellCopy(folder, onDamage)
    return present.file
  }
  const copy = readCopy(folder)
  const isSound = copy !== undefined && !(copy instanceof Damage)
  if (present !== undefined && !(present instanceof Damage)) {
    // Its checksum may have been lost with more: what has one is believed. A file of before has no copy.
    return isSound && copy.isChecked ? copy.file : present.file
  }
  if (isSound) {
    const reason = present === undefined ? 'gone' : `damaged (${present.reason})`
    onDamage?.({
      code: 'ERR_JOURNAL_DAMAGED',
      message: `${path} is ${reason}: going on from its copy, the next start of the run writes both`,
    })
    return copy.file
  }
  if (present === undefined && copy === undefined) {
    throw new TraceletError('ERR_RUN_UNKNOWN', `${folder} is not the folder of a run: it has no ${RUN_FILE}`)
  }
  const reason = present?.reason ?? 'it is gone'
  const and = copy === undefined ? '' : `; so is its copy: ${copy.reason}`
  throw new TraceletError('ERR_JOURNAL_FORMAT', `${path} is damaged: ${reason}${and}`)
}

function tellCopy(folder: string, onDamage: ((issue: ErrorRecord) => void) | undefined): void {
  if (onDamage === undefined) return
  const copy = readCopy(folder)
  if (!(copy instanceof Damage)) return
  onDamage({
    code: 'ERR_JOURNAL_DAMAGED',
    message: `${join(folder, RUN_COPY_FILE)} is damaged (${copy.reason}): the next start of the run writes it again`,
  })
}

/** A copy that only a newer version can read says nothing: the file itself decides. */
function readCopy(folder: string): DecodedRunFile | Damage | undefined {
  try {
    return read(join(folder, RUN_COPY_FILE))
  } catch (error) {
    if (error instanceof TraceletError) return new Damage(error.message)
    throw error
  }
}

function read(path: string): DecodedRunFile | Damage | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return new Damage(`it cannot be read: ${(cause as Error).message}`)
  }
  return decodeRunFile(text, path)
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
  // By the clock of another machine those before may be of tomorrow: they must not stay the latest.
  const usedAt = Math.max(now, ...merged.map((known) => known.usedAt + 1))
  for (const destination of destinations) {
    const at = merged.findIndex(
      (known) => known.name === destination.name && known.address === destination.address,
    )
    if (at < 0) merged.push({ ...destination, addedAt: now, usedAt })
    else merged[at] = { ...destination, addedAt: merged[at]!.addedAt, usedAt }
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

/** A reader, a crash or (synced) a power cut finds the old content or the new. */
function replace(path: string, text: string, isSynced: boolean): void {
  const beside = `${path}.tmp`
  const fd = openSync(beside, 'w', FILE_MODE)
  try {
    writeFileSync(fd, text)
    if (isSynced) fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(beside, path)
}
