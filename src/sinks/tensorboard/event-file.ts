/**
 * One event file on disk, of which the first `bytes` are settled.
 *
 * - F1 Only whole records are settled, and settled bytes are never changed.
 * - F2 What follows them was not committed and comes again: it is cut off before anything is written.
 * - F3 A file is taken over without its settled length only if it begins as ours would; any other is left alone.
 */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
import { crc32c, mask, maskedCrc32c } from './crc32c.ts'
import { RECORD_FOOTER_BYTES, RECORD_HEADER_BYTES } from './encode.ts'
import type { Piece } from './pieces.ts'
import { recordParts } from './record-parts.ts'

/** Never through a symbolic link: another user may have put it into a shared log directory. */
const OPEN_FLAGS = constants.O_RDWR | constants.O_NOFOLLOW

const CHECKED_AT_ONCE_BYTES = 1 << 20

export interface EventFilePlan {
  readonly directory: string
  /** Name of a new file. */
  readonly name: string
  /** End of the name of every file this run may have made here, on whichever host. */
  readonly suffix: string
  /** Put before the suffix's end when a foreign file has the name. */
  readonly tieBreak: string
  /** The first record: the same whenever and wherever this run is opened, and no other run's. */
  readonly header: Buffer
  readonly mode: number
  readonly directoryMode: number
}

/** What the cursor knows of the file. */
export interface SettledFile {
  readonly name: string
  readonly bytes: number
}

export class EventFile {
  readonly name: string
  readonly #path: string
  readonly #handle: FileHandle
  readonly #header: Buffer
  #bytes: number

  constructor(name: string, handle: FileHandle, plan: EventFilePlan, bytes: number) {
    this.name = name
    this.#path = join(plan.directory, name)
    this.#handle = handle
    this.#header = plan.header
    this.#bytes = bytes
  }

