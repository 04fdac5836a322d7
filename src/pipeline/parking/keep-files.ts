/**
 * Copies the files of an artifact into the run, part by part, and proves that each is what it was when it was
 * logged: a file that has changed since is refused, never delivered.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { ErrorRecord } from '../../core/errors.ts'
import { TraceletError } from '../../core/errors.ts'
import { FILE_LIST_TYPE } from '../../core/media-types.ts'
import type { BlobRef, FileList, StoredFile } from '../../core/types.ts'
import type { BlobStore } from '../store/blobs.ts'
import type { FileMark, FileToKeep } from './messages.ts'

/** A list longer than this stands in a blob: a record must fit into a lane, and is read with the points. */
const INLINE_LIST_BYTES = 32_768
const FILE_TYPE = 'application/octet-stream'
/** The path was resolved when it was logged: a link there now is not that file. Not there on Windows. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

export interface KeptFiles {
  readonly files: FileList
  readonly bytes: number
}

/** Yields after each part of a file. @throws TraceletError ERR_ARTIFACT; Error of the system for the run's disk */
export function* keepFiles(store: BlobStore, files: readonly FileToKeep[]): Generator<number, KeptFiles> {
  const stored: StoredFile[] = []
  let bytes = 0
  for (const { path, from } of files) {
    let blob: BlobRef
    if ('bytes' in from) blob = store.put(from.bytes, FILE_TYPE)
    else if ('clone' in from) blob = yield* store.adopt(from.clone, FILE_TYPE)
    else blob = yield* keepFile(store, path, from.location, from.mark)
    stored.push({ path, blob })
    bytes += blob.bytes
    yield 0
  }
  const list = JSON.stringify(stored)
  if (list.length <= INLINE_LIST_BYTES) return { files: stored, bytes }
  return { files: store.put(Buffer.from(list), FILE_LIST_TYPE), bytes }
}

function* keepFile(
  store: BlobStore,
  path: string,
  location: string | Uint8Array,
  mark: FileMark,
): Generator<number, BlobRef> {
  const fd = reading(path, () => openSync(asPath(location), READ_FLAGS))
  try {
    const check = () => {
      const change = changeOf(
        reading(path, () => fstatSync(fd, { bigint: true })),
        mark,
      )
      if (change !== undefined) throw changed(path, change)
    }
    check()
    const size = Number(mark.size)
    const copy = store.copy(
      {
        read: (target, at) =>
          reading(path, () => readSync(fd, target, 0, Math.min(target.length, size - at), at)),
      },
      FILE_TYPE,
      // asked when every byte has been read, before there is a blob
      () => check(),
    )
    return yield* copy
  } finally {
    closeSync(fd)
  }
}

/** What of a file is not as it was; undefined when it is the same. */
export function changeOf(now: FileMark, mark: FileMark): string | undefined {
  if (now.ino !== mark.ino || now.dev !== mark.dev) return 'another file has taken its place'
  if (now.size !== mark.size) return `it had ${mark.size} bytes and has ${now.size}`
  if (now.mtimeNs !== mark.mtimeNs || now.ctimeNs !== mark.ctimeNs) return 'it was written to'
  return undefined
}

export function changed(path: string, change: string): TraceletError {
  return new TraceletError(
    'ERR_ARTIFACT',
    `'${path}' changed while it was copied (${change}); await the promise that the call gave before you change a file`,
  )
}

/** What stands at fault is the user's file, not the run's disk. */
function reading<Result>(path: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    throw new TraceletError('ERR_ARTIFACT', `'${path}' cannot be read: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** A path that came through a message as plain bytes. */
export function asPath(location: string | Uint8Array): string | Buffer {
  return typeof location === 'string' ? location : Buffer.from(location)
}

/** What an error of keeping something means to the user. */
export function keepingIssue(error: unknown): ErrorRecord {
  if (error instanceof TraceletError) return { code: error.code, message: error.message }
  return {
    code: 'ERR_JOURNAL_WRITE',
    message: `the run's folder cannot take it: ${(error as Error).message}`,
  }
}
