/**
 * How far one destination has settled one run: `cursors/<destination>-<8 digits of its address>.json` and,
 * beside it, the one before it as `….previous.json`. Written only by the holder of the `deliver-…` guard.
 *
 *  C1  Any changed byte of a file is noticed, and a newer version is told from damage (cursor-format.ts).
 *  C2  A save writes `….tmp`, renames the present file to the previous one and `….tmp` to the present: a process
 *      that is killed between leaves the previous one, which is the last that was saved.
 *  C3  A damaged file never takes the place of a sound previous one.
 *  C4  Forward only, within a process and across restarts.
 *  C5  A cursor of another run, whose folder's files were copied here, counts as damaged: it would skip what this
 *      run has not sent.
 *
 * The previous file of before is what `….tmp` is written over: some 20 µs a save, where a new file each time costs
 * 150 on ext4, which writes out a file that a rename puts in another's place.
 * Not synced: after power loss an older cursor may be found and its items are sent again, which every destination
 * must bear anyway.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { type ErrorRecord, TraceletError } from '../../core/errors.ts'
import type { Cursor, DestinationName } from '../../core/types.ts'
import { Damage, decodeCursor, encodeCursor, isPosition, type SavedCursor } from './cursor-format.ts'
import { FILE_MODE, FOLDER_MODE, folderName } from './folder.ts'
import { readRunFile } from './run-file.ts'

const CURSORS = 'cursors'

export class CursorStore {
  readonly #folder: string
  readonly #destination: DestinationName
  readonly #onDamage: (issue: ErrorRecord) => void
  #address: string | undefined
  #path = ''
  #run: string | undefined
  /** The one last loaded or saved: what the next must not be behind. */
  #seq = 0
  /** Whether the present file may become the previous one (C3). */
  #presentIsSound = false

  /** @param onDamage told by `load` when a copy was damaged (ERR_CURSOR_DAMAGED), with what is used instead */
  constructor(folder: string, destination: DestinationName, onDamage: (issue: ErrorRecord) => void) {
    this.#folder = folder
    this.#destination = destination
    this.#onDamage = onDamage
  }

  /**
   * The cursor last saved for this address, undefined when there is none: start at 0. Only reads.
   * @throws TraceletError ERR_JOURNAL_FORMAT when it was written by a newer version
   */
  load(address: string): Cursor | undefined {
    this.#address = address
    this.#path = cursorPath(this.#folder, this.#destination, address)
    this.#run = nonceOf(this.#folder)
    const present = this.#read(this.#path)
    const cursor = present instanceof Damage || present === undefined ? this.#loadPrevious(present) : present
    this.#presentIsSound = cursor !== undefined && cursor === present
    this.#seq = cursor?.seq ?? 0
    return cursor
  }

  /**
   * Replaces the cursor. `load` must have been called before.
   * @throws TraceletError ERR_LAW when it is behind the present one; ERR_SINK_BUG when the state is no JSON or
   * larger than 64 KiB; ERR_JOURNAL_WRITE when the disk refuses: the one before counts
   */
  save(cursor: Cursor): void {
    const address = this.#address
    if (address === undefined) throw new TraceletError('ERR_LAW', 'a cursor was saved before it was loaded')
    if (!isPosition(cursor.seq) || !isPosition(cursor.back) || cursor.back > cursor.seq) {
      throw new TraceletError('ERR_LAW', `no cursor: seq ${cursor.seq}, back ${cursor.back}`)
    }
    if (cursor.seq < this.#seq) {
      throw new TraceletError(
        'ERR_LAW',
        `cursor of ${this.#destination} would go back from ${this.#seq} to ${cursor.seq}`,
      )
    }
    const content = encodeCursor(this.#destination, address, cursor, this.#run)
    try {
      this.#replace(content)
    } catch (cause) {
      throw new TraceletError(
        'ERR_JOURNAL_WRITE',
        `cannot write ${this.#path}: ${(cause as Error).message}`,
        { cause },
      )
    }
    this.#presentIsSound = true
    this.#seq = cursor.seq
  }

  #replace(content: Buffer): void {
    const beside = `${this.#path}.tmp`
    const previous = previousPath(this.#path)
    const rotates = this.#presentIsSound
    if (rotates) renameIfThere(previous, beside)
    this.#writeOver(beside, content)
    // Until the last rename there may be no present file, so none that could become the previous one.
    this.#presentIsSound = false
    if (rotates) renameIfThere(this.#path, previous)
    renameSync(beside, this.#path)
  }

  #writeOver(path: string, content: Buffer): void {
    const flags = constants.O_RDWR | constants.O_CREAT
    let fd: number
    try {
      fd = openSync(path, flags, FILE_MODE)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
      fd = openSync(path, flags, FILE_MODE)
    }
    try {
      const written = writeSync(fd, content, 0, content.length, 0)
      if (written < content.length) throw new Error(`only ${written} of ${content.length} bytes were taken`)
      ftruncateSync(fd, content.length)
    } finally {
      closeSync(fd)
    }
  }

  #loadPrevious(present: Damage | undefined): Cursor | undefined {
    const previous = this.#read(previousPath(this.#path))
    if (present === undefined && previous === undefined) return undefined
    if (previous instanceof Damage || previous === undefined) {
      const reason = (present ?? previous)!.reason
      this.#report(
        `${this.#path} is damaged (${reason}) and so is the copy before it, or there is none: starting at 0`,
      )
      return undefined
    }
    if (present !== undefined) {
      this.#report(
        `${this.#path} is damaged (${present.reason}): going on from the copy before it, at ${previous.seq}`,
      )
    }
    return previous
  }

  #report(message: string): void {
    this.#onDamage({ code: 'ERR_CURSOR_DAMAGED', message })
  }

  #read(path: string): Cursor | Damage | undefined {
    let content: Buffer
    try {
      content = readFileSync(path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return undefined
      if (code === 'EIO') return new Damage('the disk cannot read it')
      throw error
    }
    const saved = decodeCursor(content, path)
    if (saved instanceof Damage) return saved
    const isOurs = saved.destination === this.#destination && saved.address === this.#address
    if (!isOurs) return new Damage('of another destination')
    return isOfRun(saved, this.#run) ? saved.cursor : new Damage('of another run')
  }
}

