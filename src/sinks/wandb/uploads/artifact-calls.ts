/**
 * What is asked of W&B for artifacts, each call once, as the SDK (0.31.0) asks it.
 *
 * What is refused here is about the artifact: it must not stop what else the run has to send, and does not get better
 * by being sent again. So only what a server says of the account, or of the run as such, stays what it is.
 */
import type { Refusal } from '../../http.ts'
import type { Answered, RemoteRun, WandbApi } from '../api.ts'
import { type ArtifactPlan, DIGEST_ALGORITHM, MANIFEST_NAME, STORAGE_LAYOUT } from './artifact-plan.ts'

export interface ArtifactCallParts {
  readonly api: WandbApi
  readonly remote: RemoteRun
}

/** 'DELETED' is what old servers say of one that is made again. */
export type ArtifactState = 'PENDING' | 'COMMITTED' | 'DELETED'
export interface CreatedArtifact {
  readonly id: string
  readonly state: ArtifactState
  /** The version before it. */
  readonly base: string | undefined
}
export interface FileSpec {
  readonly name: string
  readonly md5: string
  /** MD5s of its parts, hexadecimal. */
  readonly parts: readonly string[] | undefined
}
/** What is known of where a file goes. `birth`: the artifact that brought, or brings, the bytes. */
export interface FileNode {
  readonly storagePath: string | null
  readonly uploadUrl: string | null
  readonly uploadHeaders: readonly string[] | null
  readonly uploadMultipartUrls: {
    readonly uploadID: string
    readonly uploadUrlParts: readonly PartUrl[]
  } | null
  readonly artifact: { readonly id: string } | null
}
export interface PartUrl {
  readonly partNumber: number
  readonly uploadUrl: string
}
/** `hexMD5`: of a part that is there, what the store calls it. */
export interface PartInput {
  readonly partNumber: number
  readonly hexMD5: string
}

/**
 * @param read what was asked for, of the answer; nothing where it lacks that
 * @param mayLack it asks for something that may not be there: 404 says so, and not that the run is gone
 */
export async function ask<T, R>(
  { api }: Pick<ArtifactCallParts, 'api'>,
  operation: string,
  query: string,
  variables: object,
  read: (data: T) => R | null | undefined,
  signal: AbortSignal,
  mayLack = false,
): Promise<{ readonly found: R } | Refusal> {
  const answer = await api.graphql<T>(operation, query, variables, signal)
  if ('refusal' in answer) return ofItem(answer, mayLack)
  const found = read(answer.data)
  if (found !== undefined && found !== null) return { found }
  return {
    status: 'retry',
    code: 'ERR_SERVER',
    reason: `W&B's answer to ${operation} lacks what was asked for`,
  }
}

/** Of HTTP, what W&B says of one item: 403 is permission, 409 what contradicts itself. */
const OF_ITEM: ReadonlySet<number> = new Set([200, 400, 403, 409, 422])

function ofItem(
  { refusal, code = 0 }: Extract<Answered<unknown>, { refusal: Refusal }>,
  mayLack: boolean,
): Refusal {
  if (refusal.status !== 'blocked' || refusal.scope !== 'run') return refusal
  const { reason } = refusal
  if (mayLack && code === 404) return { status: 'split', code: 'ERR_REFUSED', reason }
  return OF_ITEM.has(code) ? { status: 'split', code: refusal.code, reason } : refusal
}

// ── an artifact ──────────────────────────────────────────────────────────────────────────────────────

const CREATE_ARTIFACT = `mutation CreateArtifact($input: CreateArtifactInput!) {
  createArtifact(input: $input) { artifact { id state artifactSequence { latestArtifact { id } } } }
}`

interface CreateArtifactData {
  readonly createArtifact: {
    readonly artifact: {
      readonly id: string
      readonly state: ArtifactState
      readonly artifactSequence: { readonly latestArtifact: { readonly id: string } | null } | null
    } | null
  } | null
}

