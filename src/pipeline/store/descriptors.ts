/**
 * Open descriptors of files that are appended to, so that a thousand runs do not take a thousand descriptors and
 * one that logs at every step does not open its file each time. The least recently used are closed first, clean
 * ones before dirty ones. Never more than `limit`, with those that are only open until they are synced: a process
 * may have no more than 1,024 for everything.
 */
import { constants, openSync } from 'node:fs'
import type { Syncer } from './syncer.ts'

export const DESCRIPTOR_LIMIT = 256
/** How many of the oldest are looked at for a clean one: with all dirty, more would find nothing either. */
const MAX_LOOKED_AT = 8

type Closer = Pick<
  Syncer,
  'attach' | 'closeAfterSync' | 'closing' | 'detach' | 'endDetached' | 'isClean' | 'syncNow' | 'unsyncedSince'
>

export class Descriptors {
  /** By path, least recently used first. */
  readonly #open = new Map<string, number>()
  readonly #syncer: Closer
  readonly #limit: number

  constructor(syncer: Closer, limit: number = DESCRIPTOR_LIMIT) {
    this.#syncer = syncer
    this.#limit = limit
  }

  /** Those that are open, also those that only wait for their sync. */
  get size(): number {
    return this.#open.size + this.#syncer.closing
  }

  /**
   * A descriptor that appends to `path`. Good until the next call of `acquire`.
   * @throws Error of the system, such as when the file is missing: one made anew would lack its beginning
   */
  acquire(path: string): number {
    let fd = this.#open.get(path)
    if (fd === undefined) {
      this.#makeRoom()
      fd = this.#openFile(path)
      this.#syncer.attach(fd, path)
    } else {
      this.#open.delete(path)
    }
    this.#open.set(path, fd)
    return fd
  }

  /** Takes over the descriptor of a file that was just made, which appends to `path`. */
  adopt(path: string, fd: number): void {
    this.#makeRoom()
    this.#open.set(path, fd)
  }

  /** The descriptor of `path` if it is open just now. */
  held(path: string): number | undefined {
    return this.#open.get(path)
  }

  /** No more is appended to `path`: its descriptor is closed when it is synced. */
  close(path: string): void {
    const fd = this.#open.get(path)
    if (fd === undefined) return this.#syncer.endDetached(path)
    this.#open.delete(path)
    // a thousand runs that end at once must not wait for their syncs with a descriptor each
    const isCrowded = this.#open.size + this.#syncer.closing >= this.#limit - 1
    if (isCrowded && !this.#syncer.isClean(fd) && this.#syncer.detach(fd, path))
      this.#syncer.endDetached(path)
    else this.#syncer.closeAfterSync(fd)
  }

  closeAll(): void {
    for (const path of [...this.#open.keys()]) this.close(path)
  }

  /** Monotonic ms of the oldest append to `path` that is not safe from power loss; 0 when all is. Opens nothing. */
  unsyncedSince(path: string): number {
    return this.#syncer.unsyncedSince(this.#open.get(path) ?? path)
  }

  /** What was appended to `path` is made safe at once. */
  syncNow(path: string): void {
    this.#syncer.syncNow(this.#open.get(path) ?? path)
  }

  /** Where the process has no descriptor left, one of ours that is clean makes room. */
  #openFile(path: string): number {
    const flags = constants.O_RDWR | constants.O_APPEND
    try {
      return openSync(path, flags)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EMFILE') throw error
      const clean = [...this.#open].find(([, fd]) => this.#syncer.isClean(fd))
      if (clean === undefined) throw error
      this.close(clean[0])
      return openSync(path, flags)
    }
  }

  #makeRoom(): void {
    if (this.size < this.#limit) return
    let lookedAt = 0
    for (const [path, fd] of this.#open) {
      if (++lookedAt > MAX_LOOKED_AT) break
      if (!this.#syncer.isClean(fd)) continue
      this.close(path)
      return
    }
    for (const [path, fd] of this.#open) {
      if (!this.#syncer.detach(fd, path)) continue
      this.#open.delete(path)
      return
    }
  }
}
