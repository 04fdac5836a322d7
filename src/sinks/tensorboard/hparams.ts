/**
 * The messages of TensorBoard's HParams plugin. A run is a row of its table once its folder holds a session start;
 * the metrics' columns are the run's scalars by themselves. We write no `_hparams_/experiment`: TensorBoard takes
 * the first it finds for all runs of a log directory, so one run's would hide every other's parameters.
 *
 * The data stand in the summary's metadata, of which TensorBoard keeps the first per tag and run: a run's first
 * parameters and first end are what the table shows.
 */
import type { ParamValue, RunOutcome } from '../../core/types.ts'
import { doubleField, messageField, stringField, varintField } from '../protobuf.ts'
import { HPARAMS_TAGS } from './tag.ts'

/** The plugin wants a tensor beside its metadata; this is its own choice: float32, shape [0]. */
const NO_TENSOR = messageField(8, varintField(1, 1), messageField(2, messageField(2)))

const STATUS_SUCCESS = 1
const STATUS_FAILURE = 2

/** The run's row. Its group stays empty: then TensorBoard names the row by the run. */
export function sessionStart(
  params: Readonly<Record<string, ParamValue>>,
  startedSeconds: number,
): Uint8Array {
  return hparamsValue(
    HPARAMS_TAGS.sessionStart,
    messageField(
      3,
      ...Object.entries(params).map(([name, value]) =>
        messageField(1, stringField(1, name), messageField(2, paramValue(value))),
      ),
      doubleField(5, startedSeconds),
    ),
  )
}

/** How the run ended. The plugin knows success and failure only; a killed run is a failure. */
export function sessionEnd(outcome: RunOutcome, endedSeconds: number): Uint8Array {
  return hparamsValue(
    HPARAMS_TAGS.sessionEnd,
    messageField(
      4,
      varintField(1, outcome === 'finished' ? STATUS_SUCCESS : STATUS_FAILURE),
      doubleField(2, endedSeconds),
    ),
  )
}

/**
 * A google.protobuf.Value. What JSON does not have is sent as its name, because one NaN or null makes the plugin's
 * answer fail for the whole log directory.
 */
function paramValue(value: ParamValue): Uint8Array {
  if (typeof value === 'boolean') return varintField(4, value ? 1 : 0)
  if (typeof value === 'number' && Number.isFinite(value)) return doubleField(2, value)
  return stringField(3, String(value))
}

function hparamsValue(tag: string, data: Uint8Array): Uint8Array {
  const pluginData = messageField(1, stringField(1, 'hparams'), messageField(2, data))
  return Buffer.concat([stringField(1, tag), NO_TENSOR, messageField(9, pluginData)])
}
