/** A PR curve as a figure of Plotly's; `layout.meta` keeps the record's numbers as they were. Pure. */
import type { RunRecord } from '../core/types.ts'

export type PrCurveRecord = Extract<RunRecord, { kind: 'prCurve' }>

export interface PrPoint {
  readonly recall: number
  readonly precision: number
}

export function prPoints({ truePositives, falsePositives, falseNegatives }: PrCurveRecord): PrPoint[] {
  return Array.from(truePositives, (hits, i) => {
    const [taken, wanted] = [hits + falsePositives[i]!, hits + falseNegatives[i]!]
    // Nothing taken is nothing wrong, as scikit-learn counts it.
    return { recall: wanted > 0 ? hits / wanted : 0, precision: taken > 0 ? hits / taken : 1 }
  })
}

export function prCurveFigure(record: PrCurveRecord, title: string): object {
  const points = prPoints(record)
  const last = Math.max(1, points.length - 1)
  return {
    data: [
      {
        type: 'scatter',
        mode: 'lines+markers',
        x: points.map(({ recall }) => recall),
        y: points.map(({ precision }) => precision),
        text: points.map((_, i) => `threshold ${(i / last).toFixed(3)}`),
      },
    ],
    layout: {
      title: { text: title },
      xaxis: { title: { text: 'recall' }, range: [0, 1.02] },
      yaxis: { title: { text: 'precision' }, range: [0, 1.02] },
      meta: {
        truePositives: Array.from(record.truePositives),
        falsePositives: Array.from(record.falsePositives),
        trueNegatives: Array.from(record.trueNegatives),
        falseNegatives: Array.from(record.falseNegatives),
      },
    },
  }
}
