/** Addresses for the bytes of artifacts: one per file, or one per part of a large one. */
import type { Arguments, ArtifactBackend, Artifacts } from './artifact-mutations.ts'
import type { MultipartUpload, StandInArtifact } from './artifact-store.ts'
import type { Answering } from './graphql.ts'
import { md5Of, type StoredFile } from './storage.ts'

interface FileSpec {
  readonly artifactID: string
  readonly artifactManifestID?: string | null
  readonly name: string
  readonly md5: string
  readonly uploadPartsInput?: readonly PartInput[] | null
}
interface PartInput {
  readonly partNumber: number
  /** Of a part that was put: what the store answered as its ETag, with its quotes. */
  readonly hexMD5: string
}

const BASE64_MD5 = /^[A-Za-z0-9+/]{22}==$/
/** Of S3: parts of one upload. */
const MAX_PARTS = 10_000

export class ArtifactUploads {
  readonly #backend: ArtifactBackend
  readonly #artifacts: Artifacts

  constructor(backend: ArtifactBackend, artifacts: Artifacts) {
    this.#backend = backend
    this.#artifacts = artifacts
  }

  createFiles({ artifactFiles, storageLayout }: Arguments): Answering {
    const specs = artifactFiles as readonly FileSpec[]
    const edges = specs.map((spec) => {
      const artifact = this.#artifacts.pending(spec.artifactID)
      if (storageLayout !== 'V2') this.#artifacts.refuse(artifact, `the storage layout ${storageLayout}`)
      return { __typename: 'FileEdge', node: this.#fileOf(artifact, spec) }
    })
    return { __typename: 'CreateArtifactFilesPayload', files: { __typename: 'FileConnection', edges } }
  }

  /** Again of one that is complete: nothing happens. */
  complete(input: Arguments): Answering {
    const { artifactID, uploadID, storagePath, completeMultipartAction } = input
    const artifact = this.#artifacts.find(artifactID)
    const refuse = (text: string): never => this.#artifacts.refuse(artifact, text)
    const upload = artifact.uploads.get(String(uploadID))
    if (upload === undefined) return refuse(`no upload ${uploadID}`)
    if (completeMultipartAction !== 'Complete') refuse(`the action ${completeMultipartAction}`)
    if (storagePath !== upload.storagePath) refuse(`an upload's storage path is ${storagePath}`)
    const stated = input.completedParts as readonly PartInput[]
    if (stated.length !== upload.parts.size) refuse(`${stated.length} parts of ${upload.parts.size}`)
    for (const { partNumber, hexMD5 } of stated) {
      const part = upload.parts.get(partNumber)
      if (part?.bytes === undefined && !upload.isComplete) refuse(`part ${partNumber} has not come`)
      if (part?.md5 !== hexMD5.replaceAll('"', '')) refuse(`part ${partNumber} has not the ETag ${hexMD5}`)
    }
    if (!upload.isComplete) {
      const bytes = Buffer.concat([...upload.parts.values()].map((part) => part.bytes!))
      if (upload.md5 !== md5Of(bytes)) refuse('the parts come to another MD5 than the file was said to have')
      this.#backend.store.put(artifact.id, bytes)
      for (const part of upload.parts.values()) part.bytes = undefined
      upload.isComplete = true
    }
    return { __typename: 'CompleteMultipartUploadArtifactPayload', digest: upload.md5 }
  }

  /** New addresses for parts of an upload that has begun. */
  refresh(input: Arguments): Answering {
    const artifact = this.#artifacts.pending(input.artifactID)
    const upload = artifact.uploads.get(String(input.uploadID))
    if (upload === undefined || upload.isComplete || upload.storagePath !== input.storagePath) {
      return this.#artifacts.refuse(artifact, `no upload ${input.uploadID} at ${input.storagePath}`)
    }
    const wanted = new Set((input.uploadPartsInput as readonly PartInput[]).map((part) => part.partNumber))
    const { uploadUrlParts } = this.#partsOf(artifact, 'again', upload) as {
      readonly uploadUrlParts: readonly PartInput[]
    }
    return {
      __typename: 'RefreshMultipartUploadUrlsPayload',
      uploadUrlParts: uploadUrlParts.filter((part) => wanted.has(part.partNumber)),
    }
  }

