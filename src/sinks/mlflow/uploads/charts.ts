/** Histograms and PR curves as figures: Plotly's JSON, and a plain drawing of the same. Pure. */
import type { RunRecord } from '../../../core/types.ts'
import { type PrCurveRecord, prCurveFigure, prPoints } from '../../pr-curve-figure.ts'
import { escapeHtml, figurePage } from './figure-page.ts'

type HistogramRecord = Extract<RunRecord, { kind: 'histogram' }>

const WIDTH = 640
const HEIGHT = 360
const MARGIN = 40

/** `layout.meta` keeps the record's numbers as they were. */
export function histogramPage(record: HistogramRecord): string {
  const { name, step, edges, counts, sum, sumSquares } = record
  const bars = Array.from(counts, (count, i) => ({ from: edges[i]!, to: edges[i + 1]!, count }))
  const title = `${name}, step ${step}`
  const figure = {
    data: [
      {
        type: 'bar',
        x: bars.map(({ from, to }) => from + (to - from) / 2),
        y: Array.from(counts),
        width: bars.map(({ from, to }) => to - from),
      },
    ],
    layout: {
      title: { text: title },
      bargap: 0,
      xaxis: { title: { text: 'value' } },
      yaxis: { title: { text: 'count' } },
      meta: { edges: Array.from(edges), counts: Array.from(counts), sum, sumSquares },
    },
  }
  const x = scale(edges[0] ?? 0, edges.at(-1) ?? 1, MARGIN, WIDTH - MARGIN)
  const y = scale(0, largest(counts), HEIGHT - MARGIN, MARGIN)
  const shapes = bars.map(({ from, to, count }) => {
    const [left, right, top] = [x(from), x(to), y(count)]
    return `<rect x="${left}" y="${top}" width="${right - left}" height="${HEIGHT - MARGIN - top}" fill="#43629c"/>`
  })
  const ends = {
    left: String(edges[0] ?? ''),
    right: String(edges.at(-1) ?? ''),
    top: String(largest(counts)),
  }
  return figurePage(title, JSON.stringify(figure), drawing(title, shapes.join(''), ends))
}

export function prCurvePage(record: PrCurveRecord): string {
  const { name, step } = record
  const title = `${name}, step ${step}`
  const x = scale(0, 1, MARGIN, WIDTH - MARGIN)
  const y = scale(0, 1, HEIGHT - MARGIN, MARGIN)
  const line = prPoints(record)
    .map(({ recall, precision }) => `${x(recall)},${y(precision)}`)
    .join(' ')
  const shape = `<polyline points="${line}" fill="none" stroke="#43629c" stroke-width="2"/>`
  const figure = JSON.stringify(prCurveFigure(record, title))
  return figurePage(title, figure, drawing(title, shape, { left: '0', right: '1', top: '1' }))
}

function largest(counts: Float64Array): number {
  let most = 0
  for (const count of counts) if (count > most) most = count
  return most
}

function scale(low: number, high: number, from: number, to: number): (value: number) => number {
  const span = high - low
  const place = (value: number) => (span > 0 ? from + ((value - low) / span) * (to - from) : from)
  return (value) => Math.round(place(value) * 100) / 100
}

interface Ends {
  readonly left: string
  readonly right: string
  readonly top: string
}

function drawing(title: string, shapes: string, { left, right, top }: Ends): string {
  const [bottom, end] = [HEIGHT - MARGIN, WIDTH - MARGIN]
  const label = (x: number, y: number, anchor: string, text: string) =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}">${escapeHtml(text)}</text>`
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="100%" height="100%" font-size="12">` +
    label(WIDTH / 2, 20, 'middle', title) +
    shapes +
    `<path d="M${MARGIN} ${MARGIN}V${bottom}H${end}" fill="none" stroke="#888"/>` +
    label(MARGIN, bottom + 16, 'middle', left) +
    label(end, bottom + 16, 'middle', right) +
    label(MARGIN - 4, MARGIN - 6, 'middle', top) +
    '</svg>'
  )
}
