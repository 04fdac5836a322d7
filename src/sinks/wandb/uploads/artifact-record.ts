/** Artifacts and models: what W&B is told of a record, its files, and the end, in which a model is registered. */
import { blobPath } from '../../../core/blob-path.ts'
import type { Rejection, RunInfo, RunRecord, StoredFile, Upload, WriteResult } from '../../../core/types.ts'
import { type Notices, shown } from '../../notices.ts'
import { type ArtifactFile, type ArtifactPlan, clientIdOf, collectionName } from './artifact-plan.ts'
import type { ArtifactUpload } from './artifact-upload.ts'
import type { Organizations } from './organizations.ts'
import { register } from './registry.ts'

export type ArtifactRecord = Extract<RunRecord, { kind: 'artifact' | 'model' }>
type Tell = Notices['tell']

/** One step of a record: its files go out in any order, what is left comes last. */
export async function uploadArtifact(
  record: ArtifactRecord,
  artifact: ArtifactUpload,
  organizations: Organizations,
  upload: Upload,
  signal: AbortSignal,
): Promise<WriteResult> {
  const step = { signal, keep: upload.keep, sent: upload.sent }
  if (upload.file !== undefined) {
    return (await artifact.file(upload.file.index, step)) ?? { status: 'accepted' }
  }
  const done = await artifact.finish(step)
  if ('status' in done) return done
  const { kept, refused } = sortAliases(record.aliases ?? [])
  const rejected = [...refused]
  if (record.kind === 'model' && record.register !== undefined) {
    const link = await register(organizations, record.register, done.artifact, kept, signal)
    if (link?.status === 'split') rejected.push({ index: 0, code: link.code, reason: link.reason })
    else if (link !== undefined) return link
  }
  return rejected.length === 0 ? { status: 'accepted' } : { status: 'partial', rejected }
}

export function planOf(
  record: ArtifactRecord,
  { seq, files }: Pick<Upload, 'seq' | 'files'>,
  run: Pick<RunInfo, 'nonce' | 'folder'>,
  tell: Tell,
): ArtifactPlan {
  const collection = named('name', record.name, tell)
  const step = record.kind === 'model' ? record.step : undefined
  return {
    collection,
    type: record.kind === 'model' ? 'model' : named('type', record.type, tell),
    aliases: sortAliases(record.aliases ?? []).kept,
    ...(record.description !== undefined && { description: record.description }),
    ...(record.metadata !== undefined && { metadata: record.metadata }),
    clientId: clientIdOf(run, `seq:${seq}`),
    sequenceClientId: clientIdOf(run, `collection:${collection}`),
    ...(step !== undefined && step >= 0 && { historyStep: step }),
    files: files.map((file) => fileOf(file, run.folder)),
  }
}

function fileOf(file: StoredFile, folder: string): ArtifactFile {
  const { path } = file
  if ('blob' in file) return { path, bytes: file.blob.bytes, location: blobPath(folder, file.blob.digest) }
  const { uri, bytes, digest } = file
  return { path, ref: uri, ...(bytes !== undefined && { bytes }), ...(digest !== undefined && { digest }) }
}

function named(what: 'name' | 'type', given: string, tell: Tell): string {
  const name = collectionName(given)
  if (name !== given)
    tell(`artifact ${what}`, `W&B has no artifact ${what} '${shown(given)}': stored as '${name}'`)
  return name
}

/** What W&B refuses would cost the artifact: it goes without. */
export function sortAliases(aliases: readonly string[]): {
  readonly kept: readonly string[]
  readonly refused: readonly Rejection[]
} {
  const refused = aliases.flatMap((alias, index): Rejection[] => {
    const why = faultOf(alias)
    return why === undefined
      ? []
      : [{ index, code: 'ERR_REFUSED', reason: `W&B has no alias '${shown(alias)}': ${why}` }]
  })
  const bad = new Set(refused.map(({ index }) => index))
  return { kept: [...new Set(aliases.filter((_, index) => !bad.has(index)))], refused }
}

function faultOf(alias: string): string | undefined {
  if (alias.trim() === '') return 'it is empty'
  if (/[/:]/.test(alias)) return "it may have neither '/' nor ':'"
  return /^v\d+$/.test(alias) ? 'v and a number are the versions themselves' : undefined
}
