/** Artifacts as the plainest sender makes them, step by step, by the SDK's own mutations. */
import { createHash, randomBytes } from 'node:crypto'
import type { Client, Reply } from './client.ts'

export interface Address {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}
export interface FileAnswer {
  readonly storagePath: string
  readonly uploadUrl: string | null
  readonly uploadHeaders: readonly string[]
  readonly uploadMultipartUrls: {
    readonly uploadID: string
    readonly uploadUrlParts: readonly { readonly partNumber: number; readonly uploadUrl: string }[]
  } | null
  readonly artifact: { readonly id: string }
}
export interface Created {
  readonly id: string
  readonly state: 'PENDING' | 'COMMITTED'
  readonly artifactSequence: { readonly latestArtifact: { readonly id: string } | null }
}
export type Contents = Readonly<Record<string, string | Buffer>>
export interface FileSpec {
  readonly artifactID: string
  readonly artifactManifestID: string
  readonly name: string
  readonly md5: string
  readonly uploadPartsInput?: readonly { readonly partNumber: number; readonly hexMD5: string }[]
}

export const base64Md5 = (content: string | Buffer) => createHash('md5').update(content).digest('base64')
export const hexMd5 = (content: string | Buffer) => createHash('md5').update(content).digest('hex')
/** As the SDK's: 128 characters. */
export const clientId = () => randomBytes(64).toString('hex')

/** Entries as they are in a manifest, without the artifact that they came with. */
export function entriesOf(contents: Contents): Record<string, { digest: string; size: number }> {
  const entry = (content: string | Buffer) => ({
    digest: base64Md5(content),
    size: Buffer.byteLength(content),
  })
  return Object.fromEntries(Object.entries(contents).map(([path, content]) => [path, entry(content)]))
}

export function digestOfContents(contents: Contents): string {
  const lines = Object.entries(entriesOf(contents)).map(([path, { digest }]) => `${path}:${digest}\n`)
  return hexMd5(['wandb-artifact-manifest-v1\n', ...lines.sort()].join(''))
}

export function manifestText(entries: object, changes: object = {}): string {
  const policy = {
    version: 1,
    storagePolicy: 'wandb-storage-policy-v1',
    storagePolicyConfig: { storageLayout: 'V2' },
  }
  return JSON.stringify({ ...policy, contents: entries, ...changes })
}

export class ArtifactClient {
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  async create(contents: Contents, changes: object = {}): Promise<Created> {
    const input = {
      entityName: 'stander',
      projectName: 'lab',
      runName: 'one',
      artifactTypeName: 'dataset',
      artifactCollectionName: 'points',
      digest: digestOfContents(contents),
      digestAlgorithm: 'MANIFEST_MD5',
      aliases: [{ artifactCollectionName: 'points', alias: 'latest' }],
      clientID: clientId(),
      sequenceClientID: clientId(),
      enableDigestDeduplication: true,
      ...changes,
    }
    const { createArtifact } = await this.#client.ask<{ createArtifact: { artifact: Created } }>(CREATE, {
      input,
    })
    return createArtifact.artifact
  }

  /** @param digest '' before it is known: there is no address then */
  async manifest(artifactID: string, digest = '', changes: object = {}): Promise<{ id: string } & Address> {
    const asked = { artifactID, digest, includeUpload: digest !== '', ...changes }
    const { createArtifactManifest } = await this.#client.ask<{
      createArtifactManifest: {
        artifactManifest: { id: string; file: { uploadUrl?: string; uploadHeaders?: readonly string[] } }
      }
    }>(MANIFEST, asked)
    const { id, file } = createArtifactManifest.artifactManifest
    return { id, url: file.uploadUrl ?? '', headers: headersOf(file.uploadHeaders ?? []) }
  }

  async files(specs: readonly FileSpec[], storageLayout = 'V2'): Promise<readonly FileAnswer[]> {
    const { createArtifactFiles } = await this.#client.ask<{
      createArtifactFiles: { files: { edges: readonly { node: FileAnswer }[] } }
    }>(FILES, { input: { artifactFiles: specs, storageLayout } })
    return createArtifactFiles.files.edges.map(({ node }) => node)
  }

  complete(variables: object): Promise<Reply> {
    return this.#client.graphql(COMPLETE, { completeMultipartAction: 'Complete', ...variables })
  }

  async commit(artifactID: string): Promise<{ id: string; digest: string }> {
    const { commitArtifact } = await this.#client.ask<{
      commitArtifact: { artifact: { id: string; digest: string } }
    }>(COMMIT, { artifactID })
    return commitArtifact.artifact
  }

  async link(input: object): Promise<number> {
    const { result } = await this.#client.ask<{ result: { versionIndex: number } }>(LINK, { input })
    return result.versionIndex
  }

  /** Its bytes are put, unless the store has them. */
  async upload(id: string, contents: Contents): Promise<Record<string, object>> {
    const manifest = await this.manifest(id)
    const entries = entriesOf(contents)
    const specs = Object.entries(entries).map(([name, { digest }]) => {
      return { artifactID: id, artifactManifestID: manifest.id, name, md5: digest }
    })
    const answers = await this.files(specs)
    for (const [n, { uploadUrl, uploadHeaders }] of answers.entries()) {
      const content = contents[specs[n]!.name]!
      if (uploadUrl !== null) await put({ url: uploadUrl, headers: headersOf(uploadHeaders) }, content)
    }
    const withBirth = specs.map(({ name }, n) => [
      name,
      { ...entries[name], birthArtifactID: answers[n]!.artifact.id },
    ])
    return Object.fromEntries(withBirth)
  }

  async putManifest(id: string, text: string): Promise<number> {
    return put(await this.manifest(id, base64Md5(text)), text)
  }

  /** The whole way. @returns its id */
  async log(contents: Contents, changes: object = {}): Promise<Created> {
    const created = await this.create(contents, changes)
    if (created.state === 'COMMITTED') return created
    await this.putManifest(created.id, manifestText(await this.upload(created.id, contents)))
    await this.commit(created.id)
    return created
  }
}