/** What the uploads of a destination are called where they keep a cursor and a guard of their own. */
export function uploadsName(destination: DestinationName): string {
  return `${destination}.uploads`
}

/** Where the cursor of a destination lies; the digits tell apart the addresses that one name has had. */
export function cursorPath(folder: string, destination: DestinationName, address: string): string {
  const digits = createHash('sha256').update(address).digest('hex').slice(0, 8)
  return join(folder, CURSORS, `${folderName(destination)}-${digits}.json`)
}

/**
 * How far the destination that is ahead of all others has settled the run, and how many of those below were points.
 * After a power cut the journal may end before it: numbers below must not be used again, or what gets them would
 * count as settled. Damaged cursors are passed over: their destinations start again.
 */
export function settledFloor(folder: string): { readonly seq: number; readonly points: number } {
  let floor = { seq: 0, points: 0 }
  const paths = cursorFiles(folder)
  if (paths.length === 0) return floor
  const run = nonceOf(folder)
  for (const path of paths) {
    const saved = readSavedCursor(path, run)
    if (saved === undefined || saved.cursor.seq <= floor.seq) continue
    const { delivered, filtered, rejected, corrupt } = saved.cursor.settled
    // uploads settle no points, but know how many they have passed
    const { points = delivered + filtered + rejected + corrupt } = saved.cursor
    floor = { seq: saved.cursor.seq, points }
  }
  return floor
}

/** What tells the run from all others, wherever its folder lies; undefined where nothing says so any more. */
function nonceOf(folder: string): string | undefined {
  try {
    return readRunFile(folder).run.nonce
  } catch {
    return undefined
  }
}

function isOfRun(saved: SavedCursor, run: string | undefined): boolean {
  return saved.run === undefined || run === undefined || saved.run === run
}

/**
 * Undefined where it is damaged or of another run (C5), and while its owner is just replacing it.
 * @param run its nonce; undefined: any
 * @throws TraceletError ERR_JOURNAL_FORMAT when a newer version wrote it
 */
export function readSavedCursor(path: string, run: string | undefined): SavedCursor | undefined {
  let content: Buffer
  try {
    content = readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const saved = decodeCursor(content, path)
  return saved instanceof Damage || !isOfRun(saved, run) ? undefined : saved
}

/** Paths of all cursors of a run, and of the copies before them. */
export function cursorFiles(folder: string): string[] {
  const cursors = join(folder, CURSORS)
  try {
    return readdirSync(cursors)
      .filter((name) => name.endsWith('.json'))
      .map((name) => join(cursors, name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

export function previousPath(path: string): string {
  return path.replace(/\.json$/, '.previous.json')
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
