/**
 * A run's records → one event each. Pure.
 *
 * Every record stands in the Text tab, at its sequence number as step: `tracelet/params` and `tracelet/tags` as
 * tables, `tracelet/state` as a word. The first parameters and the end of the run are in the HParams table too.
 */
import type { RunRecord } from '../../core/types.ts'
import { summaryRecord } from './encode.ts'
import { sessionEnd, sessionStart } from './hparams.ts'
import { TEXT_TAGS } from './tag.ts'
import { textLine, textTable } from './text.ts'

export interface RecordPlace {
  /** Sequence number of the record. */
  readonly seq: number
  /** When the run was made, seconds: the time of records that have none, and of the HParams session. */
  readonly startedSeconds: number
  /** Whether the run has no row in the HParams table yet. */
  readonly firstParams: boolean
}

/** Empty when the record says nothing that could be stored: parameters or tags without any entry. */
export function encodeRecord(record: RunRecord, place: RecordPlace): Buffer {
  const { seq, startedSeconds, firstParams } = place
  if (record.kind === 'state') {
    const { state, time } = record
    const values = [textLine(TEXT_TAGS.state, state)]
    if (state !== 'running') values.push(sessionEnd(state, time / 1000))
    return summaryRecord(time / 1000, seq, values)
  }
  if (record.kind !== 'params' && record.kind !== 'tags')
    throw new Error(`TensorBoard's sink declares no ${record.kind}`)
  const entries = Object.entries(record.kind === 'params' ? record.params : record.tags)
  if (entries.length === 0) return Buffer.alloc(0)
  const rows = entries.map(([name, value]) => [name, Object.is(value, -0) ? '-0' : String(value)])
  const values = [textTable(TEXT_TAGS[record.kind], rows)]
  if (record.kind === 'params' && firstParams) values.push(sessionStart(record.params, startedSeconds))
  return summaryRecord(startedSeconds, seq, values)
}
