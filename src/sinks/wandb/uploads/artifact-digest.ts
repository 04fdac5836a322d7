/**
 * MD5s of what is to be sent, read once and in parts, between which other deliveries of the thread get on. Files that
 * will be sent in parts get an MD5 of each part by the way.
 */
import { createHash } from 'node:crypto'
import type { Refusal } from '../../http.ts'
import { BlobError, chunksOf } from '../../run-blobs.ts'
import type { ArtifactFile } from './artifact-plan.ts'

export interface FileDigest {
  /** Base64. */
  readonly md5: string
  /** Hexadecimal, in order; where it is to be sent in parts. */
  readonly parts?: readonly string[]
}

/**
 * By place among the files; references have none.
 * @param partBytesOf size of the parts that a file of so many bytes is sent in, undefined for whole
 * @param alive told after each read
 */
export async function digestsOf(
  files: readonly ArtifactFile[],
  partBytesOf: (bytes: number) => number | undefined,
  alive: () => void,
  signal: AbortSignal,
): Promise<readonly (FileDigest | undefined)[] | Refusal> {
  const digests: (FileDigest | undefined)[] = []
  for (const file of files) {
    try {
      digests.push('ref' in file ? undefined : await digestOf(file, partBytesOf, alive, signal))
    } catch (error) {
      const problem = { code: 'ERR_BLOB', reason: (error as Error).message }
      if (error instanceof BlobError) return { status: 'split', ...problem }
      return { status: 'retry', ...problem, unsent: true }
    }
  }
  return digests
}

/** @throws BlobError for what cannot be read and will not be; errors of node:fs that may pass; the signal's reason */
export async function digestOf(
  file: Exclude<ArtifactFile, { ref: string }>,
  partBytesOf: (bytes: number) => number | undefined = () => undefined,
  alive: () => void = () => {},
  signal?: AbortSignal,
): Promise<FileDigest> {
  const whole = createHash('md5')
  if ('content' in file) return { md5: whole.update(file.content).digest('base64') }
  const { path, bytes } = file
  const partBytes = partBytesOf(bytes)
  const parts = partBytes === undefined ? undefined : new PartDigests(partBytes)
  try {
    for await (const chunk of chunksOf(file)) {
      whole.update(chunk)
      parts?.update(chunk)
      signal?.throwIfAborted()
      alive()
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = `'${path}' cannot be read: ${message}`
    throw error instanceof BlobError ? new BlobError(reason) : Object.assign(new Error(reason), { code })
  }
  return { md5: whole.digest('base64'), ...(parts && { parts: parts.end() }) }
}

/** Of each so many bytes; the last part may be shorter. */
class PartDigests {
  readonly #partBytes: number
  readonly #digests: string[] = []
  #hash = createHash('md5')
  #bytes = 0

  constructor(partBytes: number) {
    this.#partBytes = partBytes
  }

  update(chunk: Uint8Array): void {
    for (let from = 0; from < chunk.length; ) {
      const taken = chunk.subarray(from, from + this.#partBytes - this.#bytes)
      this.#hash.update(taken)
      from += taken.length
      this.#bytes += taken.length
      if (this.#bytes === this.#partBytes) this.#close()
    }
  }

  end(): readonly string[] {
    if (this.#bytes > 0) this.#close()
    return this.#digests
  }

  #close(): void {
    this.#digests.push(this.#hash.digest('hex'))
    this.#hash = createHash('md5')
    this.#bytes = 0
  }
}
