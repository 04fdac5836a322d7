/** What a server keeps of artifacts: collections of versions, their manifests, and the bytes they share. */
import type { Manifest } from './artifact-manifest.ts'
import type { StandInRun } from './run.ts'
import { md5Of } from './storage.ts'

/** Of a version, in one collection: aliases belong to this. */
export interface Membership {
  readonly id: string
  readonly artifact: StandInArtifact
  readonly collection: StandInCollection
  /** N of `vN` here; a linked version has another number in each collection. */
  readonly versionIndex: number
  readonly aliases: Set<string>
  readonly createdAt: Date
}
/** What a test reads of one version, of the aliases and the number that it has in that collection. */
export interface StandInVersion {
  readonly id: string
  /** `v0`, …; undefined before it was committed */
  readonly version: string | undefined
  readonly digest: string
  readonly state: 'PENDING' | 'COMMITTED'
  /** As it was uploaded; undefined before. */
  readonly manifest: Manifest | undefined
  readonly aliases: readonly string[]
  readonly metadata: unknown
  readonly description: string | null
  readonly clientId: string
  readonly historyStep: number | null
  /** Path of the run that logged it. */
  readonly createdBy: string | undefined
  /** Paths of the runs that read it. */
  readonly usedBy: readonly string[]
}

export class StandInCollection {
  readonly id: string
  readonly entity: string
  readonly project: string
  readonly name: string
  readonly type: string
  /** A sequence has versions that were logged to it, a portfolio those that were linked. */
  readonly kind: 'sequence' | 'portfolio'
  readonly createdAt = new Date()
  /** Of `sequenceClientID`: names it where its own name is not known yet. */
  readonly clientIds = new Set<string>()
  readonly memberships: Membership[] = []
  readonly pending: StandInArtifact[] = []
  description: string | null = null

  constructor(id: string, path: CollectionPath, type: string, kind: 'sequence' | 'portfolio') {
    this.id = id
    this.entity = path.entity
    this.project = path.project
    this.name = path.name
    this.type = type
    this.kind = kind
  }

  get path(): string {
    return `${this.entity}/${this.project}/${this.name}`
  }

  /** The committed ones in order, then those under way. */
  get versions(): readonly StandInVersion[] {
    return [
      ...this.memberships.map((one) => viewOf(one.artifact, one)),
      ...this.pending.map((artifact) => viewOf(artifact, undefined)),
    ]
  }

  get latest(): Membership | undefined {
    return this.memberships.at(-1)
  }

  /** @param name an alias, `latest` or `vN` */
  find(name: string): Membership | undefined {
    return this.memberships.find(
      ({ aliases, versionIndex }) => aliases.has(name) || name === `v${versionIndex}`,
    )
  }

  /** An alias is on one version of a collection: it leaves the one that had it. */
  alias(membership: Membership, names: Iterable<string>): void {
    for (const name of names) {
      for (const { aliases } of this.memberships) aliases.delete(name)
      membership.aliases.add(name)
    }
  }

  /** Becomes the newest one, and `latest`. */
  add(id: string, artifact: StandInArtifact, aliases: Iterable<string>): Membership {
    const membership: Membership = {
      id,
      artifact,
      collection: this,
      versionIndex: (this.latest?.versionIndex ?? -1) + 1,
      aliases: new Set(),
      createdAt: new Date(),
    }
    this.memberships.push(membership)
    this.alias(membership, [...aliases, 'latest'])
    artifact.memberships.push(membership)
    return membership
  }
}

export interface ArtifactOptions {
  readonly digest: string
  readonly clientId: string
  readonly sequenceClientId: string
  readonly run: StandInRun | undefined
  readonly aliases: readonly string[]
  readonly metadata: string | null
  readonly description: string | null
  readonly historyStep: number | null
}

export class StandInArtifact {
  readonly id: string
  readonly collection: StandInCollection
  readonly digest: string
  readonly clientId: string
  readonly run: StandInRun | undefined
  readonly usedBy = new Set<StandInRun>()
  readonly historyStep: number | null
  readonly createdAt = new Date()
  /** In its own collection first, then where it was linked to. */
  readonly memberships: Membership[] = []
  readonly uploads = new Map<string, MultipartUpload>()
  /** Given when it is committed. */
  aliases: readonly string[]
  metadata: string | null
  description: string | null
  state: 'PENDING' | 'COMMITTED' = 'PENDING'
  manifestFile: ManifestFile | undefined
  manifest: Manifest | undefined

  constructor(id: string, collection: StandInCollection, options: ArtifactOptions) {
    this.id = id
    this.collection = collection
    this.digest = options.digest
    this.clientId = options.clientId
    this.run = options.run
    this.historyStep = options.historyStep
    this.aliases = options.aliases
    this.metadata = options.metadata
    this.description = options.description
  }
}

