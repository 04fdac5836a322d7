/** What makes artifacts: created, filled, committed, used. What a correct sender never asks is a problem, and refused. */
import { digestOf, lackOf, type Manifest, readManifest } from './artifact-manifest.ts'
import type { ArtifactStore, CollectionPath, ManifestFile, StandInArtifact } from './artifact-store.ts'
import { type Answering, RefusedField } from './graphql.ts'
import type { StandInRun } from './run.ts'
import type { StoredFile } from './storage.ts'

export type Arguments = Readonly<Record<string, unknown>>
export interface ArtifactBackend {
  readonly store: ArtifactStore
  readonly problems: string[]
  readonly defaultEntity: string
  /** Whether an upload in parts that is asked for again is gone on with; else it begins anew. */
  readonly keepsMultipartUploads: boolean
  find(entity: unknown, project: unknown, run: unknown): StandInRun | undefined
  hasProject(entity: unknown, project: unknown): boolean
  /** Address of a file, good for a while. */
  signFile(file: StoredFile): string
  uploadHeadersOf(md5: string): readonly string[]
}
interface AliasInput {
  readonly alias: string
  readonly artifactCollectionName?: string | null
}

/** Documented for names of artifacts; the length is the server's column. */
const NAME = /^[a-zA-Z0-9_.-]{1,128}$/
const HEX_MD5 = /^[0-9a-f]{32}$/
const MANIFEST_NAME = 'wandb_manifest.json'

export class Artifacts {
  readonly #backend: ArtifactBackend
  readonly #store: ArtifactStore

  constructor(backend: ArtifactBackend) {
    this.#backend = backend
    this.#store = backend.store
  }

