/** Reads the bytes that a run keeps, and trusts only those that are what their digest says. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { blobPath } from '../core/blob-path.ts'
import { TraceletError } from '../core/errors.ts'
import type { BlobRef } from '../core/types.ts'

/** A file, or what it is to be part of. */
export interface FilePiece {
  readonly location: string
  readonly bytes: number
}

const CHUNK_BYTES = 1 << 20

/** Never through a symbolic link and never waiting for a pipe's other end: a run's folder may come from elsewhere. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Of opening a file: it will not be there, or not be readable, the next time either. */
const FOR_GOOD = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'EACCES', 'EPERM', 'ENXIO'])

/** A blob is missing, unreadable or damaged. */
export class BlobError extends Error {}

/**
 * A blob whose bytes were read once and are those of its digest.
 * @throws BlobError; errors of node:fs that may pass; the signal's reason
 */
export async function verified(blob: BlobRef, runFolder: string, signal?: AbortSignal): Promise<FilePiece> {
  const piece = { location: locationOf(blob, runFolder), bytes: blob.bytes }
  const hash = createHash('sha256')
  for await (const chunk of chunksOf(piece)) {
    signal?.throwIfAborted()
    hash.update(chunk)
  }
  if (hash.digest('hex') === blob.digest) return piece
  throw new BlobError(`${piece.location} is not what its digest says`)
}

/** The first bytes of a file that is a piece. */
export async function headOf(piece: FilePiece, maxBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunksOf(piece)) {
    parts.push(Buffer.from(chunk.subarray(0, maxBytes - length)))
    length += chunk.length
    if (length >= maxBytes) break
  }
  return Buffer.concat(parts)
}

/**
 * The file in parts of at most 1 MiB, each valid until the next is asked for.
 * @throws BlobError; errors of node:fs that may pass
 */
export async function* chunksOf({ location, bytes }: FilePiece): AsyncGenerator<Uint8Array> {
  const handle = await openForReading(location)
  try {
    const stat = await handle.stat()
    if (!stat.isFile() || stat.size !== bytes) {
      throw new BlobError(`${location} is not a file of ${bytes} bytes`)
    }
    const buffer = Buffer.allocUnsafe(Math.min(bytes, CHUNK_BYTES))
    for (let at = 0; at < bytes; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, bytes - at), at)
      if (bytesRead === 0) throw new BlobError(`${location} became shorter than ${bytes} bytes`)
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
    }
  } finally {
    await handle.close()
  }
}

async function openForReading(location: string): Promise<FileHandle> {
  try {
    return await open(location, READ_FLAGS)
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    throw FOR_GOOD.has(code) ? new BlobError(message) : error
  }
}

function locationOf(blob: BlobRef, runFolder: string): string {
  try {
    return blobPath(runFolder, blob.digest)
  } catch (error) {
    throw error instanceof TraceletError ? new BlobError(error.message) : error
  }
}
