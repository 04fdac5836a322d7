/**
 * Points → the bytes of an event file. Pure: the same points give the same bytes.
 *
 * An event file is records, nothing between them:
 *
 *     u64 length · u32 masked CRC-32C of those 8 bytes · payload · u32 masked CRC-32C of the payload
 *
 * all little-endian. The payload is a protobuf message, here with the only fields we write, in their order:
 *
 *     Event          1 double wall_time (s)   2 int64 step (absent: 0)   3 string file_version
 *                    5 Summary summary        10 SourceMetadata source_metadata
 *     Summary        1 Value value, repeated
 *     Value          1 string tag   2 float simple_value   4 Image image   5 HistogramProto histo
 *                    8 TensorProto tensor   9 SummaryMetadata metadata
 *
 * Consecutive points of one step and time share an event: half the bytes, a third of the checksums, and every
 * reader takes it. A value is `simple_value`, a float32, because that is what every reader of event files calls a
 * scalar; a tensor of doubles is shown by TensorBoard itself but missing from `EventAccumulator.Scalars`.
 */
import type { Batch, SeriesId } from '../../core/types.ts'
import {
  doubleField,
  MAX_VARINT_BYTES,
  messageField,
  putVarint,
  stringField,
  varintBytes,
  varintField,
} from '../protobuf.ts'
import { mask, maskedCrc32c } from './crc32c.ts'
import { nested, type Piece } from './pieces.ts'
import { maxTagBytes, TagBook } from './tag.ts'

/** Length, its checksum and the payload's checksum. */
export const RECORD_HEADER_BYTES = 12
export const RECORD_FOOTER_BYTES = 4

const KEY_WALL_TIME = 0x09
const KEY_STEP = 0x10
const KEY_SUMMARY = 0x2a
const KEY_VALUE = 0x0a
const KEY_TAG = 0x0a
const KEY_SIMPLE_VALUE = 0x15
const FLOAT_BYTES = 4
const FLOAT32_MAX = 3.4028234663852886e38

/** What an event takes beside its values: record, wall time, step, summary's key and length. */
const MAX_EVENT_BYTES = RECORD_HEADER_BYTES + RECORD_FOOTER_BYTES + 9 + 1 + MAX_VARINT_BYTES + 1 + 5
/** What a value takes beside its tag: key and length, tag's key and length, key of the float, the float. */
const MAX_VALUE_BYTES = 6 + 6 + 1 + FLOAT_BYTES

/** Upper bound of one point's bytes when it has an event to itself. */
export function maxPointBytes(nameBytes: number): number {
  return MAX_EVENT_BYTES + MAX_VALUE_BYTES + maxTagBytes(nameBytes)
}

/** What stands before a series' float, as little-endian words; the last may be longer than the bytes. */
interface Prefix {
  readonly words: Int32Array
  readonly bytes: number
}

/** Writes one run's points; keeps of each series the bytes that stand before its float. */
export class ScalarEncoder {
  readonly #prefixes: (Prefix | undefined)[] = []
  readonly #tags: TagBook
  #overflowed = false

  constructor(tags = new TagBook()) {
    this.#tags = tags
  }

  /** Whether a finite value beyond float32's range has become an infinity. */
  get overflowed(): boolean {
    return this.#overflowed
  }

  /** Room that `encode` needs at most. */
  bound(batch: Batch): number {
    const { series, length } = batch
    let bytes = length * (MAX_EVENT_BYTES + FLOAT_BYTES)
    for (let index = 0; index < length; index++) bytes += this.#prefix(series[index]!, batch).bytes
    return bytes
  }