export function createArtifact(
  parts: ArtifactCallParts,
  plan: ArtifactPlan,
  digest: string,
  signal: AbortSignal,
): Promise<{ readonly found: CreatedArtifact } | Refusal> {
  const { entity, project, run } = parts.remote
  const input = {
    entityName: entity,
    projectName: project,
    runName: run,
    artifactTypeName: plan.type,
    artifactCollectionName: plan.collection,
    digest,
    digestAlgorithm: DIGEST_ALGORITHM,
    description: plan.description ?? null,
    metadata: plan.metadata ?? null,
    aliases: [...new Set([...plan.aliases, 'latest'])].map((alias) => ({
      artifactCollectionName: plan.collection,
      alias,
    })),
    historyStep: plan.historyStep ?? null,
    clientID: plan.clientId,
    sequenceClientID: plan.sequenceClientId,
    enableDigestDeduplication: true,
  }
  const read = ({ createArtifact: payload }: CreateArtifactData): CreatedArtifact | undefined => {
    const made = payload?.artifact
    return made
      ? { id: made.id, state: made.state, base: made.artifactSequence?.latestArtifact?.id ?? undefined }
      : undefined
  }
  return ask(parts, 'CreateArtifact', CREATE_ARTIFACT, { input }, read, signal)
}

const ARTIFACT_BY_ID = 'query ArtifactByID($id: ID!) { artifact(id: $id) { id state } }'

/** 'gone' where W&B knows none of this id. */
export function artifactState(
  parts: ArtifactCallParts,
  id: string,
  signal: AbortSignal,
): Promise<{ readonly found: ArtifactState | 'gone' } | Refusal> {
  const read = (data: { readonly artifact?: { readonly state: ArtifactState } | null }) =>
    data.artifact === undefined ? undefined : (data.artifact?.state ?? 'gone')
  return ask(parts, 'ArtifactByID', ARTIFACT_BY_ID, { id }, read, signal, true)
}

const COMMIT_ARTIFACT = `mutation CommitArtifact($artifactID: ID!) {
  commitArtifact(input: {artifactID: $artifactID}) { artifact { id digest } }
}`

export function commitArtifact(
  parts: ArtifactCallParts,
  id: string,
  signal: AbortSignal,
): Promise<{ readonly found: string } | Refusal> {
  const read = (data: {
    readonly commitArtifact: { readonly artifact: { readonly id: string } | null } | null
  }) => data.commitArtifact?.artifact?.id
  return ask(parts, 'CommitArtifact', COMMIT_ARTIFACT, { artifactID: id }, read, signal)
}

// ── its manifest ─────────────────────────────────────────────────────────────────────────────────────

const CREATE_MANIFEST = `mutation CreateArtifactManifest($artifactID: ID!, $baseArtifactID: ID, $name: String!, $digest: String!, $entityName: String!, $projectName: String!, $runName: String!, $manifestType: ArtifactManifestType!, $includeUpload: Boolean!) {
  createArtifactManifest(input: {artifactID: $artifactID, baseArtifactID: $baseArtifactID, name: $name, digest: $digest, entityName: $entityName, projectName: $projectName, runName: $runName, type: $manifestType}) {
    artifactManifest { id file { id uploadUrl @include(if: $includeUpload) uploadHeaders @include(if: $includeUpload) } }
  }
}`

export interface CreatedManifest {
  readonly id: string
  readonly file?: {
    readonly uploadUrl?: string | null
    readonly uploadHeaders?: readonly string[] | null
  } | null
}

/** @param md5 Base64, of the manifest that is to be put; undefined for its id alone */
export function createManifest(
  parts: ArtifactCallParts,
  ids: { readonly artifact: string; readonly base: string | undefined },
  md5: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly found: CreatedManifest } | Refusal> {
  const { entity, project, run } = parts.remote
  const variables = {
    artifactID: ids.artifact,
    baseArtifactID: ids.base ?? null,
    name: MANIFEST_NAME,
    digest: md5 ?? '',
    entityName: entity,
    projectName: project,
    runName: run,
    manifestType: 'FULL',
    includeUpload: md5 !== undefined,
  }
  const read = (data: {
    readonly createArtifactManifest: { readonly artifactManifest: CreatedManifest | null } | null
  }) => data.createArtifactManifest?.artifactManifest
  return ask(parts, 'CreateArtifactManifest', CREATE_MANIFEST, variables, read, signal)
}

