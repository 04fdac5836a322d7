/** Manifests: their form, the digest that they come to, and whether the store has what they list. */
import { createHash } from 'node:crypto'
import type { Blob } from './artifact-store.ts'

export interface ManifestEntry {
  /** MD5 in Base64; of a reference what its maker found fit. */
  readonly digest: string
  readonly size?: number
  /** Elsewhere: nothing of it is in the store. */
  readonly ref?: string
  readonly birthArtifactID?: string
  readonly extra?: Readonly<Record<string, unknown>>
}
export interface Manifest {
  readonly version: number
  readonly storagePolicy: string
  readonly storagePolicyConfig: { readonly storageLayout?: string }
  /** By path. */
  readonly contents: Readonly<Record<string, ManifestEntry>>
}

/** @throws Error with what is wrong with it */
export function readManifest(bytes: Buffer): Manifest {
  let manifest: Manifest
  try {
    manifest = JSON.parse(bytes.toString()) as Manifest
  } catch {
    throw new Error('the manifest is no JSON')
  }
  const { version, storagePolicy, storagePolicyConfig, contents } = manifest
  if (version !== 1) throw new Error(`the manifest has the version ${version}`)
  if (storagePolicy !== 'wandb-storage-policy-v1') {
    throw new Error(`the manifest has the storage policy ${storagePolicy}`)
  }
  if (storagePolicyConfig?.storageLayout !== 'V2')
    throw new Error('the manifest has not the storage layout V2')
  if (typeof contents !== 'object' || contents === null) throw new Error('the manifest has no contents')
  for (const [path, entry] of Object.entries(contents)) {
    if (typeof entry?.digest !== 'string' || entry.digest === '') throw new Error(`${path} has no digest`)
    if (path.startsWith('/') || path.split('/').includes('..')) throw new Error(`${path} leaves the artifact`)
  }
  return manifest
}

/** Hex MD5 over a head line and `path:digest` lines in the order of the paths' code points. */
export function digestOf({ contents }: Pick<Manifest, 'contents'>): string {
  const hash = createHash('md5').update('wandb-artifact-manifest-v1\n')
  const paths = Object.keys(contents).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  for (const path of paths) hash.update(`${path}:${contents[path]!.digest}\n`)
  return hash.digest('hex')
}

/** @returns what the store lacks of the manifest, or has otherwise */
export function lackOf(
  { contents }: Manifest,
  blobOf: (birthId: string, md5: string) => Blob | undefined,
): string | undefined {
  for (const [path, { digest, size, ref, birthArtifactID }] of Object.entries(contents)) {
    if (ref !== undefined) continue
    if (birthArtifactID === undefined) return `${path} names no artifact that its bytes came with`
    const blob = blobOf(birthArtifactID, digest)
    if (blob === undefined) return `${path}: no bytes with the MD5 ${digest} came with that artifact`
    if (blob.size !== size) return `${path}: ${blob.size} bytes came, and the manifest says ${size}`
  }
  return undefined
}

/** Of all that it lists, in bytes. */
export function sizeOf({ contents }: Manifest): number {
  return Object.values(contents).reduce((sum, { size = 0 }) => sum + size, 0)
}