export function headersOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

/** @returns the status */
export async function put({ url, headers }: Address, content: string | Buffer): Promise<number> {
  return (await fetch(url, { method: 'PUT', body: content, headers })).status
}

const CREATE = `mutation CreateArtifact ($input: CreateArtifactInput!) {
  createArtifact(input: $input) { ... CreatedArtifact }
}
fragment CreatedArtifact on CreateArtifactPayload {
  artifact { id state artifactSequence { latestArtifact { id } } }
}`
const MANIFEST = `mutation CreateArtifactManifest ($artifactID: ID!, $baseArtifactID: ID, $name: String = "wandb_manifest.json",
  $digest: String!, $entityName: String = "stander", $projectName: String = "lab", $runName: String = "one",
  $manifestType: ArtifactManifestType = FULL, $includeUpload: Boolean!) {
  createArtifactManifest(input: {artifactID:$artifactID,baseArtifactID:$baseArtifactID,name:$name,digest:$digest,
    entityName:$entityName,projectName:$projectName,runName:$runName,type:$manifestType}) {
    artifactManifest { id file {
      id uploadUrl @include(if: $includeUpload) uploadHeaders @include(if: $includeUpload)
    } }
  }
}`
const FILES = `mutation CreateArtifactFiles ($input: CreateArtifactFilesInput!) {
  createArtifactFiles(input: $input) { files { edges { node {
    storagePath uploadUrl uploadHeaders
    uploadMultipartUrls { uploadID uploadUrlParts { partNumber uploadUrl } }
    artifact { id }
  } } } }
}`
const COMPLETE = `mutation CompleteMultipartUploadArtifact ($completeMultipartAction: CompleteMultipartAction!,
  $completedParts: [UploadPartsInput!]!, $artifactID: ID!, $storagePath: String!, $uploadID: String!) {
  completeMultipartUploadArtifact(input: {completeMultipartAction:$completeMultipartAction,
    completedParts:$completedParts,artifactID:$artifactID,storagePath:$storagePath,uploadID:$uploadID}) { digest }
}`
const COMMIT = `mutation CommitArtifact ($artifactID: ID!) {
  commitArtifact(input: {artifactID:$artifactID}) { artifact { id digest } }
}`
const LINK = `mutation LinkArtifact ($input: LinkArtifactInput!) {
  result: linkArtifact(input: $input) { versionIndex }
}`
export const USE = `mutation UseArtifact ($input: UseArtifactInput!) {
  useArtifact(input: $input) { artifact { id } }
}`
export const ALERT = `mutation NotifyScriptableRunAlert ($title: String!, $text: String!,
  $severity: AlertSeverity = INFO, $waitDuration: Duration, $runName: String = "one") {
  notifyScriptableRunAlert(input: {entityName:"stander",projectName:"lab",runName:$runName,title:$title,text:$text,
    severity:$severity,waitDuration:$waitDuration}) { success }
}`