/** Its row, then its bytes, as they come. */
export interface ManifestFile {
  readonly id: string
  readonly artifact: StandInArtifact
  /** MD5 in Base64; '' before it is known. */
  digest: string
  bytes: Buffer | undefined
}
export interface MultipartUpload {
  readonly id: string
  readonly storagePath: string
  readonly md5: string
  /** By their number: from 1, without gaps. */
  readonly parts: Map<number, { readonly md5: string; bytes: Buffer | undefined }>
  isComplete: boolean
}
export interface CollectionPath {
  readonly entity: string
  readonly project: string
  readonly name: string
}
/** Bytes in the store; a light server keeps no content. */
export interface Blob {
  readonly md5: string
  readonly size: number
  readonly content: Buffer | undefined
}

export class ArtifactStore {
  /** By entity/project/collection. */
  readonly collections = new Map<string, StandInCollection>()
  readonly byId = new Map<string, StandInArtifact>()
  readonly manifests = new Map<string, ManifestFile>()
  /** By the artifact that they came with, and their MD5. */
  readonly #blobs = new Map<string, Blob>()
  readonly #byClientId = new Map<string, StandInArtifact>()
  readonly #isLight: boolean
  #count = 0

  constructor(isLight: boolean) {
    this.#isLight = isLight
  }

  /** As W&B's are: Base64 of a kind and a number. */
  nextId(kind: string): string {
    return Buffer.from(`${kind}:${++this.#count}`).toString('base64')
  }

  collection(path: CollectionPath): StandInCollection | undefined {
    return this.collections.get(`${path.entity}/${path.project}/${path.name}`)
  }

  makeCollection(path: CollectionPath, type: string, kind: 'sequence' | 'portfolio'): StandInCollection {
    const collection = new StandInCollection(this.nextId('ArtifactCollection'), path, type, kind)
    this.collections.set(collection.path, collection)
    return collection
  }

  of(entity: unknown, project: unknown): StandInCollection[] {
    return [...this.collections.values()].filter((one) => one.entity === entity && one.project === project)
  }

  byClientId(clientId: string): StandInArtifact | undefined {
    return this.#byClientId.get(clientId)
  }

  /** Of an artifact's client id, or a sequence's, whose newest version is meant. */
  serverIdOf(clientId: string): string | undefined {
    const found = this.#byClientId.get(clientId)
    if (found !== undefined) return found.id
    const sequence = [...this.collections.values()].find(({ clientIds }) => clientIds.has(clientId))
    return sequence?.latest?.artifact.id
  }

  create(collection: StandInCollection, options: ArtifactOptions): StandInArtifact {
    const artifact = new StandInArtifact(this.nextId('Artifact'), collection, options)
    collection.pending.push(artifact)
    collection.clientIds.add(options.sequenceClientId)
    this.byId.set(artifact.id, artifact)
    this.#byClientId.set(artifact.clientId, artifact)
    return artifact
  }

  manifestOf(artifact: StandInArtifact): ManifestFile {
    if (artifact.manifestFile === undefined) {
      const file = { id: this.nextId('Manifest'), artifact, digest: '', bytes: undefined }
      artifact.manifestFile = file
      this.manifests.set(file.id, file)
    }
    return artifact.manifestFile
  }

  commit(artifact: StandInArtifact, manifest: Manifest): Membership {
    const { collection } = artifact
    artifact.manifest = manifest
    artifact.state = 'COMMITTED'
    collection.pending.splice(collection.pending.indexOf(artifact), 1)
    return collection.add(this.nextId('ArtifactMembership'), artifact, artifact.aliases)
  }

  put(birthId: string, bytes: Buffer): void {
    const md5 = md5Of(bytes)
    const content = this.#isLight ? undefined : bytes
    this.#blobs.set(`${birthId} ${md5}`, { md5, size: bytes.length, content })
  }

  blob(birthId: string, md5: string): Blob | undefined {
    return this.#blobs.get(`${birthId} ${md5}`)
  }

  /** The artifact of the collection that brought these bytes, with whichever name. */
  birthOf(collection: StandInCollection, md5: string): string | undefined {
    const artifacts = [...collection.memberships.map(({ artifact }) => artifact), ...collection.pending]
    return artifacts.find(({ id }) => this.blob(id, md5) !== undefined)?.id
  }
}

function viewOf(artifact: StandInArtifact, membership: Membership | undefined): StandInVersion {
  return {
    id: artifact.id,
    version: membership && `v${membership.versionIndex}`,
    digest: artifact.digest,
    state: artifact.state,
    manifest: artifact.manifest,
    aliases: [...(membership?.aliases ?? [])],
    metadata: artifact.metadata === null ? null : JSON.parse(artifact.metadata),
    description: artifact.description,
    clientId: artifact.clientId,
    historyStep: artifact.historyStep,
    createdBy: artifact.run?.path,
    usedBy: [...artifact.usedBy].map(({ path }) => path),
  }
}
