/**
 * The journal on disk, format version 1. This file is the format's description and owns its frame header;
 * payloads are FlatBuffers of `journal.fbs`.
 *
 *   <run folder>/journal-00000001.tlj, journal-00000002.tlj, …      segments, append-only, numbered from 1
 *
 *   segment   ┌─────────┬─────────┬────────┬────────┬────────┬────────┬─ ─ ─┬─────┐
 *             │ SEGMENT │ SEGMENT │ SERIES │ SERIES │ POINTS │ RECORD │     │ END │
 *             └─────────┴─(again)─┴────────┴─(again)┴────────┴────────┴─ ─ ─┴─────┘
 *   frame     header (72 B) · payload · zeros to a multiple of 8          all numbers little-endian
 *
 *   header     0  u32  magic 'TLJF'
 *              4  u32  CRC-32 of header bytes 8 … 71
 *              8  u16  type (FRAME)
 *             10  u16  version of the format
 *             12  u32  bytes of the payload, without the zeros
 *             16  u32  CRC-32 of the payload
 *             20  u32  stamp of the writing process
 *             24  u64  firstSeq: its first sequence number, or the next one where it uses none
 *             32  u64  pointsBefore: how many of the sequence numbers below firstSeq are points
 *             40  u64  position: every slot of `lane` below it that belongs to this run is in the journal
 *             48  u32  lane, or NO_LANE
 *             52  u32  count of sequence numbers it uses
 *             56  u32  nextRow: no row beyond it was named so far (serial, modulo 2^32)
 *             60  u32  nextSeries: every series below it is defined
 *             64  u32  session, from 1
 *             68  u32  0
 *
 * One writer appends (the drain thread of the process that holds the run's `writer` guard), any number of
 * readers read, also while it is written. Nothing but retention ever removes bytes.
 *
 * J1  Every point and every record has one sequence number, dense from 0 in the order of journaling; all other
 *     frames have none. POINTS: count points. RECORD and every type this version does not know: count records.
 * J2  A lost frame renumbers nothing: the next intact header tells by firstSeq and pointsBefore how many points
 *     and records are gone. END, written at a clean close, does so for the last frame.
 * J3  SEGMENT and SERIES frames, on which all later ones hang, are written twice in a row.
 * J4  A segment begins with SEGMENT and all series defined so far: it can be read without earlier ones. Later
 *     series are defined ahead of the first frame that uses them. Ids are dense and never reused.
 * J5  A commit is one append of whole frames. After a failed one nothing more is appended to that segment.
 * J6  A segment's bytes beyond the length that a later segment's `seals` gives for it are void: a torn end, or
 *     what a writer that was taken for dead appended late. A segment never grows within its seal. Frames that lie
 *     beyond it and end before the next segment's first number were pushed there by damage, and count.
 * J7  A new session (start, resume, restarted drain) begins a new segment. Every row of earlier sessions is
 *     complete then. Lane positions hold for one process: SEGMENT frames name it (`nonce`) and repeat them.
 * J8  Where a header or a payload does not hold, reading resumes at the next intact header of the same stamp,
 *     wherever it begins. At the end of a journal at rest such bytes are a torn end, not damage.
 * J9  A frame whose sequence numbers were met before is skipped: after a failed sync the frames since the last
 *     good one are written again, into a new segment.
 * J10 The first 24 bytes of a header keep their meaning in all versions. A SEGMENT of a newer version is refused.
 * J11 A file whose first frames both name another number than its name holds the segment of that number; one that names
 *     another run is passed over.
 */
import { crc32 } from 'node:zlib'

export const FORMAT_VERSION = 1
export const FRAME_MAGIC = 0x464a4c54
/** As it stands in a file, to be searched for. */
export const FRAME_MAGIC_BYTES: Uint8Array = new Uint8Array(Uint32Array.of(FRAME_MAGIC).buffer)
export const FRAME_HEADER_BYTES = 72
/** Bounds what a reader takes into memory for one frame; a block or record beyond it cannot be written. */
export const MAX_PAYLOAD_BYTES: number = 64 * 1024 * 1024
export const NO_LANE = 0xffff_ffff
/** Seals that each segment repeats: so many segments may be lost without one before them losing its end. */
export const KEPT_SEALS = 8

