/** What the official reader asks of artifacts, their collections and their files. */
import { sizeOf } from './artifact-manifest.ts'
import type { Arguments, ArtifactBackend } from './artifact-mutations.ts'
import type { Membership, StandInArtifact, StandInCollection } from './artifact-store.ts'
import { connection, filtered } from './connection.ts'
import { type Answering, RefusedField } from './graphql.ts'
import type { StandInRun } from './run.ts'

export interface FieldsBackend extends ArtifactBackend {
  /** One of a project's own. */
  projectNumber(entity: string, project: string): number
  runFields(run: StandInRun): Answering
}

export function artifactOf(backend: FieldsBackend, artifact: StandInArtifact): Answering {
  const { collection, manifest, run } = artifact
  const own = artifact.memberships.find((one) => one.collection === collection)
  return {
    __typename: 'Artifact',
    id: artifact.id,
    artifactSequence: () => collectionOf(backend, collection),
    versionIndex: own?.versionIndex ?? null,
    artifactType: { __typename: 'ArtifactType', name: collection.type },
    description: artifact.description,
    metadata: artifact.metadata,
    ttlDurationSeconds: -2,
    ttlIsInherited: true,
    tags: [],
    historyStep: artifact.historyStep,
    state: artifact.state,
    size: manifest ? sizeOf(manifest) : 0,
    digest: artifact.digest,
    digestAlgorithm: 'MANIFEST_MD5',
    commitHash: artifact.digest.slice(0, 20),
    fileCount: manifest ? Object.keys(manifest.contents).length : 0,
    createdAt: artifact.createdAt.toISOString(),
    updatedAt: null,
    aliases: () => artifact.memberships.flatMap((one) => aliasesOf(backend, one)),
    createdBy: () => run && backend.runFields(run),
    usedBy: () => connection([...artifact.usedBy], {}, (one) => backend.runFields(one)),
    artifactMemberships: () => connection(artifact.memberships, {}, (one) => membershipOf(backend, one)),
    currentManifest: () => ({
      __typename: 'ArtifactManifest',
      id: artifact.manifestFile?.id ?? null,
      file: {
        __typename: 'File',
        directUrl: signRead(backend, artifact, 'wandb_manifest.json', () => artifact.manifestFile?.bytes),
      },
    }),
    files: (args: Arguments) => filesOf(backend, artifact, args),
    filesByManifestEntries: ({ entries }: Arguments) => {
      const names = (entries as readonly { name: string }[]).map(({ name }) => name)
      return filesOf(backend, artifact, { names, first: names.length })
    },
  }
}

export function membershipOf(backend: FieldsBackend, membership: Membership): Answering {
  const { id, versionIndex, createdAt, collection, artifact } = membership
  return {
    __typename: 'ArtifactCollectionMembership',
    id,
    versionIndex,
    createdAt: createdAt.toISOString(),
    aliases: () => aliasesOf(backend, membership),
    artifactCollection: () => collectionOf(backend, collection),
    artifact: () => artifactOf(backend, artifact),
    files: (args: Arguments) => filesOf(backend, artifact, args),
  }
}

export function collectionOf(backend: FieldsBackend, collection: StandInCollection): Answering {
  const { memberships, entity, project } = collection
  return {
    __typename: collection.kind === 'sequence' ? 'ArtifactSequence' : 'ArtifactPortfolio',
    id: collection.id,
    name: collection.name,
    description: collection.description,
    state: 'READY',
    createdAt: collection.createdAt.toISOString(),
    updatedAt: collection.createdAt.toISOString(),
    digestAlgorithm: 'MANIFEST_MD5',
    project: () => projectInfo(backend, entity, project),
    defaultArtifactType: { __typename: 'ArtifactType', name: collection.type },
    tags: { __typename: 'TagConnection', edges: [] },
    latestArtifact: () => collection.latest && artifactOf(backend, collection.latest.artifact),
    aliases: (args: Arguments) => {
      const aliases = memberships.flatMap((one) => aliasesOf(backend, one))
      return connection(aliases, args, (alias) => alias)
    },
    artifactMembership: ({ aliasName }: Arguments) => {
      const found = collection.find(String(aliasName))
      return found && membershipOf(backend, found)
    },
    artifacts: (args: Arguments) => {
      const all = filtered(memberships, args.filters, ({ artifact }) => ({ state: artifact.state }))
      // the newest first where nothing is said, as the server has them
      const ordered = args.order == null || String(args.order).startsWith('-') ? all.toReversed() : all
      return connection(
        ordered,
        args,
        ({ artifact }) => artifactOf(backend, artifact),
        ({ versionIndex }) => ({ version: `v${versionIndex}` }),
      )
    },
  }
}

