/** The one run at MLflow that a sink writes to: reopened, found or made, and put below its parent. */
import type { RunInfo } from '../../core/types.ts'
import type { MlflowApi } from './api.ts'
import { createOnce } from './create-once.ts'
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
  type RunJson,
  refusalOf,
  toRemote,
} from './remote-run.ts'

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
  const parent = run.parent && (await findParent(api, experiment.found, run.parent, signal))
  if (parent && 'refusal' in parent) return parent
  const parentId = parent ? parent.found : undefined
  const made = await createOnce<RemoteRun>({
    mark: `run ${run.nonce}`,
    find: async () => {
      const runs = await findByNonce(api, experiment.found, run.nonce, signal)
      return 'refusal' in runs ? runs.refusal : runs.found
    },
    create: () => createRun(api, run, experiment.found, parentId, signal),
    made: (answer) => ({ ...toRemote(answer.run as RunJson), parentId }),
    refusal: refusalOf,
    remove: ({ runId }) => api.post('runs/delete', { run_id: runId }, signal),
  })
  return 'status' in made ? { refusal: made } : { found: made }
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
