/** Params, tags, notes and datasets of a run, as requests. Sending one again changes nothing. */
import type { RunRecord, WriteResult } from '../../core/types.ts'
import type { Refusal } from '../http.ts'
import type { Notices } from '../notices.ts'
import { type Entry, fitText, MAX_PARAM_CHARS, MAX_TAG_CHARS, paramText } from './encode.ts'
import type { KeyBook } from './key-book.ts'
import { answerOf, deleted, getRun, isFault } from './remote-run.ts'
import { type OpenedRun, type Sent, sendEntries } from './send-entries.ts'

type RecordOf<Kind extends RunRecord['kind']> = Extract<RunRecord, { kind: Kind }>

export interface RecordsContext {
  readonly keys: KeyBook
  readonly notices: Notices
  /** What each dataset, by name and digest, was first read for. */
  readonly datasets: Map<string, string>
}

/** The run's description, as MLflow's page shows it. */
const NOTE_TAG = 'mlflow.note.content'
/** Where the run went back, by the sequence number of the record that says so. */
const REWIND_TAG = 'tracelet.rewind'
/** What a dataset was read for, among the tags of a run's input. */
const CONTEXT_TAG = 'mlflow.data.context'
// MLflow's limits of a dataset's texts, in characters (mlflow/utils/validation.py): the last two of its database.
const MAX_DATASET_NAME_CHARS = 500
const MAX_SCHEMA_CHARS = 1_048_575
const MAX_PROFILE_CHARS = 16_777_215
const MAX_CONTEXT_CHARS = 500

export async function writeParams(
  run: OpenedRun,
  { params }: RecordOf<'params'>,
  { keys, notices }: RecordsContext,
  signal: AbortSignal,
): Promise<WriteResult> {
  const entries = Object.entries(params).map(([name, param], index): Entry => {
    const text = paramText(param)
    const value = fitText(text, MAX_PARAM_CHARS)
    if (value !== text) {
      notices.tell('param', `MLflow holds ${MAX_PARAM_CHARS} characters of the parameter '${name}'`)
    }
    return { index, key: keys.key(name), value }
  })
  const refusal = await rememberKeys(run, keys, signal)
  return refusal ?? resultOf(await sendEntries(run, 'params', entries, signal))
}

export async function writeTags(
  run: OpenedRun,
  { tags }: RecordOf<'tags'>,
  { keys, notices }: RecordsContext,
  signal: AbortSignal,
): Promise<WriteResult> {
  const entries = Object.entries(tags).map(([name, text], index): Entry => {
    const value = fitText(text, MAX_TAG_CHARS)
    if (value !== text) notices.tell('tag', `MLflow holds ${MAX_TAG_CHARS} characters of the tag '${name}'`)
    return { index, key: keys.key(name), value }
  })
  const refusal = await rememberKeys(run, keys, signal)
  return refusal ?? resultOf(await sendEntries(run, 'tags', entries, signal))
}

export async function writeNotes(
  run: OpenedRun,
  { notes }: RecordOf<'notes'>,
  { notices }: RecordsContext,
  signal: AbortSignal,
): Promise<WriteResult> {
  const value = fitText(notes, MAX_TAG_CHARS)
  if (value !== notes) notices.tell('notes', `MLflow holds ${MAX_TAG_CHARS} characters of a run's notes`)
  return resultOf(await sendEntries(run, 'tags', [{ index: 0, key: NOTE_TAG, value }], signal))
}

/** A tag each: sent again, it says the same. */
export async function writeRewind(
  run: OpenedRun,
  { fromStep, time }: RecordOf<'rewind'>,
  seq: number,
  signal: AbortSignal,
): Promise<WriteResult> {
  const value = `back to step ${fromStep}, ${new Date(time).toISOString()}`
  return resultOf(await sendEntries(run, 'tags', [{ index: 0, key: `${REWIND_TAG}.${seq}`, value }], signal))
}

/** Identity of a dataset at MLflow: experiment, name and digest; of an input: the dataset and the run. */
export async function writeDataset(
  run: OpenedRun,
  record: RecordOf<'dataset'>,
  { notices, datasets }: RecordsContext,
  signal: AbortSignal,
): Promise<WriteResult> {
  const { name, digest, source, sourceType, schema, profile, context } = record
  const fit = (part: string, text: string, max: number) => {
    const value = fitText(text, max)
    if (value !== text)
      notices.tell(`dataset ${part}`, `MLflow holds ${max} characters of a dataset's ${part}`)
    return value
  }
  const dataset = {
    name: fit('name', name, MAX_DATASET_NAME_CHARS),
    digest,
    source_type: sourceType,
    source: fitText(source, Number.MAX_SAFE_INTEGER),
    // Half of a JSON text is none: what does not fit stays away as a whole.
    ...whole('schema', schema, MAX_SCHEMA_CHARS, notices),
    ...whole('profile', profile, MAX_PROFILE_CHARS, notices),
  }
  const tags = context ? [{ key: CONTEXT_TAG, value: fit('context', context, MAX_CONTEXT_CHARS) }] : []
  const reply = await run.api.post(
    'runs/log-inputs',
    { run_id: run.runId, datasets: [{ dataset, tags }] },
    signal,
  )
  if (reply.status === 'ok') {
    const identity = JSON.stringify([name, digest])
    const first = datasets.get(identity) ?? context ?? ''
    datasets.set(identity, first)
    if (first !== (context ?? ''))
      notices.tell('dataset context', `MLflow holds one context of a dataset: '${name}' stays '${first}'`)
    return { status: 'accepted' }
  }
  if (isFault(reply, 'missing')) return deleted(run.runId)
  if (reply.status === 'refused') return reply.refusal
  const found = await getRun(run.api, run.runId, signal)
  return 'refusal' in found ? found.refusal : answerOf(reply)
}

/** The tags that tell what mapped keys stand for, before the first use of such a key. */
export async function rememberKeys(
  run: OpenedRun,
  keys: KeyBook,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const tags = keys.unsent()
  if (tags.length === 0) return undefined
  const sent = await sendEntries(run, 'tags', tags, signal)
  if ('refusal' in sent) return sent.refusal
  keys.remembered(tags)
  return undefined
}

function whole(part: 'schema' | 'profile', text: string | undefined, max: number, notices: Notices) {
  if (text === undefined) return {}
  if (fitText(text, max) === text) return { [part]: text }
  notices.tell(
    `dataset ${part}`,
    `MLflow cannot hold the ${part} of a dataset with more than ${max} characters`,
  )
  return {}
}

function resultOf(sent: Sent): WriteResult {
  if ('refusal' in sent) return sent.refusal
  const { rejected } = sent
  return rejected.length > 0 ? { status: 'partial', rejected } : { status: 'accepted' }
}
