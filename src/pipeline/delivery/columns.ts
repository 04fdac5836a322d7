/** Columns for batches, used again and again by all runs of a thread. */

export interface Columns {
  readonly series: Uint32Array
  readonly step: Float64Array
  readonly time: Float64Array
  readonly value: Float64Array
}

/** Per size: as many as a destination's open runs may leave behind when they all rest. */
const MAX_FREE = 64

const free = new Map<number, Columns[]>()

export function takeColumns(capacity: number): Columns {
  return (
    free.get(capacity)?.pop() ?? {
      series: new Uint32Array(capacity),
      step: new Float64Array(capacity),
      time: new Float64Array(capacity),
      value: new Float64Array(capacity),
    }
  )
}

/** Nobody may look at them any more. */
export function giveColumns(columns: Columns): void {
  const { length } = columns.series
  const list = free.get(length)
  if (list === undefined) free.set(length, [columns])
  else if (list.length < MAX_FREE) list.push(columns)
}
