/** The files of a record, and whether they can be sent. A run's folder may have come from elsewhere: nothing in it is believed. */
import { createHash } from 'node:crypto'
import { constants, lstatSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { blobPath } from '../../core/blob-path.ts'
import { TraceletError } from '../../core/errors.ts'
import type { BlobRef, RunRecord, StoredFile, UploadFile } from '../../core/types.ts'

/** Of the JSON of a list of files: a million files and more. */
const MAX_LIST_BYTES = 256 * 1024 * 1024
/** Some 2 ms of hashing, between which other deliveries of the thread get on. */
const PART_BYTES = 1024 * 1024

/**
 * All files of a record, references too; those that have no paths of their own are numbered.
 * @throws TraceletError ERR_BLOB when their list is missing or is no list of files; an error of the system when the
 * disk cannot read it
 */
export function filesOf(record: RunRecord, runFolder: string): readonly StoredFile[] {
  switch (record.kind) {
    case 'images':
      return record.images.map(({ image }, index) => ({ path: String(index), blob: image }))
    case 'table':
      return [{ path: '0', blob: record.table }]
    case 'figure':
      return [{ path: '0', blob: record.figure }]
    case 'text':
      return typeof record.text === 'string' ? [] : [{ path: '0', blob: record.text }]
    case 'artifact':
    case 'model':
    case 'files':
      return checked(isList(record.files) ? record.files : readList(record.files, runFolder))
    default:
      return []
  }
}

export function uploadFile(
  file: StoredFile & { blob: BlobRef },
  index: number,
  runFolder: string,
): UploadFile {
  const { path, blob } = file
  return { index, path, blob, location: blobPath(runFolder, blob.digest) }
}

export function isStored(file: StoredFile): file is StoredFile & { blob: BlobRef } {
  return 'blob' in file
}

/**
 * Why a blob cannot be sent; undefined when it is there with its size. A link is none: it could lead anywhere.
 * @throws an error of the system when the disk cannot tell
 */
export function blobFault(location: string, { digest, bytes }: BlobRef): string | undefined {
  try {
    const found = lstatSync(location)
    if (!found.isFile()) return `what lies in the place of blob ${digest} is no file`
    return found.size === bytes ? undefined : `blob ${digest} has ${found.size} bytes instead of ${bytes}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return `blob ${digest} is missing`
    throw error
  }
}

/**
 * Why the bytes of a blob of the right size are not its content; undefined when they are.
 * @param alive told after each part: a large file takes its time
 * @throws an error of the system when the disk cannot read it
 */
export async function contentFault(
  location: string,
  { digest, bytes }: BlobRef,
  signal: AbortSignal,
  alive: () => void,
): Promise<string | undefined> {
  const found =
    bytes <= PART_BYTES ? digestOf(readFileSync(location)) : await digestOfParts(location, signal, alive)
  return found === digest ? undefined : `blob ${digest} was changed: its digest is ${found}`
}

function digestOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

async function digestOfParts(location: string, signal: AbortSignal, alive: () => void): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(location, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  try {
    const part = Buffer.allocUnsafe(PART_BYTES)
    for (;;) {
      const { bytesRead } = await file.read(part, 0, part.length, null)
      if (bytesRead === 0) break
      hash.update(part.subarray(0, bytesRead))
      signal.throwIfAborted()
      alive()
    }
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}

function isList(files: readonly StoredFile[] | BlobRef): files is readonly StoredFile[] {
  return Array.isArray(files)
}

function readList(blob: BlobRef, runFolder: string): unknown {
  const location = blobPath(runFolder, blob.digest)
  const fault =
    blob.bytes > MAX_LIST_BYTES
      ? `its list of files has ${blob.bytes} bytes, up to ${MAX_LIST_BYTES} are read`
      : blobFault(location, blob)
  if (fault !== undefined) throw new TraceletError('ERR_BLOB', fault)
  const text = readFileSync(location)
  if (digestOf(text) !== blob.digest)
    throw new TraceletError('ERR_BLOB', `blob ${blob.digest}, its list of files, was changed`)
  try {
    return JSON.parse(text.toString())
  } catch (cause) {
    throw new TraceletError('ERR_BLOB', `blob ${blob.digest} is no list of files`, { cause })
  }
}

function checked(files: unknown): readonly StoredFile[] {
  if (!Array.isArray(files)) throw new TraceletError('ERR_BLOB', 'what should list its files is no list')
  for (const [index, file] of files.entries()) {
    if (!isSound(file))
      throw new TraceletError('ERR_BLOB', `entry ${index} of its list of files is not sound`)
  }
  return files
}

/** A path that is not relative could leave the place where a sink puts it. */
function isSound(file: Partial<{ path: unknown; blob: Partial<BlobRef>; uri: unknown }> | null): boolean {
  if (typeof file?.path !== 'string' || file.path.includes('\0')) return false
  if (file.path.split('/').some((part) => part === '' || part === '.' || part === '..')) return false
  if (file.blob === undefined) return typeof file.uri === 'string'
  const { digest, bytes, type } = file.blob ?? {}
  return (
    /^[0-9a-f]{64}$/.test(String(digest)) &&
    Number.isSafeInteger(bytes) &&
    (bytes as number) >= 0 &&
    typeof type === 'string'
  )
}