/** Fields of a project that have to do with artifacts. */
export function artifactsOfProject(backend: FieldsBackend, entity: string, project: string): Answering {
  const all = () => backend.store.of(entity, project)
  const find = (name: unknown) => all().find((one) => one.name === name)
  /** `collection:alias`; `latest` where there is no alias. */
  const member = (name: unknown) => {
    const [collection, alias = 'latest'] = String(name).split(':')
    return find(collection)?.find(alias)
  }
  const typeOf = (type: string): Answering => {
    const ofType = () => all().filter((one) => one.type === type)
    return {
      __typename: 'ArtifactType',
      id: Buffer.from(`ArtifactType:${entity}/${project}/${type}`).toString('base64'),
      name: type,
      description: null,
      createdAt: new Date(0).toISOString(),
      artifactCollections: (args: Arguments) => collections(backend, ofType(), args),
      artifactCollection: ({ name }: Arguments) => {
        const found = ofType().find((one) => one.name === name)
        return found && collectionOf(backend, found)
      },
    }
  }
  const types = () => [...new Set(all().map(({ type }) => type))]
  return {
    artifact: ({ name }: Arguments) => {
      const found = member(name)
      return found && artifactOf(backend, found.artifact)
    },
    artifactCollectionMembership: ({ name }: Arguments) => {
      const found = member(name)
      return found && membershipOf(backend, found)
    },
    artifactType: ({ name }: Arguments) => (types().includes(String(name)) ? typeOf(String(name)) : null),
    artifactTypes: (args: Arguments) => connection(types(), args, typeOf),
    artifactCollection: ({ name }: Arguments) => {
      const found = find(name)
      return found && collectionOf(backend, found)
    },
    artifactCollections: (args: Arguments) => collections(backend, all(), args),
  }
}

export function collections(
  backend: FieldsBackend,
  all: readonly StandInCollection[],
  args: Arguments,
): Answering {
  const chosen = filtered(all, args.filters, ({ id, name, description }) => ({ id, name, description }))
  return connection(chosen, args, (one) => collectionOf(backend, one))
}

export function projectInfo(backend: FieldsBackend, entity: string, name: string): Answering {
  const number = backend.projectNumber(entity, name)
  return {
    __typename: 'Project',
    id: Buffer.from(`Project:v1:${name}:${entity}`).toString('base64'),
    internalId: Buffer.from(`ProjectInternalId:${number}`).toString('base64'),
    name,
    entity: { __typename: 'Entity', id: 'RW50aXR5OjE=', name: entity },
  }
}

function aliasesOf(backend: FieldsBackend, { id, aliases, collection }: Membership): Answering[] {
  return [...aliases].map((alias) => ({
    __typename: 'ArtifactAlias',
    id: `${id}${Buffer.from(alias).toString('base64url')}`,
    alias,
    artifactCollection: () => collectionOf(backend, collection),
  }))
}

function filesOf(backend: FieldsBackend, artifact: StandInArtifact, args: Arguments): Answering {
  if (artifact.manifest === undefined) throw new RefusedField('the artifact is not committed')
  const names = new Set((args.names ?? []) as readonly string[])
  const entries = Object.entries(artifact.manifest.contents).filter(
    ([path]) => !names.size || names.has(path),
  )
  return connection(entries, args, ([path, entry]) => {
    const bytes = () => backend.store.blob(entry.birthArtifactID ?? '', entry.digest)?.content
    const url = () => entry.ref ?? signRead(backend, artifact, path, bytes)
    return {
      __typename: 'File',
      id: Buffer.from(`File:${artifact.id}/${path}`).toString('base64'),
      name: path,
      displayName: path,
      url,
      directUrl: url,
      sizeBytes: String(entry.size ?? 0),
      storagePath: null,
      mimetype: null,
      updatedAt: artifact.createdAt.toISOString(),
      digest: entry.digest,
      md5: entry.digest,
    }
  })
}

function signRead(
  backend: FieldsBackend,
  { run, collection }: StandInArtifact,
  name: string,
  get: () => Buffer | undefined,
): string {
  const problems = run?.problems ?? backend.problems
  return backend.signFile({
    run: run?.path ?? '',
    problems,
    path: `artifacts/${collection.name}/${name}`,
    get,
  })
}
