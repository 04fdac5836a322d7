/**
 * Where an offline run lies: `<dir>/wandb/offline-run-YYYYMMDD_HHMMSS-<id>/run-<id>.wandb`, local time, as the SDK
 * names it; `wandb sync` takes no other directory for an offline run. Beside the file are `files/` and, once it has
 * been sent, `run-<id>.wandb.synced`.
 *
 * Nothing here goes through a symbolic link: another user may have put one into a shared folder.
 */
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TraceletError } from '../../../core/errors.ts'
import { LOG_HEADER } from './log-format.ts'

export const FOLDER_MODE = 0o700
export const FILE_MODE = 0o600
const OPEN_FLAGS = constants.O_RDWR | constants.O_NOFOLLOW
/** Names that are taken before it is given up. */
const MAX_TRIES = 1000

export interface LogPlace {
  /** `<dir>/wandb` */
  readonly root: string
  /** The run's id at W&B. */
  readonly id: string
  readonly createdMs: number
}

export interface OpenedLog {
  /** Name of the directory. */
  readonly name: string
  readonly handle: FileHandle
}

export function logPath({ root, id }: LogPlace, name: string): string {
  return join(root, name, `run-${id}.wandb`)
}

/** Whether `wandb sync` has sent it: what is written there from then on is never sent. */
export async function isSynced(place: LogPlace, name: string): Promise<boolean> {
  return isThere(`${logPath(place, name)}.synced`)
}

/** @throws TraceletError ERR_REMOTE_RUN_GONE; errors of node:fs */
export async function reopenLog(place: LogPlace, name: string): Promise<OpenedLog> {
  const path = logPath(place, name)
  await checkFolder(join(place.root, name))
  try {
    return { name, handle: await open(path, OPEN_FLAGS) }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? gone(path) : error
  }
}

/**
 * The directory that an earlier process has begun and not committed, else a new one.
 * @param begin what the run's file begins with: no other run's does
 */
export async function beginLog(place: LogPlace, begin: Uint8Array): Promise<OpenedLog> {
  await mkdir(place.root, { recursive: true })
  const pattern = /^offline-run-\d{8}_\d{6}-/
  const names = (await readdir(place.root)).filter(
    (name) => pattern.test(name) && name.replace(pattern, '') === place.id,
  )
  for (const name of names.sort()) {
    if (await isSynced(place, name)) continue
    const found = await adopt(place, name, begin)
    if (found !== undefined) return found
  }
  for (let later = 0; later < MAX_TRIES; later++) {
    const name = directoryName(place, later)
    try {
      await mkdir(join(place.root, name), { mode: FOLDER_MODE })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      continue
    }
    return { name, handle: await open(logPath(place, name), 'wx+', FILE_MODE) }
  }
  throw new TraceletError('ERR_OTHER_WRITER', `there are ${MAX_TRIES} runs '${place.id}' in ${place.root}`)
}

/** Makes a folder below an existing one, part by part. */
export async function makeFolder(base: string, parts: readonly string[]): Promise<string> {
  let path = base
  for (const part of parts) {
    path = join(path, part)
    try {
      await mkdir(path, { mode: FOLDER_MODE })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      await checkFolder(path)
    }
  }
  return path
}

export async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
}

export function gone(path: string): TraceletError {
  return new TraceletError(
    'ERR_REMOTE_RUN_GONE',
    `${path} was deleted; put it back, or deliver the run to another dir, where it begins anew`,
  )
}

/** @param laterS where the name is taken */
export function directoryName({ id, createdMs }: LogPlace, laterS = 0): string {
  const time = new Date(createdMs + laterS * 1000)
  const two = (number: number) => String(number).padStart(2, '0')
  const date = `${time.getFullYear()}${two(time.getMonth() + 1)}${two(time.getDate())}`
  return `offline-run-${date}_${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}-${id}`
}

/** Ours, if it begins so, as far as it was written; one without a file may be anybody's. */
async function adopt(place: LogPlace, name: string, begin: Uint8Array): Promise<OpenedLog | undefined> {
  let handle: FileHandle
  try {
    await checkFolder(join(place.root, name))
    handle = await open(logPath(place, name), OPEN_FLAGS)
  } catch {
    return undefined
  }
  const read = Buffer.alloc(begin.length)
  const { bytesRead } = await handle.read(read, 0, read.length, 0)
  const isOurs =
    bytesRead > LOG_HEADER.length &&
    Buffer.compare(read.subarray(0, bytesRead), begin.subarray(0, bytesRead)) === 0
  if (isOurs) return { name, handle }
  await handle.close()
  return undefined
}

async function checkFolder(path: string): Promise<void> {
  let isFolder: boolean
  try {
    isFolder = (await lstat(path)).isDirectory()
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? gone(path) : error
  }
  if (!isFolder)
    throw new TraceletError('ERR_AUTH', `${path} is not a folder, and nothing is written through links`)
}
