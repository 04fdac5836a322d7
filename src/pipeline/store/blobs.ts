/**
 * Bytes that a run keeps by their content: `blobs/<2 digits>/<SHA-256>` in its folder (core/blob-path.ts).
 *
 * B1  A file under its final name is whole: bytes are written beside it and renamed when they are all there.
 * B2  Equal content is kept once. A file of another size than its content's is replaced.
 * B3  With `durability: 'power'` bytes and names are on the disk when a reference is handed out.
 */
import { createHash, type Hash } from 'node:crypto'
import {
  closeSync,
  fdatasyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { threadId } from 'node:worker_threads'
import { BLOBS_FOLDER, blobPath } from '../../core/blob-path.ts'
import type { BlobRef } from '../../core/types.ts'
import { FILE_MODE, FOLDER_MODE } from './folder.ts'
import { ownIdentity } from './process-identity.ts'
import { syncFolder } from './sync-folder.ts'

/** Copies go by this much at a time; between two of them the thread does something else. */
export const COPY_BYTES = 1 << 20
/** Names of files that are not whole yet; no digest begins so. */
const UNFINISHED = 'tmp-'

let buffer: Uint8Array | undefined
let zeros: Uint8Array | undefined
let unfinishedNumber = 0

/** What a file is made of, read part by part. */
export interface Source {
  /** Fills `target` from `position` on; returns the bytes read, 0 at the end. */
  readonly read: (target: Uint8Array, position: number) => number
}

export class BlobStore {
  readonly runFolder: string
  readonly #folder: string
  readonly #isDurable: boolean

  /** Removes what a process that died left unfinished. The caller's process is the run's only writer. */
  constructor(runFolder: string, durability: 'process' | 'power') {
    this.runFolder = runFolder
    this.#folder = join(runFolder, BLOBS_FOLDER)
    this.#isDurable = durability === 'power'
    mkdirSync(this.#folder, { recursive: true, mode: FOLDER_MODE })
    const own = unfinishedPrefix()
    for (const name of readdirSync(this.#folder)) {
      // another thread of this process may be clearing up too
      if (name.startsWith(UNFINISHED) && !name.startsWith(own))
        rmSync(join(this.#folder, name), { force: true })
    }
    if (this.#isDurable) syncFolder(runFolder)
  }

  /** @throws Error of the system: disk full, no permission … */
  put(bytes: Uint8Array, type: string): BlobRef {
    const digest = createHash('sha256').update(bytes).digest('hex')
    const blob = { digest, bytes: bytes.length, type }
    if (this.#has(blob)) return blob
    const beside = unfinishedPath(this.runFolder)
    try {
      const fd = this.#begin(beside)
      try {
        writeAll(fd, bytes, 0)
        if (this.#isDurable) fdatasyncSync(fd)
      } finally {
        closeSync(fd)
      }
      this.#keep(beside, blob)
    } catch (error) {
      rmSync(beside, { force: true })
      throw error
    }
    return blob
  }

  /**
   * Copies a source that may be large; yields after each part. Ended early (`return()`), it leaves nothing.
   * Parts that are all zero are not written, so a sparse file stays small.
   * @param check called when all is read; what it throws is thrown, and there is no blob
   */
  copy(source: Source, type: string, check?: () => void): Generator<number, BlobRef> {
    return this.#keepFilled(unfinishedPath(this.runFolder), 'wx', type, function* (fd, hash) {
      const bytes = yield* hashed(source, hash, (part, at) => {
        if (!isZero(part)) writeAll(fd, part, at)
      })
      check?.()
      ftruncateSync(fd, bytes)
      return bytes
    })
  }

  /** Takes over a file made by `unfinishedPath`, hashing it; yields after each part. Ended early, it removes it. */
  adopt(path: string, type: string): Generator<number, BlobRef> {
    return this.#keepFilled(path, 'r+', type, (fd, hash) =>
      hashed({ read: (target, at) => readSync(fd, target, 0, target.length, at) }, hash),
    )
  }

  /** @param fill ends with the bytes that the file holds then, all of them hashed */
  *#keepFilled(
    path: string,
    flags: 'wx' | 'r+',
    type: string,
    fill: (fd: number, hash: Hash) => Generator<number, number>,
  ): Generator<number, BlobRef> {
    let isKept = false
    try {
      const fd = flags === 'wx' ? this.#begin(path) : openSync(path, flags, FILE_MODE)
      const hash = createHash('sha256')
      let bytes: number
      try {
        bytes = yield* fill(fd, hash)
        if (this.#isDurable) fdatasyncSync(fd)
      } finally {
        closeSync(fd)
      }
      const blob = { digest: hash.digest('hex'), bytes, type }
      this.#keep(path, blob)
      isKept = true
      return blob
    } finally {
      if (!isKept) rmSync(path, { force: true })
    }
  }

  /** The folder may have been deleted since. */
  #begin(path: string): number {
    try {
      return openSync(path, 'wx', FILE_MODE)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      mkdirSync(this.#folder, { recursive: true, mode: FOLDER_MODE })
      return openSync(path, 'wx', FILE_MODE)
    }
  }

  #has(blob: BlobRef): boolean {
    const there = statSync(blobPath(this.runFolder, blob.digest), { throwIfNoEntry: false })
    return there?.isFile() === true && there.size === blob.bytes
  }

  #keep(beside: string, blob: BlobRef): void {
    if (this.#has(blob)) {
      rmSync(beside)
      return
    }
    const path = blobPath(this.runFolder, blob.digest)
    const isNewFolder = mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE }) !== undefined
    renameSync(beside, path)
    if (this.#isDurable) {
      syncFolder(dirname(path))
      if (isNewFolder) syncFolder(this.#folder)
    }
  }
}

/** A new name, on the same file system as the blobs, for bytes that become one. */
export function unfinishedPath(runFolder: string): string {
  return join(runFolder, BLOBS_FOLDER, `${unfinishedPrefix()}${threadId}.${unfinishedNumber++}`)
}

/** Removes files made by `unfinishedPath` that nobody will take over; the next start removes those that stay. */
export function removeUnfinished(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      rmSync(path, { force: true })
    } catch {
      // a disk that fails has been told of by what could not be kept
    }
  }
}

/** Start times tell processes of one pid apart. */
function unfinishedPrefix(): string {
  const { pid, startTime } = ownIdentity()
  return `${UNFINISHED}${pid}.${startTime}-`
}

/** Reads a source to its end, part by part, yielding after each; ends with its length. */
function* hashed(
  source: Source,
  hash: Hash,
  onPart?: (part: Uint8Array, at: number) => void,
): Generator<number, number> {
  let bytes = 0
  for (;;) {
    const part = readPart(source, bytes)
    if (part.length === 0) return bytes
    hash.update(part)
    onPart?.(part, bytes)
    bytes += part.length
    yield part.length
  }
}

/** The next part, whole unless the source ends; good until the next call in this thread. */
function readPart(source: Source, position: number): Uint8Array {
  buffer ??= new Uint8Array(COPY_BYTES)
  let length = 0
  while (length < buffer.length) {
    const read = source.read(buffer.subarray(length), position + length)
    if (read === 0) break
    length += read
  }
  return buffer.subarray(0, length)
}

function isZero(part: Uint8Array): boolean {
  zeros ??= new Uint8Array(COPY_BYTES)
  return Buffer.compare(part, zeros.subarray(0, part.length)) === 0
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at)
}
