/** One segment, read through a window that is moved over it; nothing it returns has been believed unchecked. */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  FRAME_HEADER_BYTES,
  FRAME_MAGIC_BYTES,
  type FrameHeader,
  frameBytes,
  readHeader,
  segmentName,
  segmentNumber,
} from './format.ts'

const MOST_BYTES_PER_READ: number = 1024 * 1024
/** While frames are skipped over by their headers. */
const HOP_BYTES = 4096
/** First read of payloads; doubled by each further one, so that a short look costs little. */
const FIRST_AHEAD_BYTES: number = 16 * 1024
/** A larger window is given back when there is nothing more to read: there may be many idle readers. */
const KEPT_WINDOW_BYTES: number = 64 * 1024

/** Numbers of the segments in a run's folder, ascending. */
export function listSegments(folder: string): number[] {
  const numbers: number[] = []
  for (const name of readdirSync(folder)) {
    const number = segmentNumber(name)
    if (number !== undefined) numbers.push(number)
  }
  return numbers.sort((a, b) => a - b)
}

/** What `work` makes of a segment's file; undefined when retention has removed it meanwhile. */
export function unlessRemoved<Result>(work: () => Result): Result | undefined {
  try {
    return work()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export class SegmentFile {
  readonly number: number
  readonly path: string
  /** When known, headers with another stamp are not of this journal. */
  stamp: number | undefined
  readonly #fd: number
  #bytes!: Uint8Array
  /** The same bytes: only a Buffer finds quickly. */
  #buffer!: Buffer
  #view!: DataView
  /** Bytes from #start to #end of the file are in the window. */
  #start = 0
  #end = 0
  #aheadBytes = FIRST_AHEAD_BYTES

  /** @param path of the file, where that has not the segment's own name */
  constructor(folder: string, number: number, path: string = join(folder, segmentName(number))) {
    this.number = number
    this.path = path
    this.#fd = openSync(path, 'r')
    this.#allocate(HOP_BYTES)
  }

  get sizeBytes(): number {
    return fstatSync(this.#fd).size
  }

  /** The intact header at `position`, or undefined. */
  header(position: number): FrameHeader | undefined {
    if (!this.#load(position, FRAME_HEADER_BYTES, HOP_BYTES)) return undefined
    return this.#headerAt(position)
  }

  /**
   * The payload of the frame at `position`, in the window: valid until the next call. 'short' when the file ends
   * before it does, 'damaged' when its CRC does not hold.
   */
  payload(position: number, header: FrameHeader): Uint8Array | 'short' | 'damaged' {
    const from = position + FRAME_HEADER_BYTES
    if (!this.#loadAhead(from, header.payloadBytes)) return 'short'
    const at = from - this.#start
    const payload = this.#bytes.subarray(at, at + header.payloadBytes)
    if (crc32(payload) !== header.payloadCrc) return 'damaged'
    // Numbers are read in place. Only where bytes were lost or came in between may a frame begin anywhere.
    return at % 8 === 0 ? payload : payload.slice()
  }

  /** Where the first intact header at or after `position` and wholly before `end` stands; -1 if none does. */
  search(position: number, end: number): number {
    let from = position
    while (from + FRAME_HEADER_BYTES <= end && this.#loadAhead(from, FRAME_HEADER_BYTES)) {
      const last = Math.min(this.#end, end) - FRAME_HEADER_BYTES
      const at = this.#buffer.indexOf(FRAME_MAGIC_BYTES, from - this.#start)
      from = at < 0 ? last + 1 : this.#start + at
      if (from > last) from = last + 1
      else if (this.#headerAt(from)) return from
      else from++
    }
    return -1
  }

  /** Drops the window: a file that is being written may have more by now. */
  forget(): void {
    this.#end = this.#start
    this.#aheadBytes = FIRST_AHEAD_BYTES
    if (this.#bytes.length > KEPT_WINDOW_BYTES) this.#allocate(FIRST_AHEAD_BYTES)
  }

  /** Copies bytes of the file, all of them, past the window. */
  copy(position: number, into: Uint8Array): boolean {
    return readFully(this.#fd, into, into.length, position) === into.length
  }

  close(): void {
    closeSync(this.#fd)
  }

  #headerAt(position: number): FrameHeader | undefined {
    const header = readHeader(this.#bytes, this.#view, position - this.#start)
    return header === undefined || (this.stamp !== undefined && header.stamp !== this.stamp)
      ? undefined
      : header
  }

  #loadAhead(position: number, length: number): boolean {
    if (position >= this.#start && position + length <= this.#end) return true
    const isLoaded = this.#load(position, length, this.#aheadBytes)
    this.#aheadBytes = Math.min(this.#aheadBytes * 2, MOST_BYTES_PER_READ)
    return isLoaded
  }

  /** Gets `length` bytes from `position` into the window, reading ahead to `ahead` bytes. */
  #load(position: number, length: number, ahead: number): boolean {
    if (position >= this.#start && position + length <= this.#end) return true
    const want = Math.max(ahead, (length + 7) & ~7)
    if (want > this.#bytes.length) this.#allocate(want)
    this.#start = position
    this.#end = position + readFully(this.#fd, this.#bytes, want, position)
    return position + length <= this.#end
  }

  #allocate(length: number): void {
    const buffer = new ArrayBuffer(length)
    this.#bytes = new Uint8Array(buffer)
    this.#buffer = Buffer.from(buffer)
    this.#view = new DataView(buffer)
  }
}

/** Reads until `length` bytes are there or the file ends, in calls of bounded size. Returns the bytes read. */
function readFully(fd: number, bytes: Uint8Array, length: number, position: number): number {
  let done = 0
  while (done < length) {
    const read = readSync(fd, bytes, done, Math.min(length - done, MOST_BYTES_PER_READ), position + done)
    if (read === 0) break
    done += read
  }
  return done
}

/** Position of the frame after the one at `position`. */
export function nextFrame(position: number, header: FrameHeader): number {
  return position + frameBytes(header.payloadBytes)
}
