/**
 * Figures: `{"_type":"plotly-file","sha256","size","path"}` of Plotly's JSON, which the run keeps as the SDK writes
 * it, `{"data":[…],"layout":{…}}`; any other figure is an image.
 */
import { PLOTLY_TYPE } from '../../../core/media-types.ts'
import type { LoggedImage, RunRecord } from '../../../core/types.ts'
import { imagePath, imagesJson } from './images.ts'
import { mediaPath } from './media-path.ts'

type FigureRecord = Extract<RunRecord, { kind: 'figure' }>

/** Path of a figure among the files of the run. */
export function figurePath(record: FigureRecord): string {
  const { figure } = record
  if (figure.type !== PLOTLY_TYPE) return imagePath(record, { image: figure })
  return mediaPath('plotly', record, figure.digest, 'plotly.json')
}

export function figureJson(record: FigureRecord): string {
  const { figure } = record
  if (figure.type !== PLOTLY_TYPE) return imagesJson(record, [imageOf(record)])
  return JSON.stringify({
    _type: 'plotly-file',
    sha256: figure.digest,
    size: figure.bytes,
    path: figurePath(record),
  })
}

function imageOf({ figure, width = 0, height = 0 }: FigureRecord): LoggedImage {
  return { image: figure, width, height }
}
