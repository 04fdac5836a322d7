/** Lines over time as SVG: one panel a unit, one under the other, on a common axis of minutes. */
import { show } from './harness.ts'
import { median } from './statistics.ts'

export interface Trace {
  readonly name: string
  readonly unit: string
  /** Ascending. */
  readonly seconds: readonly number[]
  readonly values: readonly number[]
}

const WIDTH = 900
const PANEL = 180
const LEFT = 80
const RIGHT = 20
const TOP = 34
const BOTTOM = 40
const COLOURS = ['#1f6fb4', '#d9541a', '#2f8f4e', '#7d4fa3']

export function plot(traces: readonly Trace[]): string {
  const units = [...new Set(traces.map(({ unit }) => unit))]
  const most = Math.max(...traces.flatMap(({ seconds }) => seconds.at(-1) ?? 0), 1)
  const height = units.length * (PANEL + TOP) + BOTTOM
  const panels = units.map((unit, index) => {
    const top = index * (PANEL + TOP) + TOP
    return panel(
      traces.filter((trace) => trace.unit === unit),
      unit,
      top,
      most,
    )
  })
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...panels.flat(),
    ...minutes(most, height - BOTTOM + 16),
    '</svg>',
  ].join('\n')}\n`
}

function panel(traces: readonly Trace[], unit: string, top: number, most: number): string[] {
  const highest = Math.max(...traces.flatMap(({ values }) => [...values]), Number.MIN_VALUE)
  const y = (value: number) => top + PANEL - (value / highest) * PANEL
  const x = (seconds: number) => LEFT + (seconds / most) * (WIDTH - LEFT - RIGHT)
  const lines = [
    `<rect x="${LEFT}" y="${top}" width="${WIDTH - LEFT - RIGHT}" height="${PANEL}" fill="none" stroke="#ccc"/>`,
  ]
  for (const share of [0, 0.5, 1]) {
    const at = y(highest * share)
    lines.push(`<text x="${LEFT - 8}" y="${at + 4}" text-anchor="end">${show(highest * share)}</text>`)
    lines.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="#eee"/>`)
  }
  lines.push(`<text x="${LEFT}" y="${top - 8}" font-weight="bold">${escaped(unit)}</text>`)
  for (const [index, { name, seconds, values }] of traces.entries()) {
    const colour = COLOURS[index % COLOURS.length]
    const points = values.map((value, i) => `${x(seconds[i]!).toFixed(1)},${y(value).toFixed(1)}`).join(' ')
    lines.push(`<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points}"/>`)
    const label = LEFT + 140 + index * 230
    lines.push(`<text x="${label}" y="${top - 8}" fill="${colour}">${escaped(name)}</text>`)
  }
  return lines
}

function minutes(most: number, y: number): string[] {
  const step = most > 120 ? 60 : 10
  const marks: string[] = []
  for (let at = 0; at <= most; at += step) {
    const x = LEFT + (at / most) * (WIDTH - LEFT - RIGHT)
    marks.push(
      `<text x="${x.toFixed(1)}" y="${y}" text-anchor="middle">${step === 60 ? `${at / 60} min` : `${at} s`}</text>`,
    )
  }
  return marks
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}

/** Growth a second of the least squares' line. */
export function slope(seconds: readonly number[], values: readonly number[]): number {
  const count = seconds.length
  const meanX = seconds.reduce((sum, x) => sum + x, 0) / count
  const meanY = values.reduce((sum, y) => sum + y, 0) / count
  let products = 0
  let squares = 0
  for (let i = 0; i < count; i++) {
    products += (seconds[i]! - meanX) * (values[i]! - meanY)
    squares += (seconds[i]! - meanX) ** 2
  }
  return squares === 0 ? 0 : products / squares
}

/** Median of the growth a second between all pairs (Theil and Sen): what stands out now and then does not move it. */
export function robustSlope(seconds: readonly number[], values: readonly number[]): number {
  const slopes: number[] = []
  for (let i = 0; i < seconds.length; i++) {
    for (let j = i + 1; j < seconds.length; j++)
      slopes.push((values[j]! - values[i]!) / (seconds[j]! - seconds[i]!))
  }
  return slopes.length === 0 ? 0 : median(slopes)
}
