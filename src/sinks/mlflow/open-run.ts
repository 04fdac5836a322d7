/** The one run at MLflow that a sink writes to: reopened, found or made, and put below its parent. */
import type { RunInfo } from '../../core/types.ts'
import type { MlflowApi } from './api.ts'
import { encodeEntries } from './encode.ts'
import {
  createRun,
  type Found,
  findByNonce,
  findExperiment,
  findParent,
  getRun,
  PARENT_TAG,
  type RemoteRun,
  toRemote,
} from './remote-run.ts'

/** Nonces whose create may be carried out late. Outlives a sink, which is made anew for each attempt to open. */
const unclearCreates = new Set<string>()

export async function reopenRun(
  api: MlflowApi,
  runId: string,
  signal: AbortSignal,
): Promise<Found<RemoteRun>> {
  const run = await getRun(api, runId, signal)
  return 'refusal' in run ? run : { found: toRemote(run.found) }
}

export async function findOrCreateRun(
  api: MlflowApi,
  run: RunInfo,
  experimentName: string,
  signal: AbortSignal,
): Promise<Found<RemoteRun>> {
  const experiment = await findExperiment(api, experimentName, signal)
  if ('refusal' in experiment) return experiment
  const existing = await findByNonce(api, experiment.found, run.nonce, signal)
  if ('refusal' in existing) return existing
  if (existing.found[0]) return { found: existing.found[0] }
  const parent = run.parent && (await findParent(api, experiment.found, run.parent, signal))
  if (parent && 'refusal' in parent) return parent
  const created = await createRun(api, run, experiment.found, parent ? parent.found : undefined, signal)
  if ('refusal' in created) {
    if (created.unclear) unclearCreates.add(run.nonce)
    return created
  }
  if (!unclearCreates.has(run.nonce)) return created
  // The earlier create may have been carried out late: one run stays, empty ones beside it go.
  const settled = await findByNonce(api, experiment.found, run.nonce, signal)
  if ('refusal' in settled) return settled
  const [kept = created.found, ...late] = settled.found
  for (const { runId } of late) await api.post('runs/delete', { run_id: runId }, signal)
  unclearCreates.delete(run.nonce)
  return { found: kept }
}

/**
 * Nested runs: MLflow knows a parent by a tag with the parent's id there. The parent may come to MLflow after its
 * child, so this is tried again with every record of state.
 * @returns the run as it stands then
 */
export async function linkParent(
  api: MlflowApi,
  remote: RemoteRun,
  parent: string | undefined,
  signal: AbortSignal,
): Promise<Found<RemoteRun>> {
  if (parent === undefined || remote.parentId !== undefined) return { found: remote }
  const found = await findParent(api, remote.experimentId, parent, signal)
  if ('refusal' in found) return found
  if (found.found === undefined) return { found: remote }
  const tag = { index: 0, key: PARENT_TAG, value: found.found }
  const reply = await api.post('runs/log-batch', encodeEntries(remote.runId, 'tags', [tag]), signal)
  if (reply.status === 'refused') return { refusal: reply.refusal }
  return { found: reply.status === 'ok' ? { ...remote, parentId: found.found } : remote }
}
