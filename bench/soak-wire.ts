/**
 * What is logged in a soak, and how its sinks send it: columns as they are, so that two fakes keep up with the
 * training process on one machine.
 *
 *   u32 points · u32 rows · f64 offset · f64 step[points] · f64 value[points] · u32 series[points] · u32 first[rows + 1]
 */
import type { Batch, WriteResult } from '../src/core/types.ts'
import type { HttpClient, HttpReply } from '../src/sinks/http.ts'

export const SERIES = 10
const HEAD_BYTES = 16

export function seriesName(series: number): string {
  return `train/metric ${series}`
}

/** What is logged: whoever has a point can check it. */
export function valueAt(series: number, step: number): number {
  return step * 0.25 + series
}

export interface Columns {
  readonly offset: number
  readonly step: Float64Array
  readonly value: Float64Array
  readonly series: Uint32Array
  /** Point at which each row begins, and their end; empty for points without rows. */
  readonly first: Uint32Array
}

export function encode(batch: Batch, offset: number, numberOf: (id: number) => number): Buffer {
  const { length, rows } = batch
  const rowCount = rows === undefined ? 0 : rows.length - 1
  const bytes = new ArrayBuffer(HEAD_BYTES + 20 * length + 4 * (rowCount + 1))
  const head = new DataView(bytes)
  head.setUint32(0, length, true)
  head.setUint32(4, rowCount, true)
  head.setFloat64(8, offset, true)
  const { step, value, series, first } = views(bytes, 0, length, rowCount)
  step.set(batch.step.subarray(0, length))
  value.set(batch.value.subarray(0, length))
  for (let i = 0; i < length; i++) series[i] = numberOf(batch.series[i]!)
  if (rows !== undefined) first.set(rows)
  return Buffer.from(bytes)
}

/** @param body aligned to 8 bytes within its buffer */
export function decode(body: Buffer): Columns {
  const head = new DataView(body.buffer, body.byteOffset)
  const offset = head.getFloat64(8, true)
  return {
    offset,
    ...views(body.buffer as ArrayBuffer, body.byteOffset, head.getUint32(0, true), head.getUint32(4, true)),
  }
}

function views(buffer: ArrayBuffer, at: number, length: number, rows: number): Omit<Columns, 'offset'> {
  const from = at + HEAD_BYTES
  return {
    step: new Float64Array(buffer, from, length),
    value: new Float64Array(buffer, from + 8 * length, length),
    series: new Uint32Array(buffer, from + 16 * length, length),
    first: new Uint32Array(buffer, from + 20 * length, rows + 1),
  }
}

/** The journal's numbers of series → those of what is logged. */
export class SeriesNumbers {
  readonly #known = new Map<number, number>()

  of(batch: Batch): (id: number) => number {
    return (id) => {
      let number = this.#known.get(id)
      if (number === undefined) {
        number = Number(batch.describe(id).name.split(' ').at(-1))
        this.#known.set(id, number)
      }
      return number
    }
  }
}

/** The answer's JSON, or what its refusal means. */
export function read(client: HttpClient, reply: HttpReply): { body: Record<string, unknown> } | WriteResult {
  const refusal = client.refusal(reply)
  if (refusal !== undefined) return refusal
  return { body: JSON.parse(reply.status === 'answered' ? reply.text : '{}') }
}