  /** Settled length. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Makes the file exactly its settled bytes long.
   * @returns how many settled bytes the disk no longer has; the whole records before them are kept
   * @throws TraceletError ERR_REMOTE_RUN_GONE when the file was deleted; errors of node:fs
   */
  async recover(): Promise<number> {
    const { size, nlink } = await this.#handle.stat()
    if (nlink === 0) throw gone(this.#path)
    if (size === this.#bytes && size > 0) return 0
    const lostFrom = this.#bytes
    const kept = size >= lostFrom ? lostFrom : await wholeRecords(this.#handle, size)
    await this.#handle.truncate(kept)
    this.#bytes = kept
    if (kept === 0) {
      await this.#put(this.#header)
      this.#bytes = this.#header.length
    }
    return Math.max(0, lostFrom - this.#bytes)
  }

  /**
   * Writes whole records after the settled ones; `settle` makes them part of the file. Until then, and when this
   * rejects, the call may be made again.
   * @returns settled bytes lost, as `recover` does
   */
  async write(records: Uint8Array): Promise<number> {
    const lostBytes = await this.recover()
    await this.#put(records)
    return lostBytes
  }

  /**
   * Writes one record of a payload that may lie in files, of which never more than a piece of 1 MiB is in memory.
   * Otherwise as `write`, but stops when `signal` says that nobody waits for it any more.
   * @returns also how many bytes the record takes
   */
  async writeEvent(
    payload: readonly Piece[],
    signal: AbortSignal,
  ): Promise<{ lostBytes: number; bytes: number }> {
    const lostBytes = await this.recover()
    let bytes = 0
    for await (const part of recordParts(payload)) {
      signal.throwIfAborted()
      await this.#put(part, bytes)
      bytes += part.length
    }
    return { lostBytes, bytes }
  }

  settle(bytes: number): void {
    this.#bytes += bytes
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  /** @param offset from the settled end */
  async #put(bytes: Uint8Array, offset = 0): Promise<void> {
    const from = this.#bytes + offset
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, from + done)
      done += bytesWritten
    }
  }
}

/**
 * Opens the run's file so that exactly its settled bytes are there; makes it when nothing is settled.
 * @returns `lostBytes`: settled bytes that the disk no longer has, after a power failure
 * @throws TraceletError ERR_REMOTE_RUN_GONE when the settled file is not there; errors of node:fs
 */
export async function openEventFile(
  plan: EventFilePlan,
  settled: SettledFile | undefined,
): Promise<{ file: EventFile; lostBytes: number }> {
  const { name, handle } = settled
    ? await reopen(plan.directory, settled.name)
    : ((await adopt(plan)) ?? (await create(plan)))
  const file = new EventFile(name, handle, plan, settled?.bytes ?? 0)
  return { file, lostBytes: await closeOnFailure(handle, file.recover()) }
}

async function reopen(directory: string, name: string): Promise<{ name: string; handle: FileHandle }> {
  const path = join(directory, name)
  try {
    return { name, handle: await open(path, OPEN_FLAGS) }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? gone(path) : error
  }
}

/** The file of an earlier process that died before its first commit. */
async function adopt(plan: EventFilePlan): Promise<{ name: string; handle: FileHandle } | undefined> {
  await mkdir(plan.directory, { recursive: true, mode: plan.directoryMode })
  const names = (await readdir(plan.directory)).filter((name) => name.endsWith(plan.suffix)).sort()
  for (const name of names) {
    const handle = await open(join(plan.directory, name), OPEN_FLAGS)
    const begin = Buffer.alloc(plan.header.length)
    const { bytesRead } = await closeOnFailure(handle, handle.read(begin, 0, begin.length, 0))
    if (begin.subarray(0, bytesRead).equals(plan.header.subarray(0, bytesRead))) return { name, handle }
    await handle.close()
  }
  return undefined
}

async function create(plan: EventFilePlan): Promise<{ name: string; handle: FileHandle }> {
  const free = (name: string) => open(join(plan.directory, name), 'wx+', plan.mode)
  try {
    return { name: plan.name, handle: await free(plan.name) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const name = plan.name.slice(0, -plan.suffix.length) + plan.tieBreak + plan.suffix
    return { name, handle: await free(name) }
  }
}

/** Length of the undamaged records at the start of a file. */
async function wholeRecords(handle: FileHandle, size: number): Promise<number> {
  const frame = Buffer.alloc(RECORD_HEADER_BYTES)
  for (let at = 0; ; ) {
    const header = await handle.read(frame, 0, RECORD_HEADER_BYTES, at)
    if (header.bytesRead < RECORD_HEADER_BYTES || frame.readUInt32LE(8) !== maskedCrc32c(frame, 0, 8))
      return at
    const payloadBytes = frame.readUInt32LE(0) + frame.readUInt32LE(4) * 2 ** 32
    const next = at + RECORD_HEADER_BYTES + payloadBytes + RECORD_FOOTER_BYTES
    if (next > size) return at
    const crc = await checksumOf(handle, at + RECORD_HEADER_BYTES, payloadBytes)
    const footer = await handle.read(frame, 0, RECORD_FOOTER_BYTES, next - RECORD_FOOTER_BYTES)
    if (footer.bytesRead < RECORD_FOOTER_BYTES || frame.readUInt32LE(0) !== mask(crc)) return at
    at = next
  }
}

/** Of `bytes` bytes from `at` on, or of what is there of them. */
async function checksumOf(handle: FileHandle, at: number, bytes: number): Promise<number> {
  const chunk = Buffer.allocUnsafe(Math.min(bytes, CHECKED_AT_ONCE_BYTES))
  let crc = 0
  for (let done = 0; done < bytes; ) {
    const wanted = Math.min(chunk.length, bytes - done)
    const { bytesRead } = await handle.read(chunk, 0, wanted, at + done)
    if (bytesRead === 0) break
    crc = crc32c(chunk, 0, bytesRead, crc)
    done += bytesRead
  }
  return crc
}

async function closeOnFailure<T>(handle: FileHandle, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    await handle.close().catch(() => {})
    throw error
  }
}

function gone(path: string): TraceletError {
  return new TraceletError(
    'ERR_REMOTE_RUN_GONE',
    `the event file ${path} was deleted; put it back, or deliver the run to another logDir, where it begins anew`,
  )
}