  /** Lays the batch at the start of `out`, which has `bound(batch)` bytes; returns how many it took. */
  encode(batch: Batch, out: Buffer): number {
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength)
    const { length, series, step, time, value } = batch
    let at = 0
    for (let index = 0; index < length; ) {
      const eventStep = step[index]!
      const eventTime = time[index]!
      let end = index
      let summaryBytes = 0
      do {
        summaryBytes += this.#prefix(series[end]!, batch).bytes + FLOAT_BYTES
        end++
      } while (end < length && step[end] === eventStep && time[end] === eventTime)

      const payload = at + RECORD_HEADER_BYTES
      let to = payload
      out[to] = KEY_WALL_TIME
      view.setFloat64(to + 1, eventTime / 1000, true)
      to += 9
      if (eventStep !== 0) {
        out[to++] = KEY_STEP
        to = putVarint(out, to, eventStep)
      }
      out[to++] = KEY_SUMMARY
      to = putVarint(out, to, summaryBytes)
      for (; index < end; index++) {
        const prefix = this.#prefixes[series[index]!]!
        const { words } = prefix
        // Four bytes at a time; what goes beyond the prefix is overwritten by what follows it.
        for (let word = 0; word < words.length; word++) view.setInt32(to + word * 4, words[word]!, true)
        to += prefix.bytes
        const point = value[index]!
        if ((point > FLOAT32_MAX || point < -FLOAT32_MAX) && Number.isFinite(point)) this.#noteOverflow(point)
        view.setFloat32(to, point, true)
        to += FLOAT_BYTES
      }
      at = closeRecord(out, view, at, to)
    }
    return at
  }

  #prefix(id: SeriesId, batch: Batch): Prefix {
    return this.#prefixes[id] ?? this.#layPrefix(id, batch)
  }

  #layPrefix(id: SeriesId, batch: Batch): Prefix {
    const { name, context } = batch.describe(id)
    const tag = Buffer.from(this.#tags.tag('scalars', name, context))
    const valueBytes = 1 + varintBytes(tag.length) + tag.length + 1 + FLOAT_BYTES
    const prefixBytes = 1 + varintBytes(valueBytes) + valueBytes - FLOAT_BYTES
    const prefix = Buffer.alloc(Math.ceil(prefixBytes / 4) * 4)
    prefix[0] = KEY_VALUE
    let at = putVarint(prefix, 1, valueBytes)
    prefix[at++] = KEY_TAG
    at = putVarint(prefix, at, tag.length)
    prefix.set(tag, at)
    prefix[at + tag.length] = KEY_SIMPLE_VALUE
    // Ids are dense; filling the gap keeps the array free of holes, which are slow to read.
    while (this.#prefixes.length < id) this.#prefixes.push(undefined)
    const words = Int32Array.from({ length: prefix.length / 4 }, (_, word) => prefix.readInt32LE(word * 4))
    return (this.#prefixes[id] = { words, bytes: prefixBytes })
  }

  #noteOverflow(value: number): void {
    if (!Number.isFinite(Math.fround(value))) this.#overflowed = true
  }
}

/** The record every event file begins with. `writer` says who wrote it. */
export function fileVersionRecord(wallSeconds: number, writer: string): Buffer {
  return recordOf([
    doubleField(1, wallSeconds),
    stringField(3, 'brain.Event:2'),
    messageField(10, stringField(1, writer)),
  ])
}

/** The payload of an event that holds these Summary.Value messages. */
export function summaryEvent(
  wallSeconds: number,
  step: number,
  values: readonly (readonly Piece[])[],
): Piece[] {
  const stepBytes = Buffer.alloc(1 + MAX_VARINT_BYTES)
  stepBytes[0] = KEY_STEP
  return [
    doubleField(1, wallSeconds),
    step === 0 ? stepBytes.subarray(0, 0) : stepBytes.subarray(0, putVarint(stepBytes, 1, step)),
    ...nested(
      5,
      values.flatMap((value) => nested(1, value)),
    ),
  ]
}

/** The payload of an event that says that the run begins again at this step. */
export function sessionStartEvent(wallSeconds: number, step: number): Uint8Array[] {
  const STATUS_START = 1
  return [doubleField(1, wallSeconds), varintField(2, step), messageField(7, varintField(1, STATUS_START))]
}

/** The record of a payload. */
export function recordOf(payload: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat([
    Buffer.alloc(RECORD_HEADER_BYTES),
    ...payload,
    Buffer.alloc(RECORD_FOOTER_BYTES),
  ])
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  closeRecord(bytes, view, 0, bytes.length - RECORD_FOOTER_BYTES)
  return bytes
}

/** What stands before a payload of so many bytes. */
export function recordHeader(payloadBytes: number): Buffer {
  const header = Buffer.alloc(RECORD_HEADER_BYTES)
  header.writeUInt32LE(payloadBytes % 2 ** 32, 0)
  header.writeUInt32LE(Math.floor(payloadBytes / 2 ** 32), 4)
  header.writeUInt32LE(maskedCrc32c(header, 0, 8), 8)
  return header
}

/** What stands after a payload with this checksum. */
export function recordFooter(payloadCrc: number): Buffer {
  const footer = Buffer.alloc(RECORD_FOOTER_BYTES)
  footer.writeUInt32LE(mask(payloadCrc))
  return footer
}

/** Fills in what stands around the payload of a record that begins at `start`; returns where the next begins. */
function closeRecord(out: Uint8Array, view: DataView, start: number, payloadEnd: number): number {
  const payload = start + RECORD_HEADER_BYTES
  view.setUint32(start, payloadEnd - payload, true)
  view.setUint32(start + 4, 0, true)
  view.setUint32(start + 8, lengthChecksum(out, start, payloadEnd - payload), true)
  view.setUint32(payloadEnd, maskedCrc32c(out, payload, payloadEnd), true)
  return payloadEnd + RECORD_FOOTER_BYTES
}

/** Checksums of the lengths that occur again and again; 0 for those not met so far. */
const lengthChecksums = new Uint32Array(1024)

/** Masked checksum of the eight bytes at `start`, which hold `length`. */
function lengthChecksum(out: Uint8Array, start: number, length: number): number {
  if (length >= lengthChecksums.length) return maskedCrc32c(out, start, start + 8)
  return (lengthChecksums[length] ||= maskedCrc32c(out, start, start + 8))
}
