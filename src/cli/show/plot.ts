/** A curve in braille characters: 2 × 4 dots each (Unicode 28xx). Pure. */
import { count, fit, padStart, plain, value, width } from '../text.ts'
import type { Bucket } from './curve.ts'

const BLANK = 0x2800
/** Bit of each dot by its row and column within a character. */
const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const
const MIN_COLUMNS = 8

export interface PlotSize {
  /** Of the terminal; labels included. */
  readonly columns: number
  /** Lines of the curve; one more tells the steps. */
  readonly rows: number
  /** Name of the series from left to right; absent for steps. */
  readonly axis?: string | undefined
}

/** No lines for a curve without a finite value. */
export function plotLines(buckets: readonly Bucket[], { columns, rows, axis }: PlotSize): string[] {
  if (buckets.length === 0) return []
  const x = rangeOf(
    buckets,
    (one) => one.firstX,
    (one) => one.lastX,
  )
  const y = rangeOf(
    buckets,
    (one) => one.min,
    (one) => one.max,
  )
  const labels = [value(y.max), value(y.min)]
  const labelWidth = Math.max(...labels.map(width))
  const canvas = new Canvas(Math.max(MIN_COLUMNS, columns - labelWidth - 3), rows)
  draw(canvas, buckets, x, y)
  const lines = canvas.lines().map((line, row) => {
    const label = row === 0 ? labels[0]! : row === rows - 1 && y.min < y.max ? labels[1]! : ''
    return `${padStart(label, labelWidth)} ┤${line}`.trimEnd()
  })
  return [...lines, `${' '.repeat(labelWidth + 2)}${axisLine(x, axis, canvas.columns)}`]
}

/** `step 0        1,000` */
function axisLine({ min, max }: Range, axis: string | undefined, columns: number): string {
  const number = axis === undefined ? count : value
  const word = fit(plain(axis ?? 'step'), Math.max(4, Math.floor(columns / 3)))
  const from = `${word} ${number(min)}`
  const to = min === max ? '' : number(max)
  return `${from}${padStart(to, Math.max(to.length + 1, columns - width(from)))}`.trimEnd()
}

interface Range {
  readonly min: number
  readonly max: number
}

function rangeOf(
  buckets: readonly Bucket[],
  low: (bucket: Bucket) => number,
  high: (bucket: Bucket) => number,
): Range {
  let [min, max] = [Infinity, -Infinity]
  for (const bucket of buckets) {
    min = Math.min(min, low(bucket))
    max = Math.max(max, high(bucket))
  }
  return { min, max }
}

/** Share of the range from 0 to 1; half for a range without extent. Halved first: a range may exceed a double. */
function share(at: number, { min, max }: Range): number {
  return max > min ? (at / 2 - min / 2) / (max / 2 - min / 2) : 0.5
}

function draw(canvas: Canvas, buckets: readonly Bucket[], x: Range, y: Range): void {
  const column = (at: number) => Math.round(share(at, x) * (canvas.columns * 2 - 1))
  const row = (at: number) => Math.round((1 - share(at, y)) * (canvas.rows * 4 - 1))
  let before: Bucket | undefined
  for (const bucket of buckets) {
    const [left, right] = [column(bucket.firstX), column(bucket.lastX)]
    for (let at = left; at <= right; at++) canvas.vertical(at, row(bucket.max), row(bucket.min))
    // a run that was resumed from an earlier step begins a line of its own, as does an axis that falls
    if (before !== undefined && bucket.firstX >= before.lastX) {
      const from = before.min / 2 + before.max / 2
      const to = bucket.min / 2 + bucket.max / 2
      canvas.line(column(before.lastX), row(from), left, row(to))
    }
    before = bucket
  }
}

class Canvas {
  readonly columns: number
  readonly rows: number
  readonly #cells: Uint8Array

  constructor(columns: number, rows: number) {
    this.columns = columns
    this.rows = rows
    this.#cells = new Uint8Array(columns * rows)
  }

  vertical(x: number, from: number, to: number): void {
    for (let y = Math.min(from, to); y <= Math.max(from, to); y++) this.#dot(x, y)
  }

  line(x0: number, y0: number, x1: number, y1: number): void {
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1)
    for (let i = 0; i <= steps; i++) {
      this.#dot(Math.round(x0 + ((x1 - x0) * i) / steps), Math.round(y0 + ((y1 - y0) * i) / steps))
    }
  }

  lines(): string[] {
    return Array.from({ length: this.rows }, (_, row) =>
      Array.from(this.#cells.subarray(row * this.columns, (row + 1) * this.columns), (dots) =>
        dots === 0 ? ' ' : String.fromCharCode(BLANK + dots),
      ).join(''),
    )
  }

  #dot(x: number, y: number): void {
    const cell = (y >> 2) * this.columns + (x >> 1)
    this.#cells[cell]! |= DOTS[y & 3]![x & 1]!
  }
}
