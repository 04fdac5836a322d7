/**
 * The `.wandb` file of a run, of which the first `bytes` are settled.
 *
 * - L1 Only whole records are settled, and settled bytes are never changed.
 * - L2 What follows them was not committed and comes again: it is cut off before anything is written.
 * - L3 An Exit may stand behind them: `wandb sync` takes nothing that comes after one. So it is not part of them, and a
 *   run that goes on begins by cutting it off.
 */
import type { FileHandle } from 'node:fs/promises'
import { gone, type LogPlace, logPath, type OpenedLog } from './directory.ts'
import { framed, readWhole } from './log-format.ts'

export interface SettledLog {
  readonly bytes: number
  /** What stands behind them: an Exit. */
  readonly exit?: Uint8Array | undefined
}

/** What a call has written, which `settle` makes part of the file. */
export interface Written {
  /** Settled bytes that the disk no longer had; the whole records before them are kept. */
  readonly lostBytes: number
  readonly bytes: number
  readonly exit: Uint8Array | undefined
}

export class LogFile {
  /** Name of its directory. */
  readonly name: string
  readonly path: string
  readonly #handle: FileHandle
  readonly #begin: Uint8Array
  #bytes: number
  #exit: Uint8Array | undefined

  /** @param begin what it begins with where nothing of it is left: header and first records */
  constructor(place: LogPlace, { name, handle }: OpenedLog, begin: Uint8Array, settled?: SettledLog) {
    this.name = name
    this.path = logPath(place, name)
    this.#handle = handle
    this.#begin = begin
    this.#bytes = settled?.bytes ?? 0
    this.#exit = settled?.exit
  }

  /** Settled length, without an Exit. */
  get bytes(): number {
    return this.#bytes
  }

  get hasExit(): boolean {
    return this.#exit !== undefined
  }

  /**
   * Makes the file exactly what is settled.
   * @returns how many settled bytes the disk no longer has; the whole records before them are kept
   * @throws TraceletError ERR_REMOTE_RUN_GONE when the file was deleted; errors of node:fs
   */
  async recover(): Promise<number> {
    const { size, nlink } = await this.#handle.stat()
    if (nlink === 0) throw gone(this.path)
    const before = this.#bytes
    const exit = this.#framedExit()
    const isWhole = size === before + exit.length && size > 0
    if (isWhole && (exit.length === 0 || (await this.#isThere(exit)))) return 0
    const kept = size >= before ? before : await this.#wholeBytes(size)
    await this.#handle.truncate(kept)
    this.#bytes = kept
    if (kept === 0) {
      await this.#put(this.#begin, 0)
      this.#bytes = this.#begin.length
    }
    await this.#put(this.#framedExit(), this.#bytes)
    return Math.max(0, before - this.#bytes)
  }

  /**
   * Writes records after the settled ones, in place of an Exit. Until `settle`, and when this rejects, the call may be
   * made again.
   * @param exit the last one
   * @throws as `recover`
   */
  async write(records: readonly Uint8Array[], exit?: Uint8Array): Promise<Written> {
    const lostBytes = await this.recover()
    if (this.#exit !== undefined) await this.#handle.truncate(this.#bytes)
    const bytes = framed(records, this.#bytes)
    await this.#put(bytes, this.#bytes)
    if (exit !== undefined) {
      const end = this.#bytes + bytes.length
      await this.#put(framed([exit], end), end)
    }
    return { lostBytes, bytes: bytes.length, exit }
  }

  settle({ bytes, exit }: Written): void {
    this.#bytes += bytes
    this.#exit = exit
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }

  /** Without the first record, which says what run it is, nobody reads the others. */
  async #wholeBytes(size: number): Promise<number> {
    const { count, bytes } = await readWhole(this.#handle, size)
    return count === 0 ? 0 : bytes
  }

  #framedExit(): Uint8Array {
    return this.#exit === undefined ? new Uint8Array(0) : framed([this.#exit], this.#bytes)
  }

  async #isThere(exit: Uint8Array): Promise<boolean> {
    const there = Buffer.alloc(exit.length)
    const { bytesRead } = await this.#handle.read(there, 0, there.length, this.#bytes)
    return bytesRead === there.length && Buffer.compare(there, exit) === 0
  }

  async #put(bytes: Uint8Array, from: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, from + done)
      done += bytesWritten
    }
  }
}
