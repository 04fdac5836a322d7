/**
 * A run's records → one event each. Pure.
 *
 * What the run says of itself stands in the Text tab, at its sequence number as step: `tracelet/params` and
 * `tracelet/tags` as tables, `tracelet/state` as a word, `tracelet/notes` as Markdown. The first parameters and the
 * end of the run are in the HParams table too. What has a name and a step is shown where TensorBoard shows its kind;
 * tables and figures of Plotly, for which it has no dashboard, stand in the Text tab: the first rows, and where in
 * the run's folder the figure lies.
 */
import type { RunRecord } from '../../core/types.ts'
import type { RecordContent } from './content.ts'
import { recordOf, sessionStartEvent, summaryEvent } from './encode.ts'
import { histogramValue } from './histogram.ts'
import { sessionEnd, sessionStart } from './hparams.ts'
import { imagesValue } from './images.ts'
import type { Piece } from './pieces.ts'
import { prCurveValue } from './pr-curve.ts'
import { markdownTable } from './table.ts'
import { type TagBook, TEXT_TAGS } from './tag.ts'
import { textLine, textTable } from './text.ts'

/** Kinds that `encodeRecord` knows. */
export const RECORD_KINDS = [
  'params',
  'tags',
  'state',
  'rewind',
  'notes',
  'text',
  'histogram',
  'images',
  'table',
  'figure',
  'prCurve',
] as const

export interface RecordPlace {
  /** Sequence number of the record. */
  readonly seq: number
  /** When the run was made, seconds: the time of records that have none, and of the HParams session. */
  readonly startedSeconds: number
  /** Whether the run has no row in the HParams table yet. */
  readonly firstParams: boolean
  readonly tags: TagBook
}

/**
 * The records by which TensorBoard forgets every event at that step or beyond, and a word of it at that step. Two
 * session starts, since its loader takes the first of a file for the run's beginning and forgets nothing
 * (`_CheckForRestartAndMaybePurge` in tensorboard/backend/event_processing/plugin_event_accumulator.py, 2.21). The
 * data server, which reads for the web page, does not know session starts: it forgets what a series itself goes back
 * over (reservoir.rs, `preempt`).
 */
export function encodeRewind({ fromStep, time }: Extract<RunRecord, { kind: 'rewind' }>): Buffer {
  const seconds = time / 1000
  const start = recordOf(sessionStartEvent(seconds, fromStep))
  const word = textLine(TEXT_TAGS.rewind, `back to step ${fromStep}`)
  return Buffer.concat([start, start, recordOf(summaryEvent(seconds, fromStep, [[word]]) as Uint8Array[])])
}

/** The event's payload; empty when the record says nothing that could be stored, such as parameters without any. */
export function encodeRecord(
  record: RunRecord,
  content: RecordContent,
  place: RecordPlace,
): readonly Piece[] {
  const { seq, startedSeconds, tags } = place
  switch (record.kind) {
    case 'params':
    case 'tags':
      return encodeEntries(record, place)
    case 'state': {
      const { state, time } = record
      const values: Piece[][] = [[textLine(TEXT_TAGS.state, state)]]
      if (state !== 'running') values.push([sessionEnd(state, time / 1000)])
      return summaryEvent(time / 1000, seq, values)
    }
    case 'notes':
      return summaryEvent(startedSeconds, seq, [[textLine(TEXT_TAGS.notes, textOf(record, content))]])
    case 'histogram':
      return placed(record, [histogramValue(tags.tag('histograms', record.name), record)])
    case 'prCurve':
      return placed(record, [prCurveValue(tags.tag('pr_curves', record.name), record)])
    case 'images':
    case 'text':
    case 'table':
    case 'figure':
      return encodeContent(record, content, tags)
    default:
      throw new Error(`TensorBoard's sink declares no ${record.kind}`)
  }
}

function encodeEntries(
  record: RunRecord & { kind: 'params' | 'tags' },
  place: RecordPlace,
): readonly Piece[] {
  const entries = Object.entries(record.kind === 'params' ? record.params : record.tags)
  if (entries.length === 0) return []
  const rows = entries.map(([name, value]) => [name, Object.is(value, -0) ? '-0' : String(value)])
  const values: Piece[][] = [[textTable(TEXT_TAGS[record.kind], rows)]]
  if (record.kind === 'params' && place.firstParams) {
    values.push([sessionStart(record.params, place.startedSeconds)])
  }
  return summaryEvent(place.startedSeconds, place.seq, values)
}

type ContentRecord = RunRecord & { kind: 'images' | 'text' | 'table' | 'figure' }

function encodeContent(record: ContentRecord, content: RecordContent, tags: TagBook): readonly Piece[] {
  if (content.kind === 'images') {
    if (content.images.length === 0) return []
    return placed(record, imagesValue(tags.tag('images', record.name), content.images))
  }
  return placed(record, [textLine(tags.tag('text', record.name), textOf(record, content))])
}

function textOf(record: RunRecord, content: RecordContent): string {
  if (content.kind === 'text') {
    return content.isCut ? `${content.text}\n\n… the run's folder holds the whole text.` : content.text
  }
  if (content.kind === 'table' && record.kind === 'table') {
    return markdownTable(content.table, record.columns, record.rows)
  }
  if (record.kind !== 'figure') throw new Error(`the content of ${record.kind} was not read`)
  const { digest, bytes, type } = record.figure
  return `A figure that TensorBoard cannot draw: \`blobs/${digest.slice(0, 2)}/${digest}\` in the run's folder, ${bytes} bytes of ${type}.`
}

function placed(
  record: { readonly step: number; readonly time: number },
  value: readonly Piece[],
): readonly Piece[] {
  return summaryEvent(record.time / 1000, record.step, [value])
}
