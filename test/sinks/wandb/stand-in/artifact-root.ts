/** The fields of GraphQL's roots that have to do with artifacts and registries. */
import { artifactOf, collectionOf } from './artifact-fields.ts'
import { type Arguments, Artifacts } from './artifact-mutations.ts'
import type { ManifestFile } from './artifact-store.ts'
import { ArtifactUploads } from './artifact-uploads.ts'
import { type Answering, RefusedField } from './graphql.ts'
import { Registries, type RegistryBackend } from './registry.ts'

export function artifactQueries(backend: RegistryBackend): Answering {
  const { store } = backend
  const registries = new Registries(backend, new Artifacts(backend))
  return {
    artifact: ({ id }: Arguments) => {
      const found = store.byId.get(String(id))
      return found && artifactOf(backend, found)
    },
    artifactCollection: ({ id }: Arguments) => {
      const found = [...store.collections.values()].find((one) => one.id === id)
      return found && collectionOf(backend, found)
    },
    clientIDMapping: ({ clientID }: Arguments) => {
      const serverID = store.serverIdOf(String(clientID))
      return serverID && { __typename: 'ClientIDMapping', serverID }
    },
    organization: ({ name }: Arguments) => registries.organization(name),
    entity: ({ name }: Arguments) => {
      const isUser = name === backend.defaultEntity
      return {
        __typename: 'Entity',
        id: 'RW50aXR5OjE=',
        name,
        xxhashDigestsEnabled: false,
        organization: () => registries.organizationOf(),
        user: isUser ? { __typename: 'User', organizations: () => [registries.organizationOf()] } : null,
        project: ({ name: project }: Arguments) => registries.registry(name, project),
      }
    },
  }
}

export function artifactMutations(backend: RegistryBackend): Answering {
  const artifacts = new Artifacts(backend)
  const uploads = new ArtifactUploads(backend, artifacts)
  const registries = new Registries(backend, artifacts)
  const field = (name: string, answer: (input: Arguments) => Answering) => [
    name,
    ({ input }: Arguments) => answer(input as Arguments),
  ]
  const withArtifact = (type: string, find: (input: Arguments) => Parameters<typeof artifactOf>[1]) => {
    return (input: Arguments) => ({ __typename: type, artifact: artifactOf(backend, find(input)) })
  }
  return Object.fromEntries([
    field(
      'createArtifact',
      withArtifact('CreateArtifactPayload', (input) => artifacts.create(input)),
    ),
    field(
      'commitArtifact',
      withArtifact('CommitArtifactPayload', (input) => artifacts.commit(input)),
    ),
    field(
      'useArtifact',
      withArtifact('UseArtifactPayload', (input) => artifacts.use(input)),
    ),
    field(
      'updateArtifact',
      withArtifact('UpdateArtifactPayload', (input) => artifacts.update(input)),
    ),
    field('addAliases', (input) => artifacts.addAliases(input)),
    field('deleteAliases', (input) => artifacts.deleteAliases(input)),
    field('createArtifactManifest', (input) => ({
      __typename: 'CreateArtifactManifestPayload',
      artifactManifest: manifestOf(backend, artifacts, artifacts.createManifest(input)),
    })),
    field('updateArtifactManifest', (input) => ({
      __typename: 'UpdateArtifactManifestPayload',
      artifactManifest: manifestOf(backend, artifacts, artifacts.updateManifest(input)),
    })),
    field('createArtifactFiles', (input) => uploads.createFiles(input)),
    field('completeMultipartUploadArtifact', (input) => uploads.complete(input)),
    field('refreshMultipartUploadUrls', (input) => uploads.refresh(input)),
    field('linkArtifact', (input) => registries.link(input)),
  ])
}

function manifestOf(backend: RegistryBackend, artifacts: Artifacts, manifest: ManifestFile): Answering {
  return {
    __typename: 'ArtifactManifest',
    id: manifest.id,
    digest: manifest.digest,
    file: {
      __typename: 'File',
      id: `${manifest.id}File`,
      uploadUrl: () => {
        if (manifest.digest === '') throw new RefusedField('an address for a manifest without its digest')
        return backend.signFile(artifacts.manifestTarget(manifest))
      },
      uploadHeaders: () => backend.uploadHeadersOf(manifest.digest),
    },
  }
}
