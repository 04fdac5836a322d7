/**
 * The container of a `.wandb` file: LevelDB's log with another header and another checksum.
 *
 *   0        7         32768              65536
 *   | header | chunks… | chunks…          | …
 *
 *   header   ":W&B", BE E1 little-endian, version 0
 *   block    32,768 bytes, counted from the file's beginning; less than 7 bytes left in one are zeros
 *   chunk    CRC-32 (u32), payload's length (u16), type (u8): 1 full, 2 first, 3 middle, 4 last; the payload
 *
 * All little-endian. The checksum is that of zlib, over type and payload, and is not masked. A record is a chunk, or a
 * first, middles and a last; each is a protobuf message. A reader stops at a checksum that does not fit.
 */
import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'

export const LOG_HEADER = Uint8Array.of(0x3a, 0x57, 0x26, 0x42, 0xe1, 0xbe, 0x00)

const BLOCK_BYTES = 32_768
const CHUNK_HEADER_BYTES = 7
const TYPE = { full: 1, first: 2, middle: 3, last: 4 } as const
/** Blocks that are read at once. */
const READ_BYTES = 32 * BLOCK_BYTES

/**
 * Records as they stand in the file.
 * @param at where they begin there
 */
export function framed(records: readonly Uint8Array[], at: number): Buffer {
  const payloadBytes = records.reduce((sum, { length }) => sum + length, 0)
  const blocks = Math.ceil(payloadBytes / (BLOCK_BYTES - CHUNK_HEADER_BYTES)) + 1
  // each record and each border of blocks may cost a header and some zeros
  const out = Buffer.alloc(payloadBytes + (records.length + blocks) * 2 * CHUNK_HEADER_BYTES)
  let to = 0
  for (const record of records) {
    for (let from = 0, isBegun = false, isLast = false; !isLast; ) {
      const left = BLOCK_BYTES - ((at + to) % BLOCK_BYTES)
      if (left < CHUNK_HEADER_BYTES) {
        to += left
        continue
      }
      const length = Math.min(left - CHUNK_HEADER_BYTES, record.length - from)
      isLast = from + length === record.length
      const type = isBegun ? (isLast ? TYPE.last : TYPE.middle) : isLast ? TYPE.full : TYPE.first
      isBegun = true
      out.writeUInt16LE(length, to + 4)
      out[to + 6] = type
      out.set(record.subarray(from, from + length), to + CHUNK_HEADER_BYTES)
      const end = to + CHUNK_HEADER_BYTES + length
      out.writeUInt32LE(crc32(out.subarray(to + 6, end)), to)
      to = end
      from += length
    }
  }
  return out.subarray(0, to)
}

/** The undamaged beginning of a file. */
export interface WholeRecords {
  /** Where it ends; 0 where not even the header is there. */
  readonly bytes: number
  readonly count: number
}

/**
 * Reads as much of a file as can be read, up to `size`.
 * @param see is given each record; what it is given is valid until it returns
 */
export async function readWhole(
  handle: FileHandle,
  size: number,
  see: (record: Uint8Array) => void = () => {},
): Promise<WholeRecords> {
  const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(size, CHUNK_HEADER_BYTES)))
  let whole: WholeRecords = { bytes: 0, count: 0 }
  let parts: Buffer[] = []
  for (let start = 0; start < size; start += READ_BYTES) {
    const bytes = await readAt(handle, chunk, start, Math.min(READ_BYTES, size - start))
    let at = 0
    if (start === 0) {
      if (bytes < LOG_HEADER.length || Buffer.compare(chunk.subarray(0, LOG_HEADER.length), LOG_HEADER))
        return whole
      at = LOG_HEADER.length
      whole = { bytes: at, count: 0 }
    }
    while (at < bytes) {
      const left = BLOCK_BYTES - (at % BLOCK_BYTES)
      if (left < CHUNK_HEADER_BYTES) {
        at += left
        continue
      }
      if (at + CHUNK_HEADER_BYTES > bytes) return whole
      const length = chunk.readUInt16LE(at + 4)
      const type = chunk[at + 6]!
      const end = at + CHUNK_HEADER_BYTES + length
      const isFit = end <= bytes && length <= left - CHUNK_HEADER_BYTES && fits(type, parts.length)
      if (!isFit || chunk.readUInt32LE(at) !== crc32(chunk.subarray(at + 6, end))) return whole
      const payload = chunk.subarray(at + CHUNK_HEADER_BYTES, end)
      at = end
      if (type === TYPE.first || type === TYPE.middle) {
        parts.push(Buffer.from(payload))
        continue
      }
      see(parts.length === 0 ? payload : Buffer.concat([...parts, payload]))
      parts = []
      whole = { bytes: start + at, count: whole.count + 1 }
    }
  }
  return whole
}

/** Whether a chunk may stand behind so many of its record. */
function fits(type: number, before: number): boolean {
  return before === 0 ? type === TYPE.full || type === TYPE.first : type === TYPE.middle || type === TYPE.last
}

async function readAt(handle: FileHandle, out: Buffer, position: number, bytes: number): Promise<number> {
  let done = 0
  while (done < bytes) {
    const { bytesRead } = await handle.read(out, done, bytes - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}
