/**
 * The files of one writer's journal: which one is appended to, where each ends, which bytes are safe. What stands in
 * them is the writer's.
 *
 *  K1  After a failed append the segment is cut back to what was committed and nothing more is appended to it (J5):
 *      a reader finds what was counted as journaled, also when no later segment says so.
 *  K2  A segment is begun together with the frames that needed it, or not at all: a disk that stays full is not
 *      filled with beginnings.
 *  K3  What a failed sync may have lost is written again into a new segment, with everything after it: a reader
 *      meets the numbers in their order. It has its name when it is whole. Until that has succeeded nothing is
 *      appended; but where one sync after the other fails it is put off for longer and longer, and the segment goes on:
 *      a file system that can sync nothing must not be filled with copies.
 *  K4  A file that somebody deletes is noticed by `isThere`; what its descriptor still holds is put back.
 */
import { closeSync, existsSync, ftruncateSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { monotonicNow } from '../../core/clock.ts'
import { sizeOf, writeStretches } from './append.ts'
import { KEPT_SEALS, segmentName } from './format.ts'
import { type FramesBetween, framesBetween } from './rewrite.ts'
import { listSegments } from './segment-file.ts'
import { createSegment, createWhole, removeUnfinished } from './segment-start.ts'
import type { JournalPlace } from './segments.ts'
import type { Stretch } from './staging.ts'
import type { JournalSyncId, WriterDescriptors, WriterSyncer } from './writer-options.ts'

const COPIED_AT_ONCE: number = 1024 * 1024
/** So many failed syncs in a row are each followed by a copy at once, further ones after this time, doubled by each. */
const PROMPT_COPIES = 3
const PUT_OFF_MS = 1000

export interface ChainOptions {
  readonly folder: string
  readonly segmentBytes: number
  readonly syncer?: WriterSyncer | undefined
  readonly descriptors?: WriterDescriptors | undefined
  /** Makes the folder again when it is missing; after that a segment is tried once more. */
  readonly onMissingFolder?: (() => void) | undefined
  readonly lastNumber: number
  readonly seals: ReadonlyMap<number, number>
  /** What a segment begins with. */
  readonly layStart: (number: number, seals: ReadonlyMap<number, number>, place: JournalPlace) => Uint8Array
  readonly idOf: (segment: number) => JournalSyncId
}

/** Frames staged in memory. */
export interface StagedBytes {
  readonly memory: Uint8Array
  readonly stretches: readonly Stretch[]
  readonly bytes: number
}

export class SegmentChain {
  readonly #options: ChainOptions
  readonly #seals: Map<number, number>
  #number: number
  #fd = -1
  #committedBytes = 0
  /** Of them: what the segment began with. */
  #startBytes = 0
  #syncedBytes = 0
  /** Nothing more is appended to the segment: the next commit begins a new one. */
  #isOver = false
  /** Earlier segments that are not known to be safe, with how much of them is. */
  readonly #unsynced = new Map<number, { syncedBytes: number; readonly bytes: number }>()
  /** The first segment whose sync has failed, while it has not been written again. */
  #unsafeFrom: number | undefined
  /** Failed syncs in a row. */
  #syncFailures = 0
  /** Monotonic ms before which it is not written again. */
  #writeAgainAt = 0
  /** Left behind by a disk that took a file and would not remove it. */
  #skipped = 0
  #totalBytes: number

  constructor(options: ChainOptions) {
    this.#options = options
    this.#number = options.lastNumber
    this.#seals = new Map(options.seals)
    removeUnfinished(options.folder)
    this.#totalBytes = bytesOf(options.folder)
  }

  get number(): number {
    return this.#number
  }
  get path(): string {
    return this.#pathOf(this.#number)
  }
  get fd(): number {
    return this.#options.descriptors?.acquire(this.path) ?? this.#fd
  }
  get committedBytes(): number {
    return this.#committedBytes
  }
  /** Of all segments. */
  get totalBytes(): number {
    return this.#totalBytes
  }
  /** Whether bytes wait to be written again that a sync could not make safe. */
  get isUnsafe(): boolean {
    return this.#unsafeFrom !== undefined
  }
  /** Whether an earlier segment is not known to be safe. */
  get hasUnsynced(): boolean {
    return this.#unsynced.size > 0
  }

  /** Whether the segment is where it was made. A disk that does not answer is taken to have it. */
  get isThere(): boolean {
    try {
      return statSync(this.path, { throwIfNoEntry: false }) !== undefined
    } catch {
      return true
    }
  }

  /** Whether another writer has begun the next segment. */
  get isTakenOver(): boolean {
    return existsSync(this.#pathOf(this.#nextNumber))
  }

  /** @param bytes given back by retention */
  removed(bytes: number): void {
    this.#totalBytes = Math.max(0, this.#totalBytes - bytes)
  }

  /**
   * Appends frames, in one write where they do not begin a segment.
   * @param place of the first of them
   * @throws Error of the system; nothing of them is read then
   */
  append(staged: StagedBytes, place: JournalPlace, now: number): void {
    const { syncer, idOf } = this.#options
    this.writeAgain(place)
    if (this.#isOver || this.#isFull) {
      const pieces = staged.stretches.map(({ from, to }) => staged.memory.subarray(from, to))
      this.begin(place, pieces)
      return
    }
    const { fd } = this
    try {
      writeStretches(fd, staged.memory, staged.stretches)
    } catch (error) {
      this.#cutBack(fd)
      throw error
    }
    this.#committedBytes += staged.bytes
    this.#totalBytes += staged.bytes
    syncer?.dirty(fd, idOf(this.#number), this.#committedBytes, now)
  }

  /** Begins the next segment ahead of the frames that need it, if the present one is full: it can be removed then. */
  turnOver(place: JournalPlace): void {
    if (this.#isFull && !this.#isOver) this.begin(place)
  }

  /** Put off, what is to be written again stays in one segment: seals reach only so far. */
  get #isFull(): boolean {
    return this.#committedBytes - this.#startBytes >= this.#options.segmentBytes && !this.isUnsafe
  }

  /** Seals the present segment and goes on in a new one. Changes nothing when it throws. */
  begin(place: JournalPlace, frames: Iterable<Uint8Array> = []): void {
    const seals = new Map(this.#seals)
    const before = this.#number
    const bytes = this.#committedBytes
    const syncedBytes = this.#syncedBytes
    if (this.#startBytes > 0) seals.set(before, bytes)
    this.#create(place, frames, seals)
    if (this.#options.syncer !== undefined && bytes > syncedBytes)
      this.#unsynced.set(before, { syncedBytes, bytes })
  }

  /** Takes in what the sync thread reported. @throws Error of the system: it is tried again by the next append */
  handleSync(segment: number, syncedBytes: number, isSafe: boolean, place: JournalPlace): void {
    const earlier = this.#unsynced.get(segment)
    if (segment !== this.#number && earlier === undefined) return
    if (!isSafe) {
      this.#unsafeFrom = Math.min(this.#unsafeFrom ?? segment, segment)
      const late = this.#syncFailures++ - PROMPT_COPIES
      this.#writeAgainAt = late < 0 ? 0 : monotonicNow() + PUT_OFF_MS * 2 ** late
      this.writeAgain(place)
    } else if (earlier === undefined) {
      this.#syncedBytes = Math.max(this.#syncedBytes, syncedBytes)
      this.#syncFailures = 0
    } else if (syncedBytes >= earlier.bytes) this.#unsynced.delete(segment)
    else earlier.syncedBytes = Math.max(earlier.syncedBytes, syncedBytes)
  }

  /**
   * After a failed sync the system may have dropped what it had not written and call the file clean: the segment is
   * sealed where it was last known to be safe, and everything since is written into a new one, when it is time.
   */
  writeAgain(place: JournalPlace): void {
    const from = this.#unsafeFrom
    if (from === undefined || monotonicNow() < this.#writeAgainAt) return
    const seals = new Map(this.#seals)
    const parts: FramesBetween[] = []
    for (let number = from; number <= this.#number; number++) {
      const known = number === this.#number ? undefined : this.#unsynced.get(number)
      // what came after the first unsafe one is moved as a whole, safe or not
      const safe = number > from ? 0 : (known?.syncedBytes ?? this.#syncedBytes)
      const end = number === this.#number ? this.#committedBytes : (seals.get(number) ?? 0)
      parts.push(framesBetween(this.#options.folder, number, safe, end))
      seals.set(number, safe)
    }
    const first = parts.find((part) => part.place !== undefined)
    this.#create(first?.place ?? place, joined(parts), seals, createWhole)
    for (let number = from; number < this.#number; number++) this.#unsynced.delete(number)
    this.#unsafeFrom = undefined
  }

  /** The segment's file is gone: what its descriptor still holds is put back, and a new segment begun. */
  restore(place: JournalPlace): void {
    const { descriptors, syncer, idOf } = this.#options
    // what is appended to a file without a name would be nowhere
    this.#isOver = true
    this.#unsynced.clear()
    this.#unsafeFrom = undefined
    this.#totalBytes = 0
    const held = descriptors?.held?.(this.path) ?? (this.#fd >= 0 ? this.#fd : undefined)
    if (held !== undefined) {
      const { fd, bytes } = createSegment(this.path, bytesIn(held, this.#committedBytes))
      this.#totalBytes = bytes
      if (syncer === undefined) closeSync(fd)
      else {
        syncer.dirty(fd, idOf(this.#number), bytes, monotonicNow())
        syncer.closeAfterSync(fd)
      }
    }
    this.begin(place)
  }

  release(): void {
    const { descriptors, syncer } = this.#options
    if (this.#startBytes === 0 || (!descriptors && this.#fd < 0)) return
    if (descriptors) descriptors.close(this.path)
    else if (syncer) syncer.closeAfterSync(this.#fd)
    else closeSync(this.#fd)
    this.#fd = -1
  }

  #create(
    place: JournalPlace,
    frames: Iterable<Uint8Array>,
    seals: Map<number, number>,
    createFile: typeof createSegment = createSegment,
  ): void {
    const { folder, descriptors, syncer, layStart, idOf, onMissingFolder } = this.#options
    const number = this.#nextNumber
    const kept = new Map([...seals].sort(([a], [b]) => b - a).slice(0, KEPT_SEALS))
    const start = layStart(number, kept, place)
    const make = () => createFile(this.#pathOf(number), after(start, frames), () => this.#skipped++)
    let made: { fd: number; bytes: number }
    try {
      made = make()
    } catch (error) {
      if (onMissingFolder === undefined || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      onMissingFolder()
      // no frame has been taken yet
      made = make()
    }
    // From here on the frames are there: whatever fails now must not make them uncounted.
    attempt(() => this.release())
    const isHeld = descriptors === undefined || this.#hold(number, made.fd)
    this.#seals.clear()
    for (const [sealed, bytes] of seals) this.#seals.set(sealed, bytes)
    this.#number = number
    this.#skipped = 0
    this.#fd = descriptors ? -1 : made.fd
    this.#committedBytes = made.bytes
    this.#totalBytes += made.bytes
    this.#startBytes = start.length
    this.#syncedBytes = 0
    this.#isOver = false
    syncer?.dirtyFolder(folder)
    if (isHeld) syncer?.dirty(this.fd, idOf(number), made.bytes, monotonicNow())
  }

  /** False where there is no descriptor for it now: the append that gets one names all its bytes to the syncer. */
  #hold(number: number, fd: number): boolean {
    const { descriptors } = this.#options
    const path = this.#pathOf(number)
    if (descriptors?.adopt !== undefined) {
      descriptors.adopt(path, fd)
      return true
    }
    closeSync(fd)
    return attempt(() => descriptors?.acquire(path))
  }

  #cutBack(fd: number): void {
    if (sizeOf(fd) === this.#committedBytes) return
    this.#isOver = true
    // A successor that has begun has also said where this segment ends.
    if (this.isTakenOver) return
    try {
      ftruncateSync(fd, this.#committedBytes)
    } catch {
      // The next segment seals it.
    }
  }

  get #nextNumber(): number {
    return this.#number + 1 + this.#skipped
  }
  #pathOf(number: number): string {
    return join(this.#options.folder, segmentName(number))
  }
}

function attempt(work: () => void): boolean {
  try {
    work()
    return true
  } catch {
    return false
  }
}

function* joined(parts: readonly FramesBetween[]): Generator<Uint8Array> {
  for (const { frames } of parts) yield* frames
}

function* after(start: Uint8Array, frames: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield start
  yield* frames
}

/** What stands in an open file, whatever has become of its name. */
function* bytesIn(fd: number, length: number): Generator<Uint8Array> {
  const part = Buffer.alloc(Math.min(length, COPIED_AT_ONCE))
  for (let at = 0; at < length; ) {
    const read = readSync(fd, part, 0, Math.min(part.length, length - at), at)
    if (read === 0) return
    yield part.subarray(0, read)
    at += read
  }
}

function bytesOf(folder: string): number {
  const sizes = listSegments(folder).map((number) => {
    const stats = statSync(join(folder, segmentName(number)), { throwIfNoEntry: false })
    return stats?.size ?? 0
  })
  return sizes.reduce((sum, size) => sum + size, 0)
}
