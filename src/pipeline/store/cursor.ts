/**
 * How far one destination has settled one run: `cursors/<destination>-<8 digits of its address>.json` and,
 * beside it, the one before it as `….previous.json`. Written only by the holder of the `deliver-…` guard.
 *
 *   {"format":"tracelet-cursor","version":1,"crc":"xxxxxxxx","destination":…,"address":…,"cursor":{…}}⏎
 *
 *  C1  `crc` is the CRC-32 of all other bytes of the file, in lower case; it keeps its place in later versions.
 *      Any changed byte is noticed, and a newer version is told from damage.
 *  C2  A save renames the present file to the previous one, then the new one to the present: a process that is
 *      killed between leaves the previous one, which is the last that was saved.
 *  C3  A damaged file never takes the place of a sound previous one.
 *  C4  Forward only, within a process and across restarts.
 *
 * Not synced: after power loss the cursor may be an earlier one and its items are sent again, which every
 * destination must bear anyway. (ext4 writes the data of a file that a rename puts in another's place, which
 * is what happens to the previous one at each save.)
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type ErrorRecord, TraceletError } from '../../core/errors.ts'
import type { Cursor, DestinationName, SettledCounts, SinkState } from '../../core/types.ts'
import { FOLDER_MODE, folderName } from './folder.ts'
import { writeBeside } from './replace-file.ts'

export const MAX_STATE_BYTES = 64 * 1024
const VERSION = 1
const HEAD = /^\{"format":"tracelet-cursor","version":(\d{1,9}),"crc":"/
const CRC_DIGITS = 8
const COUNTS: readonly (keyof SettledCounts)[] = [
  'delivered',
  'superseded',
  'filtered',
  'rejected',
  'corrupt',
  'recordsDelivered',
  'recordsFiltered',
  'recordsRejected',
  'recordsCorrupt',
]

export class CursorStore {
  readonly #folder: string
  readonly #destination: DestinationName
  readonly #onDamage: (issue: ErrorRecord) => void
  #address: string | undefined
  #path = ''
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
    const present = this.#read(this.#path)
    const cursor = present instanceof Damage || present === undefined ? this.#loadPrevious(present) : present
    this.#presentIsSound = cursor !== undefined && cursor === present
    this.#seq = cursor?.seq ?? 0
    return cursor
  }

  /**
   * Replaces the cursor. `load` must have been called before.
   * @throws TraceletError ERR_LAW when it is behind the present one; ERR_SINK_BUG when the state is no JSON or
   * larger than 64 KiB; ERR_JOURNAL_WRITE when the disk refuses: the one before stays
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
    const content = encode(this.#destination, address, cursor)
    try {
      const beside = this.#writeBeside(content)
      if (this.#presentIsSound) renameSync(this.#path, previousPath(this.#path))
      // From here to the end of the next rename there is no present file, so none could become the previous.
      this.#presentIsSound = false
      renameSync(beside, this.#path)
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

  #writeBeside(content: Buffer): string {
    try {
      return writeBeside(this.#path, content, false)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      mkdirSync(dirname(this.#path), { recursive: true, mode: FOLDER_MODE })
      return writeBeside(this.#path, content, false)
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
      return code === 'ENOENT' ? undefined : new Damage(code ?? 'unreadable')
    }
    return decode(content, path, this.#destination, this.#address!)
  }
}

/** Where the cursor of a destination lies; the digits tell apart the addresses that one name has had. */
export function cursorPath(folder: string, destination: DestinationName, address: string): string {
  const digits = createHash('sha256').update(address).digest('hex').slice(0, 8)
  return join(folder, 'cursors', `${folderName(destination)}-${digits}.json`)
}

export function previousPath(path: string): string {
  return path.replace(/\.json$/, '.previous.json')
}

/** Why a file is not used. */
class Damage {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

function encode(destination: string, address: string, cursor: Cursor): Buffer {
  const { state, ...rest } = cursor
  const stateText = encodeState(destination, state)
  const head = `{"format":"tracelet-cursor","version":${VERSION},"crc":"`
  const cursorText = `${JSON.stringify(rest).slice(0, -1)}${stateText === undefined ? '' : `,"state":${stateText}`}}`
  const tail = `","destination":${JSON.stringify(destination)},"address":${JSON.stringify(address)},"cursor":${cursorText}}\n`
  return Buffer.from(`${head}${checksum(Buffer.from(head), Buffer.from(tail))}${tail}`)
}

function encodeState(destination: string, state: SinkState): string | undefined {
  let text: string | undefined
  try {
    text = JSON.stringify(state)
  } catch (cause) {
    throw new TraceletError('ERR_SINK_BUG', `the state of ${destination} is no JSON`, { cause })
  }
  const bytes = text === undefined ? 0 : Buffer.byteLength(text)
  if (bytes > MAX_STATE_BYTES) {
    throw new TraceletError(
      'ERR_SINK_BUG',
      `the state of ${destination} has ${bytes} bytes, ${MAX_STATE_BYTES} are allowed`,
    )
  }
  return text
}

function decode(content: Buffer, path: string, destination: string, address: string): Cursor | Damage {
  const head = HEAD.exec(content.toString('latin1', 0, 80))
  if (head === null) return new Damage('not a cursor')
  const start = head[0].length
  const end = start + CRC_DIGITS
  if (
    content.toString('latin1', start, end) !== checksum(content.subarray(0, start), content.subarray(end))
  ) {
    return new Damage('checksum')
  }
  const version = Number(head[1])
  if (version > VERSION) {
    throw new TraceletError(
      'ERR_JOURNAL_FORMAT',
      `${path} has version ${version}, this tracelet reads up to ${VERSION}: use a newer one`,
    )
  }
  // The checksum holds, so this is what was saved, if perhaps for another.
  const saved = JSON.parse(content.toString()) as { destination: string; address: string; cursor: Cursor }
  if (saved.destination !== destination || saved.address !== address)
    return new Damage('of another destination')
  const { seq, back, rows = [], settled } = saved.cursor
  const isSound =
    isPosition(seq) &&
    isPosition(back) &&
    rows.every(([first, last]) => isPosition(first) && isPosition(last)) &&
    COUNTS.every((name) => isPosition(settled[name]))
  return isSound ? saved.cursor : new Damage('content')
}

function checksum(head: Uint8Array, tail: Uint8Array): string {
  return crc32(tail, crc32(head)).toString(16).padStart(CRC_DIGITS, '0')
}

function isPosition(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
