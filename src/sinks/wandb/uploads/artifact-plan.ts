/**
 * What is to become an artifact, and what W&B knows it by: names that it can have, identities that are the same again
 * after a crash, and the manifest. Pure; the digests are the SDK's (0.31.0), so that equal content is found there.
 */
import { createHash } from 'node:crypto'
import type { RunInfo } from '../../../core/types.ts'

export interface ArtifactPlan {
  /** As `collectionName` makes it. */
  readonly collection: string
  readonly type: string
  /** Without `latest`, which every version gets. */
  readonly aliases: readonly string[]
  readonly description?: string
  /** JSON text of an object. */
  readonly metadata?: string
  readonly clientId: string
  readonly sequenceClientId: string
  readonly historyStep?: number
  /** Each path once. */
  readonly files: readonly ArtifactFile[]
}

/** Bytes in a file, bytes at hand, or a reference to bytes that stay where they are. */
export type ArtifactFile =
  | { readonly path: string; readonly bytes: number; readonly location: string }
  | { readonly path: string; readonly content: Buffer }
  | { readonly path: string; readonly ref: string; readonly digest?: string; readonly bytes?: number }

/** The SDK's own limit of names of artifacts, types, projects (`NAME_MAXLEN`). */
export const MAX_NAME_CHARS = 128
const HASH_CHARS = 10
export const STORAGE_POLICY = 'wandb-storage-policy-v1'
export const STORAGE_LAYOUT = 'V2'
/** How an artifact's digest is made of its manifest. */
export const DIGEST_ALGORITHM = 'MANIFEST_MD5'
/** The manifest's own file. */
export const MANIFEST_NAME = 'wandb_manifest.json'

/**
 * 128 characters that stand for one artifact, or one collection, of this run and for nothing else: the SDK takes
 * random ones, which would be others after a crash.
 * @param place `seq:17`, `collection:name`
 */
export function clientIdOf({ nonce }: Pick<RunInfo, 'nonce'>, place: string): string {
  return createHash('sha512')
    .update(JSON.stringify([nonce, place]))
    .digest('hex')
}

/** A name as W&B's collections can have it, its own where it is one: two names never come to one. */
export function collectionName(name: string): string {
  if (/^[A-Za-z0-9_.-]+$/.test(name) && name.length <= MAX_NAME_CHARS) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARS)
  const readable = name
    .toWellFormed()
    .replace(/[^A-Za-z0-9_.-]/gu, '_')
    .slice(0, MAX_NAME_CHARS - HASH_CHARS - 1)
  return `${readable}-${hash}`
}

export interface Manifest {
  /** The text that is stored. */
  readonly manifest: string
  /** What the artifact is known by: 32 hexadecimal digits of an MD5. */
  readonly digest: string
}

/**
 * @param md5s Base64, by path; references need none
 * @param births ids of the artifacts that brought the bytes first, by path, as far as the server told
 */
export function manifestOf(
  { files }: Pick<ArtifactPlan, 'files'>,
  md5s: ReadonlyMap<string, string>,
  births: ReadonlyMap<string, string> = new Map(),
): Manifest {
  const contents: Record<string, unknown> = Object.create(null)
  const hash = createHash('md5').update('wandb-artifact-manifest-v1\n')
  for (const file of [...files].sort(byCodePoints)) {
    const { path } = file
    const digest = 'ref' in file ? (file.digest ?? file.ref) : md5s.get(path)
    if (digest === undefined) throw new Error(`no digest of '${path}'`)
    hash.update(`${path}:${digest}\n`)
    contents[path] = {
      digest,
      birthArtifactID: births.get(path) ?? null,
      ...('ref' in file && { ref: file.ref }),
      size: sizeOf(file),
    }
  }
  const manifest = JSON.stringify({
    version: 1,
    storagePolicy: STORAGE_POLICY,
    storagePolicyConfig: { storageLayout: STORAGE_LAYOUT },
    contents,
  })
  return { manifest, digest: hash.digest('hex') }
}

/** 0 for a reference to what nobody has measured. */
export function sizeOf(file: ArtifactFile): number {
  return 'content' in file ? file.content.length : (file.bytes ?? 0)
}

/** As Python sorts: by code points, not by their halves. */
function byCodePoints(a: { readonly path: string }, b: { readonly path: string }): number {
  return Buffer.compare(Buffer.from(a.path), Buffer.from(b.path))
}
