import type { Batch, Series } from '../../../src/core/types.ts'

export interface PlainPoint {
  readonly name: string
  readonly context?: string
  readonly step: number
  /** Milliseconds. */
  readonly time: number
  readonly value: number
}

/** Points as the pipeline hands them over; `table` numbers the series and is kept from batch to batch. */
export function batchOf(points: readonly PlainPoint[], table: Series[] = [], seq = 0): Batch {
  const ids = points.map(({ name, context = '' }) => {
    const known = table.find((series) => series.name === name && series.context === context)
    if (known) return known.id
    table.push({ id: table.length, name, context })
    return table.length - 1
  })
  return {
    seq,
    length: points.length,
    series: Uint32Array.from(ids),
    step: Float64Array.from(points, (point) => point.step),
    time: Float64Array.from(points, (point) => point.time),
    value: Float64Array.from(points, (point) => point.value),
    describe: (id) => table[id]!,
  }
}