export const FRAME = { segment: 1, series: 2, points: 3, record: 4, end: 5 } as const

export interface FrameHeader {
  type: number
  version: number
  payloadBytes: number
  payloadCrc: number
  stamp: number
  firstSeq: number
  pointsBefore: number
  position: number
  lane: number
  count: number
  nextRow: number
  nextSeries: number
  session: number
}

/** Bytes from the header's first to the next frame's first. */
export function frameBytes(payloadBytes: number): number {
  return (FRAME_HEADER_BYTES + payloadBytes + 7) & ~7
}

/** Tells apart the frames of one writing process from whatever else a resynchronising reader may meet. */
export function stampOf(runId: string, nonce: string): number {
  return crc32(`${runId}\n${nonce}`)
}

export function isPoints(type: number): boolean {
  return type === FRAME.points
}

export function writeHeader(bytes: Uint8Array, view: DataView, at: number, header: FrameHeader): void {
  view.setUint32(at, FRAME_MAGIC, true)
  view.setUint16(at + 8, header.type, true)
  view.setUint16(at + 10, header.version, true)
  view.setUint32(at + 12, header.payloadBytes, true)
  view.setUint32(at + 16, header.payloadCrc, true)
  view.setUint32(at + 20, header.stamp, true)
  writeU64(view, at + 24, header.firstSeq)
  writeU64(view, at + 32, header.pointsBefore)
  writeU64(view, at + 40, header.position)
  view.setUint32(at + 48, header.lane, true)
  view.setUint32(at + 52, header.count, true)
  view.setUint32(at + 56, header.nextRow, true)
  view.setUint32(at + 60, header.nextSeries, true)
  view.setUint32(at + 64, header.session, true)
  view.setUint32(at + 68, 0, true)
  view.setUint32(at + 4, crc32(bytes.subarray(at + 8, at + FRAME_HEADER_BYTES)), true)
}

/** The header at `at`, which must have all its bytes there; undefined when it is not intact. */
export function readHeader(bytes: Uint8Array, view: DataView, at: number): FrameHeader | undefined {
  if (view.getUint32(at, true) !== FRAME_MAGIC) return undefined
  if (view.getUint32(at + 4, true) !== crc32(bytes.subarray(at + 8, at + FRAME_HEADER_BYTES)))
    return undefined
  const header: FrameHeader = {
    type: view.getUint16(at + 8, true),
    version: view.getUint16(at + 10, true),
    payloadBytes: view.getUint32(at + 12, true),
    payloadCrc: view.getUint32(at + 16, true),
    stamp: view.getUint32(at + 20, true),
    firstSeq: readU64(view, at + 24),
    pointsBefore: readU64(view, at + 32),
    position: readU64(view, at + 40),
    lane: view.getUint32(at + 48, true),
    count: view.getUint32(at + 52, true),
    nextRow: view.getUint32(at + 56, true),
    nextSeries: view.getUint32(at + 60, true),
    session: view.getUint32(at + 64, true),
  }
  return isPossible(header) ? header : undefined
}

/** Numbers that no writer can have put there must not send a reader round for hours. */
function isPossible({ payloadBytes, firstSeq, pointsBefore, count }: FrameHeader): boolean {
  if (payloadBytes > MAX_PAYLOAD_BYTES || pointsBefore > firstSeq) return false
  // a point takes 12 bytes at least, and whatever a later version has will take some
  return firstSeq + count <= Number.MAX_SAFE_INTEGER && count <= payloadBytes
}

/** Numbers up to 2^53 - 1 as u64, without BigInt. */
export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true)
  view.setUint32(at + 4, value / 2 ** 32, true)
}
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}

const SEGMENT_NAME = /^journal-(\d{8,15})\.tlj$/

export function segmentName(number: number): string {
  return `journal-${String(number).padStart(8, '0')}.tlj`
}
/** The segment's number, or undefined for the name of another file. */
export function segmentNumber(name: string): number | undefined {
  const digits = SEGMENT_NAME.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
