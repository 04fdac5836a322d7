/**
 * Payload of a POINTS frame: the table `Points` of journal.fbs, laid by copying columns (a builder call per field
 * would cost 28 ns a point). What we write always has this shape; what we read may have any that is valid.
 *
 *     0 root    6 vtable    24 table    76 length, fragments    length, values    length, series    length, closed
 */
import type { PointColumns } from '../../core/types.ts'
import type { StagedPoints } from '../coalesce.ts'
import { isIntact, type Shape } from './check.ts'
import { readU64 } from './format.ts'

const TABLE = 24
const FIELD = {
  fragments: 28,
  series: 32,
  values: 36,
  closed: 40,
  coalesced: 48,
  lost: 56,
  lostRecords: 64,
} as const
const FRAGMENTS = 76
const FRAGMENT_BYTES = 24
/** Root, vtable and the table's offset to it; everything that never differs. */
const PREFIX: Uint8Array = makePrefix()

const SHAPE: Shape = [
  { vectorOf: FRAGMENT_BYTES, align: 8 },
  { vectorOf: 4, align: 4 },
  { vectorOf: 8, align: 8 },
  { vectorOf: 4, align: 4 },
  8,
  8,
  8,
]

/** What the disk did not take, and what was merged, since the frame before. */
export interface PointCounts {
  readonly coalesced: number
  readonly lost: number
  readonly lostRecords: number
}

/** Memory that frames are laid in: one buffer seen in four ways. */
export interface Memory {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly u32: Uint32Array
  readonly f64: Float64Array
}

export function pointsBytes(block: StagedPoints): number {
  return 96 + block.fragments.length * FRAGMENT_BYTES + block.length * 12 + block.closedLength * 4
}

/** Lays a payload of `pointsBytes(block)` at `at`, a multiple of 8. */
export function layPoints(memory: Memory, at: number, block: StagedPoints, counts: PointCounts): void {
  const { bytes, view, u32, f64 } = memory
  const { fragments, length, closedLength } = block
  const values = FRAGMENTS + 8 + fragments.length * FRAGMENT_BYTES
  const series = values + 4 + length * 8
  const closed = series + 4 + length * 4
  bytes.set(PREFIX, at)
  const word = at >> 2
  u32[word + (FIELD.fragments >> 2)] = FRAGMENTS - FIELD.fragments
  u32[word + (FIELD.series >> 2)] = series - FIELD.series
  u32[word + (FIELD.values >> 2)] = values - FIELD.values
  u32[word + (FIELD.closed >> 2)] = closed - FIELD.closed
  view.setBigUint64(at + FIELD.coalesced, BigInt(counts.coalesced), true)
  view.setBigUint64(at + FIELD.lost, BigInt(counts.lost), true)
  view.setBigUint64(at + FIELD.lostRecords, BigInt(counts.lostRecords), true)
  u32[word + (FRAGMENTS >> 2)] = fragments.length
  let double = (at + FRAGMENTS + 4) >> 3
  for (let i = 0; i < fragments.length; i++) {
    f64[double] = fragments.step[i]!
    f64[double + 1] = fragments.time[i]!
    u32[double * 2 + 4] = fragments.row[i]!
    u32[double * 2 + 5] = fragments.count[i]!
    double += 3
  }
  u32[double * 2] = 0
  u32[(at + values) >> 2] = length
  f64.set(
    block.value.length === length ? block.value : block.value.subarray(0, length),
    (at + values + 4) >> 3,
  )
  u32[(at + series) >> 2] = length
  u32.set(
    block.series.length === length ? block.series : block.series.subarray(0, length),
    (at + series + 4) >> 2,
  )
  u32[(at + closed) >> 2] = closedLength
  if (closedLength > 0) u32.set(block.closed.subarray(0, closedLength), (at + closed + 4) >> 2)
}

export interface ReadPoints extends PointCounts {
  readonly points: PointColumns
  readonly row: Uint32Array
  readonly closed: Uint32Array
  /** Highest series among the points, -1 for none. */
  readonly highestSeries: number
}