  #fileOf(artifact: StandInArtifact, spec: FileSpec): Answering {
    const { name, md5, uploadPartsInput } = spec
    if (!BASE64_MD5.test(md5)) this.#artifacts.refuse(artifact, `${name}: its MD5 is no MD5 in Base64`)
    if (spec.artifactManifestID !== artifact.manifestFile?.id) {
      this.#artifacts.refuse(artifact, `${name}: its manifest is ${spec.artifactManifestID}`)
    }
    const { store } = this.#backend
    const birthId = store.birthOf(artifact.collection, md5)
    const hex = Buffer.from(md5, 'base64').toString('hex')
    const storagePath = `wandb_artifacts/${artifact.collection.path}/${birthId ?? artifact.id}/${hex}`
    const isThere = birthId !== undefined
    const upload =
      !isThere && uploadPartsInput?.length ? this.#uploadOf(artifact, storagePath, spec) : undefined
    const target = this.#target(artifact, name, md5, (bytes) => store.put(artifact.id, bytes))
    return {
      __typename: 'File',
      id: Buffer.from(`File:${storagePath}`).toString('base64'),
      name,
      displayName: name,
      storagePath,
      uploadUrl: isThere ? null : this.#backend.signFile(target),
      uploadHeaders: isThere ? [] : this.#backend.uploadHeadersOf(upload ? '' : md5),
      uploadMultipartUrls: upload && this.#partsOf(artifact, name, upload),
      artifact: { __typename: 'Artifact', id: birthId ?? artifact.id },
    }
  }

  #uploadOf(artifact: StandInArtifact, storagePath: string, spec: FileSpec): MultipartUpload {
    const stated = spec.uploadPartsInput!
    if (stated.length > MAX_PARTS) this.#artifacts.refuse(artifact, `${stated.length} parts`)
    stated.forEach(({ partNumber, hexMD5 }, n) => {
      if (partNumber !== n + 1) this.#artifacts.refuse(artifact, `part ${partNumber} in place ${n + 1}`)
      if (!/^[0-9a-f]{32}$/.test(hexMD5))
        this.#artifacts.refuse(artifact, `part ${partNumber}: no MD5 in hex`)
    })
    for (const one of this.#backend.keepsMultipartUploads ? artifact.uploads.values() : []) {
      const isSame = stated.every(({ partNumber, hexMD5 }) => one.parts.get(partNumber)?.md5 === hexMD5)
      if (one.md5 === spec.md5 && isSame && one.parts.size === stated.length) return one
    }
    const upload: MultipartUpload = {
      id: this.#backend.store.nextId('Upload'),
      storagePath,
      md5: spec.md5,
      parts: new Map(stated.map((part) => [part.partNumber, { md5: part.hexMD5, bytes: undefined }])),
      isComplete: false,
    }
    artifact.uploads.set(upload.id, upload)
    return upload
  }

  #partsOf(artifact: StandInArtifact, name: string, upload: MultipartUpload): Answering {
    const parts = [...upload.parts].map(([partNumber, part]) => {
      const md5 = Buffer.from(part.md5, 'hex').toString('base64')
      const target = this.#target(
        artifact,
        `${name}.part${partNumber}`,
        md5,
        (bytes) => (part.bytes = bytes),
        true,
      )
      return { __typename: 'UploadUrlPart', partNumber, uploadUrl: this.#backend.signFile(target) }
    })
    return { __typename: 'UploadMultipartUrls', uploadID: upload.id, uploadUrlParts: parts }
  }

  #target(
    artifact: StandInArtifact,
    name: string,
    md5: string,
    keep: (bytes: Buffer) => void,
    isPart = false,
  ): StoredFile {
    const { run, collection } = artifact
    return {
      run: run?.path ?? '',
      problems: run?.problems ?? this.#backend.problems,
      path: `artifacts/${collection.name}/${name}`,
      md5,
      isPart,
      put: keep,
    }
  }
}