// ── its files ────────────────────────────────────────────────────────────────────────────────────────

const CREATE_FILES = `mutation CreateArtifactFiles($input: CreateArtifactFilesInput!) {
  createArtifactFiles(input: $input) { files { edges { node {
    storagePath uploadUrl uploadHeaders uploadMultipartUrls { uploadID uploadUrlParts { partNumber uploadUrl } }
    artifact { id }
  } } } }
}`

/** Where each of some files goes, in their order. */
export async function createFiles(
  parts: ArtifactCallParts,
  ids: { readonly artifact: string; readonly manifest: string },
  files: readonly FileSpec[],
  signal: AbortSignal,
): Promise<{ readonly found: readonly FileNode[] } | Refusal> {
  const artifactFiles = files.map((file) => ({
    artifactID: ids.artifact,
    artifactManifestID: ids.manifest,
    name: file.name,
    md5: file.md5,
    ...(file.parts && {
      uploadPartsInput: file.parts.map((hexMD5, at) => ({ partNumber: at + 1, hexMD5 })),
    }),
  }))
  const read = (data: {
    readonly createArtifactFiles: {
      readonly files: { readonly edges: readonly { readonly node: FileNode | null }[] } | null
    } | null
  }) => {
    const nodes = data.createArtifactFiles?.files?.edges.flatMap(({ node }) => node ?? [])
    return nodes?.length === files.length ? nodes : undefined
  }
  const input = { artifactFiles, storageLayout: STORAGE_LAYOUT }
  return ask(parts, 'CreateArtifactFiles', CREATE_FILES, { input }, read, signal)
}

// ── parts of a large file ────────────────────────────────────────────────────────────────────────────

export interface PartsPlace {
  readonly artifact: string
  readonly uploadId: string
  readonly storagePath: string
}

const REFRESH_PARTS = `mutation RefreshMultipartUploadUrls($artifactID: ID!, $uploadID: String!, $storagePath: String!, $uploadPartsInput: [UploadPartsInput!]!) {
  refreshMultipartUploadUrls(input: {artifactID: $artifactID, uploadID: $uploadID, storagePath: $storagePath, uploadPartsInput: $uploadPartsInput}) {
    uploadUrlParts { partNumber uploadUrl }
  }
}`

export function refreshParts(
  parts: ArtifactCallParts,
  { artifact, uploadId, storagePath }: PartsPlace,
  uploadPartsInput: readonly PartInput[],
  signal: AbortSignal,
): Promise<{ readonly found: readonly PartUrl[] } | Refusal> {
  const variables = { artifactID: artifact, uploadID: uploadId, storagePath, uploadPartsInput }
  const read = (data: {
    readonly refreshMultipartUploadUrls: { readonly uploadUrlParts: readonly PartUrl[] | null } | null
  }) => data.refreshMultipartUploadUrls?.uploadUrlParts
  return ask(parts, 'RefreshMultipartUploadUrls', REFRESH_PARTS, variables, read, signal)
}

const COMPLETE_PARTS = `mutation CompleteMultipartUploadArtifact($completeMultipartAction: CompleteMultipartAction!, $completedParts: [UploadPartsInput!]!, $artifactID: ID!, $storagePath: String!, $uploadID: String!) {
  completeMultipartUploadArtifact(input: {completeMultipartAction: $completeMultipartAction, completedParts: $completedParts, artifactID: $artifactID, storagePath: $storagePath, uploadID: $uploadID}) {
    digest
  }
}`

export function completeParts(
  parts: ArtifactCallParts,
  { artifact, uploadId, storagePath }: PartsPlace,
  completedParts: readonly PartInput[],
  signal: AbortSignal,
): Promise<{ readonly found: object } | Refusal> {
  const variables = {
    completeMultipartAction: 'Complete',
    completedParts,
    artifactID: artifact,
    storagePath,
    uploadID: uploadId,
  }
  const read = (data: { readonly completeMultipartUploadArtifact: object | null }) =>
    data.completeMultipartUploadArtifact
  return ask(parts, 'CompleteMultipartUploadArtifact', COMPLETE_PARTS, variables, read, signal)
}
