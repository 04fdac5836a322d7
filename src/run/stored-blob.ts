/** Bytes that a run keeps, read back: never without a look at whether they are what the journal says. */
import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { Readable } from 'node:stream'
import { blobPath } from '../core/blob-path.ts'
import { TraceletError } from '../core/errors.ts'
import type { BlobRef } from '../core/types.ts'

/** Read in parts of so many bytes. */
const PART_BYTES = 1 << 20
/** Largest content that `read()` takes into memory: what a run takes at once too. Larger ones are streamed. */
const MAX_READ_BYTES = 1 << 28

/**
 * Content that stands in the run's folder by its digest. Reading throws or ends with TraceletError ERR_BLOB when it
 * is missing, has another size or is not what the digest says: nothing wrong is passed on unnoticed.
 */
export class StoredBlob implements BlobRef {
  /** SHA-256 of the bytes, 64 lower-case hexadecimal digits. */
  readonly digest: string
  readonly bytes: number
  /** Media type, such as `image/png`. */
  readonly type: string
  readonly #runFolder: string

  /** @internal */
  constructor(runFolder: string, { digest, bytes, type }: BlobRef) {
    this.#runFolder = runFolder
    this.digest = String(digest)
    this.bytes = Number(bytes)
    this.type = String(type)
  }

  /**
   * All of it.
   * @throws TraceletError ERR_BLOB; ERR_VALUE_TOO_LONG above 256 MiB: use `stream()`
   */
  read(): Buffer {
    if (this.bytes > MAX_READ_BYTES) {
      throw new TraceletError(
        'ERR_VALUE_TOO_LONG',
        `${this.bytes} bytes are too many to read at once: use stream()`,
      )
    }
    const fd = this.#open()
    try {
      const content = Buffer.alloc(this.bytes)
      let length = 0
      while (length < content.length) {
        const read = readSync(fd, content, length, content.length - length, length)
        if (read === 0) break
        length += read
      }
      this.#check(createHash('sha256').update(content.subarray(0, length)).digest('hex'))
      return content
    } finally {
      closeSync(fd)
    }
  }

  /** All of it as UTF-8. @throws TraceletError as `read()` */
  text(): string {
    return this.read().toString()
  }

  /**
   * Its parts as Buffers, in bounded memory. The stream fails with ERR_BLOB, at its end at the latest: use what came
   * through only after it has ended well.
   */
  stream(): Readable {
    return Readable.from(this.parts(), { objectMode: false })
  }

  /** @internal */
  *parts(): Generator<Buffer> {
    const fd = this.#open()
    try {
      const hash = createHash('sha256')
      let position = 0
      for (;;) {
        const part = Buffer.allocUnsafe(Math.min(PART_BYTES, Math.max(1, this.bytes - position)))
        const read = readSync(fd, part, 0, part.length, position)
        if (read === 0) break
        position += read
        if (position > this.bytes) break
        hash.update(part.subarray(0, read))
        yield part.subarray(0, read)
      }
      this.#check(hash.digest('hex'))
    } finally {
      closeSync(fd)
    }
  }

  /** A folder from elsewhere may hold a link or a pipe in the place of content: neither is followed or waited for. */
  #open(): number {
    const path = blobPath(this.#runFolder, this.digest)
    let fd: number
    try {
      fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0))
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      const why = code === 'ENOENT' ? 'it is not there' : code === 'ELOOP' ? 'it is a link' : String(cause)
      throw new TraceletError('ERR_BLOB', `${path} cannot be read: ${why}`, { cause })
    }
    const file = fstatSync(fd)
    if (file.isFile() && file.size === this.bytes) return fd
    closeSync(fd)
    const found = file.isFile() ? `has ${file.size} bytes instead of ${this.bytes}` : 'is not a file'
    throw new TraceletError('ERR_BLOB', `${path} ${found}`)
  }

  #check(digest: string): void {
    if (digest !== this.digest) {
      throw new TraceletError(
        'ERR_BLOB',
        `${blobPath(this.#runFolder, this.digest)} was changed: its digest is ${digest}`,
      )
    }
  }
}