  /** By digest an existing version, by client id the same one again, else a new one. */
  create(input: Arguments): StandInArtifact {
    const { entityName, projectName, runName, digest, clientID, sequenceClientID } = input
    const names = input.artifactCollectionNames as readonly string[] | null | undefined
    const path: CollectionPath = {
      entity: String(entityName || this.#backend.defaultEntity),
      project: String(projectName),
      name: String(input.artifactCollectionName ?? names?.[0]),
    }
    const type = String(input.artifactTypeName)
    const run = runName == null ? undefined : this.#backend.find(entityName, projectName, runName)
    const refuse = (text: string): never => this.#refuse(run, `artifact ${path.name}: ${text}`)
    if (runName != null && run === undefined) refuse(`its run ${runName} is not there`)
    if (!NAME.test(path.name)) refuse('its name has what a name may not have')
    if (!NAME.test(type)) refuse(`its type ${type} has what a name may not have`)
    if (input.digestAlgorithm !== 'MANIFEST_MD5') refuse(`the digest algorithm ${input.digestAlgorithm}`)
    if (typeof digest !== 'string' || !HEX_MD5.test(digest)) refuse('its digest is no MD5 in hex')
    if (typeof clientID !== 'string' || clientID === '') refuse('it has no client id')
    if (typeof sequenceClientID !== 'string' || sequenceClientID === '')
      refuse('it has no sequence client id')
    if (clientID === sequenceClientID) refuse('it has one id for itself and for its sequence')
    const aliases = ((input.aliases ?? []) as readonly AliasInput[]).map((one) => {
      if (one.artifactCollectionName !== path.name) refuse(`an alias names ${one.artifactCollectionName}`)
      if (/^v\d+$/.test(one.alias) || /[/:]/.test(one.alias) || one.alias === '') refuse(`alias ${one.alias}`)
      return one.alias
    })
    const metadata = input.metadata == null ? null : String(input.metadata)
    if (metadata !== null && !isJsonObject(metadata)) refuse('its metadata is no JSON object')
    let collection = this.#store.collection(path)
    if (collection?.kind === 'portfolio') refuse('a portfolio has this name')
    if (collection !== undefined && collection.type !== type) {
      refuse(`its type is ${type}, that of its collection ${collection.type}`)
    }
    const same = this.#store.byClientId(String(clientID))
    if (same !== undefined) {
      if (same.digest !== digest || same.collection !== collection) refuse('its client id is that of another')
      return same
    }
    collection ??= this.#store.makeCollection(path, type, 'sequence')
    if (input.enableDigestDeduplication === true) {
      const found = collection.memberships.find(({ artifact }) => artifact.digest === digest)
      if (found !== undefined) {
        collection.alias(found, aliases)
        return found.artifact
      }
    }
    return this.#store.create(collection, {
      digest: String(digest),
      clientId: String(clientID),
      sequenceClientId: String(sequenceClientID),
      run,
      aliases,
      metadata,
      description: input.description == null ? null : String(input.description),
      historyStep: input.historyStep == null ? null : Number(input.historyStep),
    })
  }

  createManifest(input: Arguments): ManifestFile {
    const artifact = this.pending(input.artifactID)
    const { run } = artifact
    if (input.name !== MANIFEST_NAME || input.type !== 'FULL') {
      this.refuse(artifact, `a manifest ${input.name} of the type ${input.type}`)
    }
    const isOfRun =
      run === undefined || this.#backend.find(input.entityName, input.projectName, input.runName) === run
    if (!isOfRun) this.refuse(artifact, `its manifest is said to be of the run ${input.runName}`)
    const base = input.baseArtifactID
    if (base != null && this.#store.byId.get(String(base))?.collection !== artifact.collection) {
      this.refuse(artifact, `its base ${base} is no version of its collection`)
    }
    return this.#state(this.#store.manifestOf(artifact), input.digest)
  }

  updateManifest({ artifactManifestID, digest }: Arguments): ManifestFile {
    const manifest = this.#store.manifests.get(String(artifactManifestID))
    if (manifest === undefined) return this.#refuse(undefined, `no manifest ${artifactManifestID}`)
    this.pending(manifest.artifact.id)
    return this.#state(manifest, digest)
  }

  /** Again of one that is committed: nothing happens. */
  commit({ artifactID }: Arguments): StandInArtifact {
    const artifact = this.find(artifactID)
    if (artifact.state === 'COMMITTED') return artifact
    const bytes = artifact.manifestFile?.bytes
    if (bytes === undefined) return this.refuse(artifact, 'its manifest has not come')
    let manifest: Manifest
    try {
      manifest = readManifest(bytes)
    } catch (error) {
      return this.refuse(artifact, (error as Error).message)
    }
    const lack = lackOf(manifest, (birthId, md5) => this.#store.blob(birthId, md5))
    if (lack !== undefined) return this.refuse(artifact, lack)
    const digest = digestOf(manifest)
    if (digest !== artifact.digest) {
      return this.refuse(artifact, `its digest is ${artifact.digest}, its manifest comes to ${digest}`)
    }
    this.#store.commit(artifact, manifest)
    return artifact
  }

  use(input: Arguments): StandInArtifact {
    const { artifactID, entityName, projectName, runName } = input
    const artifact = this.find(artifactID)
    const run = this.#backend.find(entityName, projectName, runName)
    if (run === undefined)
      return this.#refuse(undefined, `the run ${runName} that uses an artifact is not there`)
    if (artifact.state !== 'COMMITTED') return this.refuse(artifact, 'it is used before it is committed')
    artifact.usedBy.add(run)
    return artifact
  }

  update(input: Arguments): StandInArtifact {
    const artifact = this.find(input.artifactID)
    if (input.metadata != null) {
      if (!isJsonObject(String(input.metadata))) this.refuse(artifact, 'its metadata is no JSON object')
      artifact.metadata = String(input.metadata)
    }
    if (input.description != null) artifact.description = String(input.description)
    return artifact
  }

  /** Each alias leaves the version of that collection that had it. */
  addAliases(input: Arguments): Answering {
    for (const { membership, alias } of this.#aliased(input)) membership.collection.alias(membership, [alias])
    return { __typename: 'AddAliasesPayload', success: true }
  }

  deleteAliases(input: Arguments): Answering {
    for (const { membership, alias } of this.#aliased(input)) membership.aliases.delete(alias)
    return { __typename: 'DeleteAliasesPayload', success: true }
  }

  find(id: unknown): StandInArtifact {
    const artifact = this.#store.byId.get(String(id))
    return artifact ?? this.#refuse(undefined, `no artifact ${id}`)
  }

  pending(id: unknown): StandInArtifact {
    const artifact = this.find(id)
    if (artifact.state === 'COMMITTED') this.refuse(artifact, 'it is committed, and changed')
    return artifact
  }

  refuse(artifact: StandInArtifact, text: string): never {
    return this.#refuse(artifact.run, `artifact ${artifact.collection.name}: ${text}`)
  }

  manifestTarget(manifest: ManifestFile): StoredFile {
    const { run } = manifest.artifact
    return {
      run: run?.path ?? '',
      problems: run?.problems ?? this.#backend.problems,
      path: `artifacts/${manifest.artifact.collection.name}/${MANIFEST_NAME}`,
      md5: manifest.digest,
      put: (bytes) => {
        manifest.bytes = bytes
      },
    }
  }

  *#aliased({ artifactID, aliases }: Arguments) {
    const artifact = this.find(artifactID)
    for (const one of aliases as readonly (AliasInput & Arguments)[]) {
      const { entityName, projectName, artifactCollectionName, alias } = one
      const path = `${entityName}/${projectName}/${artifactCollectionName}`
      const membership = artifact.memberships.find(({ collection }) => collection.path === path)
      if (membership === undefined) this.refuse(artifact, `it is not in ${path}, where it is to be ${alias}`)
      else yield { membership, alias }
    }
  }

  #state(manifest: ManifestFile, digest: unknown): ManifestFile {
    const md5 = String(digest ?? '')
    if (md5 !== manifest.digest) manifest.bytes = undefined
    manifest.digest = md5
    return manifest
  }

  #refuse(run: StandInRun | undefined, text: string): never {
    ;(run?.problems ?? this.#backend.problems).push(text)
    throw new RefusedField(text)
  }
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