/**
 * The points from index `skip` on, in memory of their own; undefined when the payload is not a `Points` of
 * `count` points whose series are all below `seriesEnd`. The payload must begin at a multiple of 8.
 */
export function readPoints(
  payload: Uint8Array,
  count: number,
  skip: number,
  seriesEnd: number,
): ReadPoints | undefined {
  if (!isIntact(payload, SHAPE)) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const fragments = vector(view, 0)
  const series = vector(view, 1)
  const values = vector(view, 2)
  const closed = vector(view, 3)
  if (series.length !== count || values.length !== count) return undefined
  const length = count - skip
  const memory = new ArrayBuffer(length * 32)
  const columns = {
    length,
    step: new Float64Array(memory, 0, length),
    time: new Float64Array(memory, length * 8, length),
    value: new Float64Array(memory, length * 16, length),
    series: new Uint32Array(memory, length * 24, length),
  }
  const row = new Uint32Array(memory, length * 28, length)
  if (length > 0) {
    columns.value.set(new Float64Array(payload.buffer, payload.byteOffset + values.at + skip * 8, length))
    columns.series.set(new Uint32Array(payload.buffer, payload.byteOffset + series.at + skip * 4, length))
  }
  if (!expand(view, fragments, columns, row, count, skip)) return undefined
  let highest = -1
  for (let i = 0; i < length; i++) if (columns.series[i]! > highest) highest = columns.series[i]!
  if (highest >= seriesEnd) return undefined
  return {
    points: columns,
    row,
    closed: new Uint32Array(payload.buffer, payload.byteOffset + closed.at, closed.length).slice(),
    highestSeries: highest,
    coalesced: counter(view, 4),
    lost: counter(view, 5),
    lostRecords: counter(view, 6),
  }
}

/** Writes each fragment's step, time and row to its points; false when they are not exactly `count` points. */
function expand(
  view: DataView,
  fragments: { at: number; length: number },
  columns: { step: Float64Array; time: Float64Array },
  row: Uint32Array,
  count: number,
  skip: number,
): boolean {
  const { step, time } = columns
  let next = -skip
  for (let i = 0, at = fragments.at; i < fragments.length; i++, at += FRAGMENT_BYTES) {
    const fragmentStep = view.getFloat64(at, true)
    const fragmentTime = view.getFloat64(at + 8, true)
    const fragmentRow = view.getUint32(at + 16, true)
    const end = next + view.getUint32(at + 20, true)
    if (end > count - skip) return false
    for (let index = Math.max(next, 0); index < end; index++) {
      step[index] = fragmentStep
      time[index] = fragmentTime
      row[index] = fragmentRow
    }
    next = end
  }
  return next === count - skip
}

/** Where the field of that index is; 0 when the table lacks it. */
function field(view: DataView, index: number): number {
  const table = view.getUint32(0, true)
  const vtable = table - view.getInt32(table, true)
  const slot = 4 + index * 2
  const offset = slot < view.getUint16(vtable, true) ? view.getUint16(vtable + slot, true) : 0
  return offset === 0 ? 0 : table + offset
}
function vector(view: DataView, index: number): { at: number; length: number } {
  const at = field(view, index)
  if (at === 0) return { at: 0, length: 0 }
  const target = at + view.getUint32(at, true)
  return { at: target + 4, length: view.getUint32(target, true) }
}
function counter(view: DataView, index: number): number {
  const at = field(view, index)
  return at === 0 ? 0 : readU64(view, at)
}

function makePrefix(): Uint8Array {
  const bytes = new Uint8Array(80)
  const view = new DataView(bytes.buffer)
  const fields = Object.values(FIELD)
  const vtableBytes = 4 + fields.length * 2
  view.setUint32(0, TABLE, true)
  view.setUint16(TABLE - vtableBytes, vtableBytes, true)
  view.setUint16(TABLE - vtableBytes + 2, 72 - TABLE, true)
  for (const [index, at] of fields.entries()) {
    view.setUint16(TABLE - vtableBytes + 4 + index * 2, at - TABLE, true)
  }
  view.setInt32(TABLE, vtableBytes, true)
  return bytes
}
