/** Logged models over MLflow's API. */
import type { Refusal } from '../../http.ts'
import type { ApiReply } from '../api.ts'
import { createOnce } from '../create-once.ts'
import { fitText, MAX_TAG_CHARS } from '../encode.ts'
import { answerOf, getRun } from '../remote-run.ts'
import type { OpenedRun } from '../send-entries.ts'
import type { ModelRecord } from './model.ts'
import { mapSegment } from './paths.ts'
import type { UploadContext } from './step.ts'

export interface LoggedModel {
  readonly id: string
  readonly uri: string
}

const ROUTE = '/api/2.0/mlflow/logged-models'
export const UPLOAD_TAG = 'tracelet.upload'
const MAX_NAME_BYTES = 250
/** Beside what no path can have (mlflow/utils/validation.py). */
const BAD_IN_NAME = /[/:.%"']/gu

interface ModelJson {
  readonly info: {
    readonly model_id: string
    readonly artifact_uri: string
  }
}

/** @param tag value of `tracelet.upload` */
export async function findOrCreateModel(
  record: ModelRecord,
  tag: string,
  context: UploadContext,
  signal: AbortSignal,
): Promise<LoggedModel | Refusal> {
  const { remote, notices } = context
  const name = mapSegment(record.name, MAX_NAME_BYTES, BAD_IN_NAME)
  if (name !== record.name)
    notices.tell('model', `MLflow has no model name '${record.name}': stored as '${name}'`)
  const tags: Record<string, string | undefined> = {
    [UPLOAD_TAG]: tag,
    'tracelet.name': name === record.name ? undefined : record.name,
    'mlflow.user': context.run.user,
    'mlflow.source.name': context.run.program,
    'mlflow.source.type': 'LOCAL',
    'mlflow.note.content': record.description,
  }
  const body = {
    experiment_id: remote.experimentId,
    name,
    source_run_id: remote.runId,
    tags: Object.entries(tags)
      .filter((entry): entry is [string, string] => Boolean(entry[1]))
      .map(([key, value]) => ({ key, value: fitText(value, MAX_TAG_CHARS) })),
  }
  return createOnce<LoggedModel>({
    mark: `model ${tag}`,
    find: () => findModels(tag, context, signal),
    create: () => remote.api.call('POST', ROUTE, body, signal),
    made: (answer) => toModel(answer.model as ModelJson),
    refusal: (reply) => modelAnswer(reply, remote, signal),
    remove: ({ id }) => remote.api.call('DELETE', `${ROUTE}/${id}`, undefined, signal),
  })
}

export async function setStatus(
  { remote }: UploadContext,
  id: string,
  status: 'LOGGED_MODEL_READY' | 'LOGGED_MODEL_UPLOAD_FAILED',
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const reply = await remote.api.call('PATCH', `${ROUTE}/${id}`, { model_id: id, status }, signal)
  return reply.status === 'ok' ? undefined : modelAnswer(reply, remote, signal)
}

/** Names the model among the outputs of the run; MLflow refuses one that is there already. */
export async function linkOutput(
  { remote }: UploadContext,
  id: string,
  step: number,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const run = await getRun(remote.api, remote.runId, signal)
  if ('refusal' in run) return run.refusal
  if (run.found.outputs?.model_outputs?.some(({ model_id }) => model_id === id)) return undefined
  const body = { run_id: remote.runId, models: [{ model_id: id, step }] }
  const reply = await remote.api.post('runs/outputs', body, signal)
  return reply.status === 'ok' ? undefined : modelAnswer(reply, remote, signal)
}

/**
 * Servers before MLflow 3 know none of these calls. But if nothing of the API is there, it is what stands before the
 * server that answers, and nothing is given up.
 */
export async function modelAnswer(
  reply: ApiReply,
  { api, runId }: OpenedRun,
  signal: AbortSignal,
): Promise<Refusal> {
  if (reply.status !== 'refused' || (reply.code !== 404 && reply.code !== 405)) return answerOf(reply)
  const run = await getRun(api, runId, signal)
  if ('refusal' in run) return run.refusal
  const reason = 'this MLflow server has no logged models, which came with MLflow 3: update it'
  return { status: 'split', code: 'ERR_UNSUPPORTED', reason }
}

/** Those of a tag, in an order that never changes. */
async function findModels(
  tag: string,
  { remote }: UploadContext,
  signal: AbortSignal,
): Promise<readonly LoggedModel[] | Refusal> {
  const body = {
    experiment_ids: [remote.experimentId],
    filter: `tags.\`${UPLOAD_TAG}\` = '${tag}'`,
    max_results: 10,
  }
  const reply = await remote.api.call('POST', `${ROUTE}/search`, body, signal)
  if (reply.status !== 'ok') return modelAnswer(reply, remote, signal)
  const found = ((reply.json.models ?? []) as readonly ModelJson[]).map(toModel)
  return [...found].sort((a, b) => (a.id < b.id ? -1 : 1))
}

function toModel({ info }: ModelJson): LoggedModel {
  return { id: info.model_id, uri: info.artifact_uri }
}
