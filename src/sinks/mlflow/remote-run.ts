/**
 * Runs, experiments and parents as MLflow holds them. Every run is created with the tag `tracelet.nonce`, by which it
 * is found again.
 */
import type { RunInfo } from '../../core/types.ts'
import type { Refusal } from '../http.ts'
import type { ApiReply, MlflowApi } from './api.ts'
import { fitText, MAX_TAG_CHARS } from './encode.ts'

const NONCE_TAG = 'tracelet.nonce'
const RUN_TAG = 'tracelet.run_id'
export const PARENT_TAG = 'mlflow.parentRunId'
const MAX_RUN_NAME_CHARS = 250

export interface RemoteRun {
  readonly runId: string
  readonly experimentId: string
  /** The parent's run id at MLflow, once known. */
  readonly parentId: string | undefined
  /** Where its artifacts go: `mlflow-artifacts:/…`, a path or the address of a store. */
  readonly artifactUri: string
}
export type Found<T> = { readonly found: T } | { readonly refusal: Refusal }

export interface RunJson {
  readonly info: {
    readonly run_id: string
    readonly experiment_id: string
    readonly lifecycle_stage: string
    readonly artifact_uri?: string
  }
  readonly data?: {
    readonly tags?: readonly { key: string; value: string }[]
    readonly params?: readonly { key: string; value: string }[]
  }
  readonly outputs?: { readonly model_outputs?: readonly { model_id: string }[] }
}

/** Makes the experiment where there is none. */
export async function findExperiment(
  api: MlflowApi,
  name: string,
  signal: AbortSignal,
): Promise<Found<string>> {
  const byName = () => api.get('experiments/get-by-name', { experiment_name: name }, signal)
  let reply = await byName()
  if (isFault(reply, 'missing')) {
    const created = await api.post('experiments/create', { name }, signal)
    if (created.status === 'ok') return { found: String(created.json.experiment_id) }
    if (!isFault(created, 'exists')) return { refusal: refusalOf(created) }
    // Another run has made it meanwhile.
    reply = await byName()
  }
  if (reply.status !== 'ok') return { refusal: refusalOf(reply) }
  const experiment = reply.json.experiment as { experiment_id: string; lifecycle_stage: string }
  if (experiment.lifecycle_stage === 'active') return { found: experiment.experiment_id }
  const how = `'mlflow experiments restore -x ${experiment.experiment_id}'`
  return { refusal: gone(`the experiment '${name}' is deleted at MLflow; restore it with ${how}`) }
}

/** The runs of a nonce, in an order that never changes: one, or none yet, or more when a create came late. */
export async function findByNonce(
  api: MlflowApi,
  experimentId: string,
  nonce: string,
  signal: AbortSignal,
): Promise<Found<readonly RemoteRun[]>> {
  const runs = await searchByTag(api, experimentId, NONCE_TAG, nonce, signal)
  if ('refusal' in runs) return runs
  const active = runs.found.filter((run) => run.info.lifecycle_stage === 'active')
  if (active.length === 0 && runs.found.length > 0) return { refusal: deleted(runs.found[0]!.info.run_id) }
  return { found: active.map(toRemote).sort((a, b) => (a.runId < b.runId ? -1 : 1)) }
}

export async function createRun(
  api: MlflowApi,
  run: RunInfo,
  experimentId: string,
  parentId: string | undefined,
  signal: AbortSignal,
): Promise<ApiReply> {
  const name = fitText(run.name, MAX_RUN_NAME_CHARS)
  const tags: Record<string, string | undefined> = {
    [NONCE_TAG]: run.nonce,
    [RUN_TAG]: run.id,
    'tracelet.project': run.project,
    'tracelet.group': run.group,
    [PARENT_TAG]: parentId,
    'mlflow.user': run.user,
    'mlflow.runName': name,
    'mlflow.source.name': run.program,
    'mlflow.source.type': 'LOCAL',
  }
  const body = {
    experiment_id: experimentId,
    user_id: run.user ?? '',
    run_name: name,
    start_time: Math.floor(run.createdAt),
    tags: Object.entries(tags)
      .filter((tag): tag is [string, string] => Boolean(tag[1]))
      .map(([key, value]) => ({ key, value: fitText(value, MAX_TAG_CHARS) })),
  }
  return api.post('runs/create', body, signal)
}

/** The run as MLflow holds it; refused when it was deleted. */
export async function getRun(api: MlflowApi, runId: string, signal: AbortSignal): Promise<Found<RunJson>> {
  const reply = await api.get('runs/get', { run_id: runId }, signal)
  if (isFault(reply, 'missing')) return { refusal: deleted(runId) }
  if (reply.status !== 'ok') return { refusal: refusalOf(reply) }
  const run = reply.json.run as RunJson
  return run.info.lifecycle_stage === 'active' ? { found: run } : { refusal: deleted(runId) }
}

/** The id at MLflow of the run with our id `run`; undefined while it has not got there. */
export async function findParent(
  api: MlflowApi,
  experimentId: string,
  run: string,
  signal: AbortSignal,
): Promise<Found<string | undefined>> {
  const runs = await searchByTag(api, experimentId, RUN_TAG, run, signal)
  // An id that MLflow cannot search for is no reason to hold the child back.
  if ('refusal' in runs) {
    const cannot = runs.refusal.status === 'blocked' && runs.refusal.code === 'ERR_REFUSED'
    return cannot ? { found: undefined } : runs
  }
  return { found: runs.found.find(({ info }) => info.lifecycle_stage === 'active')?.info.run_id }
}

export function toRemote(run: RunJson): RemoteRun {
  const parentId = run.data?.tags?.find(({ key }) => key === PARENT_TAG)?.value
  const { run_id, experiment_id, artifact_uri = '' } = run.info
  return { runId: run_id, experimentId: experiment_id, parentId, artifactUri: artifact_uri }
}

export function deleted(runId: string): Refusal {
  return gone(
    `the run ${runId} is deleted at MLflow; restore it with 'mlflow runs restore --run-id ${runId}'`,
  )
}

/** The answer to a reply that a call cannot make sense of otherwise. */
export function refusalOf(reply: ApiReply): Refusal {
  if (reply.status === 'refused') return reply.refusal
  const reason = reply.status === 'fault' ? reply.reason : 'MLflow gave an unexpected answer'
  return { status: 'blocked', scope: 'run', code: 'ERR_REFUSED', reason }
}

/** The answer to a refused item: it goes, the rest does not. */
export function answerOf(reply: ApiReply): Refusal {
  if (reply.status === 'fault') return { status: 'split', code: 'ERR_REFUSED', reason: reply.reason }
  return refusalOf(reply)
}

export function isFault(reply: ApiReply, fault: 'missing' | 'invalid' | 'exists'): boolean {
  return reply.status === 'fault' && reply.fault === fault
}

async function searchByTag(
  api: MlflowApi,
  experimentId: string,
  tag: string,
  value: string,
  signal: AbortSignal,
): Promise<Found<readonly RunJson[]>> {
  const quote = value.includes("'") ? '"' : "'"
  const body = {
    experiment_ids: [experimentId],
    filter: `tags.\`${tag}\` = ${quote}${value}${quote}`,
    run_view_type: 'ALL',
    max_results: 10,
  }
  const reply = await api.post('runs/search', body, signal)
  if (reply.status !== 'ok') return { refusal: refusalOf(reply) }
  return { found: (reply.json.runs as RunJson[] | undefined) ?? [] }
}

function gone(reason: string): Refusal {
  return { status: 'blocked', scope: 'run', code: 'ERR_REMOTE_RUN_GONE', reason }
}
