/** Registered models: a version for a logged model, once, and the aliases that it takes over. */
import type { Refusal } from '../../http.ts'
import { queryText } from '../api.ts'
import { createOnce } from '../create-once.ts'
import { fitText, MAX_TAG_CHARS } from '../encode.ts'
import { isFault } from '../remote-run.ts'
import type { OpenedRun } from '../send-entries.ts'
import { modelAnswer, UPLOAD_TAG } from './logged-model.ts'
import { type ModelRecord, uploadTag } from './model.ts'
import type { Step, UploadContext } from './step.ts'

const ROUTE = '/api/2.0/mlflow/'
const MAX_DESCRIPTION_CHARS = 5000

export async function registerModel(
  record: ModelRecord,
  name: string,
  modelId: string,
  context: UploadContext,
  { upload, progress, signal }: Step,
): Promise<Refusal | undefined> {
  const { remote } = context
  const { api } = remote
  let { version } = progress.state
  if (version === undefined) {
    const registered = await api.post('registered-models/create', { name }, signal)
    if (registered.status !== 'ok' && !isFault(registered, 'exists'))
      return modelAnswer(registered, remote, signal)
    const made = await findOrCreateVersion(record, name, modelId, context, {
      tag: uploadTag(context, upload.seq),
      signal,
    })
    if ('status' in made) return made
    version = made.version
    progress.set({ version }, upload)
  }
  for (const alias of record.aliases ?? []) {
    const reply = await api.post('registered-models/alias', { name, alias, version }, signal)
    if (reply.status !== 'ok') return modelAnswer(reply, remote, signal)
  }
  return undefined
}

async function findOrCreateVersion(
  { description }: ModelRecord,
  name: string,
  modelId: string,
  { remote }: UploadContext,
  { tag, signal }: { readonly tag: string; readonly signal: AbortSignal },
): Promise<Version | Refusal> {
  const { api, runId } = remote
  const body = {
    name,
    source: `models:/${modelId}`,
    run_id: runId,
    model_id: modelId,
    ...(description && { description: fitText(description, MAX_DESCRIPTION_CHARS) }),
    tags: [{ key: UPLOAD_TAG, value: fitText(tag, MAX_TAG_CHARS) }],
  }
  return createOnce<Version>({
    mark: `version ${tag}`,
    find: () => findVersions(remote, tag, signal),
    create: () => api.post('model-versions/create', body, signal),
    made: (answer) => toVersion(answer.model_version as VersionJson),
    refusal: (reply) => modelAnswer(reply, remote, signal),
    remove: (late) => api.call('DELETE', `${ROUTE}model-versions/delete`, late, signal),
  })
}

interface Version {
  readonly name: string
  readonly version: string
}

interface VersionJson {
  readonly name: string
  readonly version: string | number
}

/** Those of a tag, the first made first. */
async function findVersions(
  remote: OpenedRun,
  tag: string,
  signal: AbortSignal,
): Promise<readonly Version[] | Refusal> {
  const filter = `run_id = '${remote.runId}' and tags.\`${UPLOAD_TAG}\` = '${tag}'`
  const query = queryText({ filter, max_results: 10 })
  const reply = await remote.api.call('GET', `${ROUTE}model-versions/search?${query}`, undefined, signal)
  if (reply.status !== 'ok') return modelAnswer(reply, remote, signal)
  const found = (reply.json.model_versions ?? []) as readonly VersionJson[]
  return found.map(toVersion).sort((a, b) => Number(a.version) - Number(b.version))
}

function toVersion({ name, version }: VersionJson): Version {
  return { name, version: String(version) }
}
