/**
 * The bytes of an artifact as they are at the call: small ones are read, large ones cloned where the file system
 * shares blocks between files. What is left to copy is marked, and the parking thread refuses what has changed.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import { BLOBS_FOLDER } from '../../core/blob-path.ts'
import { TraceletError } from '../../core/errors.ts'
import { asPath, changed, changeOf } from '../../pipeline/parking/keep-files.ts'
import type { FileToKeep } from '../../pipeline/parking/messages.ts'
import { unfinishedPath } from '../../pipeline/store/blobs.ts'
import { FILE_MODE, FOLDER_MODE } from '../../pipeline/store/folder.ts'
import { type FileChoice, type FoundFile, findFiles, markOf, outlastTick } from './artifact-walk.ts'

/** Artifacts up to this size in all are read at the call. */
export const READ_AT_CALL_BYTES = 1 << 20
/** What a file takes while it waits, beside its content. */
const ENTRY_BYTES = 256
const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
const CLONE_FLAGS = constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL

/** Devices whose file system does not clone into a run's: asked once. */
const cannotClone = new Set<string>()

export interface TakenFiles {
  readonly files: FileToKeep[]
  /** Buffers of content, to be transferred. */
  readonly transfer: ArrayBuffer[]
  /** Memory that they take until they are kept. */
  readonly bytes: number
  /** Whether they lie below a folder that was named. */
  readonly isFolder: boolean
  /** What was left out or renamed. */
  readonly remarks: readonly string[]
}

/**
 * @param cloneFile makes a copy that shares blocks with its source, or throws
 * @param choice what of a folder is taken; default all
 * @throws TraceletError ERR_ARTIFACT
 */
export function takeFiles(
  path: string,
  runFolder: string,
  cloneFile = cloneIfShared,
  choice?: FileChoice,
): TakenFiles {
  const { files: found, isFolder, remarks } = findFiles(path, runFolder, undefined, choice)
  const entries = found.reduce((sum, file) => sum + ENTRY_BYTES + 2 * file.path.length, 0)
  const total = found.reduce((sum, { mark }) => sum + Number(mark.size), 0)
  if (total <= READ_AT_CALL_BYTES) {
    const contents = found.map(read)
    return {
      files: found.map(({ path }, index) => ({ path, from: { bytes: contents[index]! } })),
      transfer: contents.map(({ buffer }) => buffer),
      bytes: entries + total,
      isFolder,
      remarks,
    }
  }
  try {
    outlastTick(found)
  } catch (error) {
    throw new TraceletError('ERR_ARTIFACT', `a file is gone: ${(error as Error).message}`, { cause: error })
  }
  mkdirSync(join(runFolder, BLOBS_FOLDER), { recursive: true, mode: FOLDER_MODE })
  const files = found.map(({ path, location, mark }): FileToKeep => {
    const clone = cloned({ path, location, mark }, runFolder, cloneFile)
    return { path, from: clone === undefined ? { location, mark } : { clone } }
  })
  return { files, transfer: [], bytes: entries, isFolder, remarks }
}

function read({ path, location, mark }: FoundFile): Uint8Array<ArrayBuffer> {
  const size = Number(mark.size)
  const bytes = new Uint8Array(size)
  let change: string | undefined
  try {
    const fd = openSync(location, READ_FLAGS)
    try {
      for (let at = 0; at < size; ) {
        const count = readSync(fd, bytes, at, size - at, at)
        if (count === 0) break
        at += count
      }
      change = changeOf(fstatSync(fd, { bigint: true }), mark)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw new TraceletError('ERR_ARTIFACT', `'${path}' cannot be read: ${(error as Error).message}`, {
      cause: error,
    })
  }
  if (change !== undefined) throw changed(path, change)
  return bytes
}

/** Path of a clone in the run's folder; undefined where there can be none. */
function cloned(
  { location, mark }: FoundFile,
  runFolder: string,
  cloneFile: typeof cloneIfShared,
): string | undefined {
  const device = `${mark.dev} ${runFolder}`
  if (mark.size === 0n || cannotClone.has(device)) return undefined
  const clone = unfinishedPath(runFolder)
  try {
    cloneFile(location, clone)
    chmodSync(clone, FILE_MODE)
    if (changeOf(markOf(location), mark) === undefined) return clone
  } catch {
    cannotClone.add(device)
  }
  rmSync(clone, { force: true })
  return undefined
}

function cloneIfShared(location: string | Buffer, clone: string): void {
  copyFileSync(asPath(location), clone, CLONE_FLAGS)
}
