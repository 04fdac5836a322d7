/**
 * Open descriptors of files that are appended to, so that a thousand runs do not take a thousand descriptors and
 * one that logs at every step does not open its file each time. The least recently used are closed first.
 *
 * A dirty one is not closed but made due for its sync, and goes when it is clean: until then there may be more
 * than `limit`, at most one a file.
 */
import { openSync } from 'node:fs'
import { FILE_MODE } from './folder.ts'
import type { Syncer } from './syncer.ts'

export const DESCRIPTOR_LIMIT = 256
/** How many of the oldest are looked at in one call: with all dirty, more would find nothing either. */
const MAX_LOOKED_AT = 8

export class Descriptors {
  /** By path, least recently used first. */
  readonly #open = new Map<string, number>()
  readonly #syncer: Pick<Syncer, 'isClean' | 'syncNow' | 'closeAfterSync'>
  readonly #limit: number

  constructor(
    syncer: Pick<Syncer, 'isClean' | 'syncNow' | 'closeAfterSync'>,
    limit: number = DESCRIPTOR_LIMIT,
  ) {
    this.#syncer = syncer
    this.#limit = limit
  }

  get size(): number {
    return this.#open.size
  }

  /** A descriptor that appends to `path`, which is made if it is missing. Good until the next call of `acquire`. */
  acquire(path: string): number {
    let fd = this.#open.get(path)
    if (fd === undefined) {
      this.#makeRoom()
      fd = openSync(path, 'a+', FILE_MODE)
    } else {
      this.#open.delete(path)
    }
    this.#open.set(path, fd)
    return fd
  }

  /** No more is appended to `path`: its descriptor is closed when it is synced. */
  close(path: string): void {
    const fd = this.#open.get(path)
    if (fd === undefined) return
    this.#open.delete(path)
    this.#syncer.closeAfterSync(fd)
  }

  closeAll(): void {
    for (const path of [...this.#open.keys()]) this.close(path)
  }

  #makeRoom(): void {
    let lookedAt = 0
    for (const [path, fd] of this.#open) {
      if (this.#open.size < this.#limit || ++lookedAt > MAX_LOOKED_AT) return
      if (this.#syncer.isClean(fd)) this.close(path)
      else this.#syncer.syncNow(fd)
    }
  }
}
