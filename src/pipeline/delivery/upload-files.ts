/** The files of a record, and whether they can be sent. A run's folder may have come from elsewhere: nothing in it is believed. */
import { lstatSync, readFileSync } from 'node:fs'
import { blobPath } from '../../core/blob-path.ts'
import { TraceletError } from '../../core/errors.ts'
import type { BlobRef, RunRecord, StoredFile, UploadFile } from '../../core/types.ts'

/** Of the JSON of a list of files: a million files and more. */
const MAX_LIST_BYTES = 256 * 1024 * 1024

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
  const text = readFileSync(location, 'utf8')
  try {
    return JSON.parse(text)
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
