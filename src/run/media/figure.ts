/** Figures as Plotly describes them, as JSON. */
import type { ErrorRecord } from '../../core/errors.ts'
import { describe } from '../producer.ts'
import { type ImageInput, isImageInput } from './image.ts'

/** What `Plotly.newPlot` takes, or `fig.to_plotly_json()` gives. */
export interface PlotlyFigure {
  readonly data: readonly unknown[]
  readonly layout?: unknown
  readonly frames?: readonly unknown[] | undefined
}
export type FigureInput = PlotlyFigure | ImageInput

export function isImageFigure(figure: FigureInput): figure is ImageInput {
  return isImageInput(figure) && !('data' in figure && Array.isArray(figure.data))
}

/** JSON text; typed arrays become plain ones, NaN and ±Infinity null, which Plotly draws as gaps. */
export function toPlotlyJson(figure: PlotlyFigure): string | ErrorRecord {
  if (typeof figure !== 'object' || figure === null || !Array.isArray(figure.data)) {
    return {
      code: 'ERR_VALUE',
      message: `a figure is Plotly's { data: […], layout } or an image, but was ${describe(figure)}`,
    }
  }
  const { data, layout, frames } = figure
  return JSON.stringify({ data, layout: layout ?? {}, ...(frames && { frames }) }, (_, value: unknown) => {
    if (typeof value === 'bigint') return Number(value)
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return Array.from(value as Uint8Array)
    return value
  })
}
