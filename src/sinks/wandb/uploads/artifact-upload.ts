/**
 * Puts one plan, step by step, several files at once.
 *
 *  A1  The artifact is made once: its id is kept, and its identity (`clientId`) is the same after a crash, as is its
 *      digest, by which W&B finds what is there. Equal content that was committed is not sent.
 *  A2  A file that was put is not put again, but for those that were under way in a crash.
 *  A3  It is committed when all its files and its manifest are there; what is not known of a commit is asked for.
 */
import { createHash } from 'node:crypto'
import type { Upload } from '../../../core/types.ts'
import type { Refusal } from '../../http.ts'
import { Addresses } from './artifact-addresses.ts'
import {
  type ArtifactCallParts,
  artifactState,
  commitArtifact,
  createArtifact,
  createManifest,
} from './artifact-calls.ts'
import { digestsOf, type FileDigest } from './artifact-digest.ts'
import {
  MULTIPART_LIMITS,
  type MultipartLimits,
  type PartsState,
  partBytesOf,
  partsState,
  putParts,
} from './artifact-multipart.ts'
import { type ArtifactPlan, MANIFEST_NAME, type Manifest, manifestOf } from './artifact-plan.ts'
import type { RecordState } from './record-state.ts'
import type { OpenStore } from './store-doors.ts'
import { addressFrom, type Content, putTo } from './store-put.ts'

/** Stands in a cursor, which is a file: ids, nothing that opens anything. */
export interface ArtifactUploadState {
  readonly artifact: string
  readonly base: string
  readonly manifest: string
  readonly committed: true
  /** The artifact of before, which is gone: what the pipeline knows as sent must be put again. */
  readonly again: string
  /** Of large files under way, by place. */
  readonly parts: Readonly<Record<string, PartsState>>
}

export interface ArtifactUploadParts extends ArtifactCallParts {
  readonly openStore: OpenStore
  readonly multipart?: MultipartLimits
}

/** What a step of the pipeline brings. */
export type ArtifactStep = Pick<Upload, 'keep' | 'sent'> & { readonly signal: AbortSignal }

/** What all files wait for. */
interface Begun {
  readonly artifact: string
  /** undefined: it is committed, and nothing is to be sent. */
  readonly addresses: Addresses | undefined
}

export class ArtifactUpload {
  readonly #parts: ArtifactUploadParts
  readonly #plan: ArtifactPlan
  readonly #state: RecordState<ArtifactUploadState>
  readonly #multipart: MultipartLimits
  #digests: readonly (FileDigest | undefined)[] | undefined
  #begun: Begun | undefined
  /** What was left by another process, or by a commit without an answer, was looked at. */
  #isLookedAt: boolean
  /** It will never be taken: its files need not ask one by one. */
  #hopeless: Refusal | undefined

  constructor(parts: ArtifactUploadParts, plan: ArtifactPlan, state: RecordState<ArtifactUploadState>) {
    this.#parts = parts
    this.#plan = plan
    this.#state = state
    this.#multipart = parts.multipart ?? MULTIPART_LIMITS
    this.#isLookedAt = !state.isResumed
  }

  /** Puts the file at a place in the plan; undefined when it is there. */
  async file(index: number, step: ArtifactStep): Promise<Refusal | undefined> {
    const begun = await this.#begin(step)
    if ('status' in begun) return begun
    return begun.addresses && this.#put(index, begun.addresses, begun.artifact, step)
  }

  /** Puts what no step has put: plans whose files are not the record's. */
  async all(step: ArtifactStep): Promise<Refusal | undefined> {
    for (const [index, file] of this.#plan.files.entries()) {
      const refusal = 'ref' in file ? undefined : await this.file(index, step)
      if (refusal !== undefined) return refusal
    }
    return undefined
  }

  /** Commits, when all files are there. */
  async finish(step: ArtifactStep): Promise<{ readonly artifact: string } | Refusal> {
    if (!this.#isLookedAt) this.#begun = undefined
    const begun = await this.#begin(step)
    if ('status' in begun) return begun
    const { artifact, addresses } = begun
    if (addresses === undefined) return { artifact }
    const refusal =
      (this.#state.now.again ? await this.all(step) : undefined) ??
      (await addresses.learnBirths(() => step.sent(0), step.signal)) ??
      (await this.#putManifest(artifact, addresses, step)) ??
      (await this.#commit(artifact, step))
    return refusal ?? { artifact }
  }

  // ── before the first file ────────────────────────────────────────────────────────────────────────

  async #begin(step: ArtifactStep): Promise<Begun | Refusal> {
    const known = this.#begun ?? this.#hopeless
    if (known !== undefined) return known
    return this.#state.once('begin', step.sent, async () => {
      const begun = await this.#ask(step)
      if (!('status' in begun)) this.#begun = begun
      else if (begun.status === 'split') this.#hopeless = begun
      return begun
    })
  }

  async #ask(step: ArtifactStep): Promise<Begun | Refusal> {
    const looked = await this.#lookAgain(step)
    if (looked !== undefined) return looked
    if (this.#state.now.committed) return { artifact: this.#state.now.artifact!, addresses: undefined }
    const digests = await this.#hash(step)
    if ('status' in digests) return digests
    if (this.#state.now.artifact === undefined) {
      const { again } = this.#state.now
      // the identity belongs to the one that is gone
      const plan = again ? { ...this.#plan, clientId: succeeding(this.#plan.clientId, again) } : this.#plan
      const made = await createArtifact(this.#parts, plan, this.#manifest(digests).digest, step.signal)
      if ('status' in made) return made
      const { id: artifact, state, base } = made.found
      const isThere = state === 'COMMITTED'
      this.#set({ artifact, ...(base && { base }), ...(isThere && { committed: true }) }, step)
      if (isThere) return { artifact, addresses: undefined }
    }
    const artifact = this.#state.now.artifact!
    if (this.#state.now.manifest === undefined) {
      const made = await createManifest(
        this.#parts,
        { artifact, base: this.#state.now.base },
        undefined,
        step.signal,
      )
      if ('status' in made) return made
      this.#set({ manifest: made.found.id }, step)
    }
    const ids = { artifact, manifest: this.#state.now.manifest! }
    return { artifact, addresses: new Addresses(this.#parts, this.#plan.files, digests, ids) }
  }

  /** What has become of an artifact that was made before: it may have been committed, or removed. */
  async #lookAgain(step: ArtifactStep): Promise<Refusal | undefined> {
    const { artifact, committed } = this.#state.now
    if (this.#isLookedAt || artifact === undefined || committed) return undefined
    const answer = await artifactState(this.#parts, artifact, step.signal)
    if ('status' in answer && answer.status !== 'split') return answer
    this.#isLookedAt = true
    const state = 'found' in answer ? answer.found : 'gone'
    if (state === 'COMMITTED') this.#set({ committed: true }, step)
    else if (state !== 'PENDING') this.#state.set({ again: artifact }, step)
    return undefined
  }

  async #hash({ signal }: ArtifactStep): Promise<readonly (FileDigest | undefined)[] | Refusal> {
    if (this.#digests !== undefined) return this.#digests
    const sizes = (bytes: number) => partBytesOf(bytes, this.#multipart)
    const digests = await digestsOf(this.#plan.files, sizes, this.#state.alive, signal)
    if (!('status' in digests)) this.#digests = digests
    return digests
  }

  #manifest(digests: readonly (FileDigest | undefined)[], births?: ReadonlyMap<string, string>): Manifest {
    const md5s = this.#plan.files.flatMap(({ path }, index): [string, string][] => {
      const digest = digests[index]
      return digest ? [[path, digest.md5]] : []
    })
    return manifestOf(this.#plan, new Map(md5s), births)
  }

  // ── files ────────────────────────────────────────────────────────────────────────────────────────

  async #put(
    index: number,
    addresses: Addresses,
    artifact: string,
    step: ArtifactStep,
  ): Promise<Refusal | undefined> {
    const before = this.#state.now.parts?.[index]
    if (before !== undefined) {
      const put = await putParts(this.#partsJob(index, artifact, step), before, undefined)
      if (put !== 'void') return put
      this.#keepParts(index, undefined, step)
    }
    const { path } = this.#plan.files[index]!
    let node = await addresses.take(index, step.signal)
    for (let isFresh = false; ; isFresh = true) {
      if ('status' in node) return node
      const begun = partsState(node)
      if (begun !== undefined) {
        this.#keepParts(index, begun, step)
        const urls = node.uploadMultipartUrls!.uploadUrlParts
        const put = await putParts(this.#partsJob(index, artifact, step), begun, urls)
        if (put !== 'void') return put
        this.#keepParts(index, undefined, step)
        return { status: 'retry', code: 'ERR_SERVER', reason: `W&B has lost the parts of '${path}'` }
      }
      // the store has it
      if (!node.uploadUrl) return undefined
      const address = addressFrom(node.uploadUrl, node.uploadHeaders, this.#parts.api.baseUrl)
      if (address === undefined)
        return { status: 'retry', code: 'ERR_SERVER', reason: `W&B gave no address for '${path}'` }
      const put = await putTo(this.#parts.openStore, address, this.#content(index, step), path, step.signal)
      if (!('refusal' in put)) return undefined
      if (!put.isExpired || isFresh) return put.refusal
      node = await addresses.fresh(index, step.signal)
    }
  }

  #content(index: number, { sent }: ArtifactStep): Content {
    const file = this.#plan.files[index]!
    if ('content' in file) return { bytes: file.content }
    if ('ref' in file) throw new Error('a reference has no content')
    return { file: { location: file.location, from: 0, bytes: file.bytes, sent } }
  }

  #partsJob(index: number, artifact: string, step: ArtifactStep) {
    const file = this.#plan.files[index]!
    if (!('location' in file)) throw new Error('only files have parts')
    const { path, location, bytes } = file
    return {
      ...{ parts: this.#parts, artifact, path, location, bytes },
      partBytes: partBytesOf(bytes, this.#multipart)!,
      md5s: this.#digests![index]!.parts!,
      sent: step.sent,
      signal: step.signal,
      keep: (state: PartsState | undefined) => this.#keepParts(index, state, step),
    }
  }

  #keepParts(index: number, state: PartsState | undefined, step: ArtifactStep): void {
    const { [index]: _before, ...others } = this.#state.now.parts ?? {}
    this.#set({ parts: state ? { ...others, [index]: state } : others }, step)
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────

  async #putManifest(
    artifact: string,
    addresses: Addresses,
    step: ArtifactStep,
  ): Promise<Refusal | undefined> {
    const bytes = Buffer.from(this.#manifest(this.#digests!, addresses.births).manifest)
    const md5 = createHash('md5').update(bytes).digest('base64')
    for (let isFresh = false; ; isFresh = true) {
      const ids = { artifact, base: this.#state.now.base }
      const made = await createManifest(this.#parts, ids, md5, step.signal)
      if ('status' in made) return made
      const { uploadUrl, uploadHeaders } = made.found.file ?? {}
      const address = addressFrom(uploadUrl, uploadHeaders, this.#parts.api.baseUrl)
      if (address === undefined)
        return { status: 'retry', code: 'ERR_SERVER', reason: 'W&B gave no address for a manifest' }
      const put = await putTo(this.#parts.openStore, address, { bytes }, MANIFEST_NAME, step.signal)
      if (!('refusal' in put)) return undefined
      if (!put.isExpired || isFresh) return put.refusal
    }
  }

  async #commit(artifact: string, step: ArtifactStep): Promise<Refusal | undefined> {
    const answer = await commitArtifact(this.#parts, artifact, step.signal)
    if ('status' in answer) {
      // an answer that was lost may have said that it was done
      this.#isLookedAt = false
      return answer
    }
    this.#set({ committed: true }, step)
    this.#begun = { artifact, addresses: undefined }
    return undefined
  }

  #set(more: Partial<ArtifactUploadState>, step: ArtifactStep): void {
    this.#state.set({ ...this.#state.now, ...more }, step)
  }
}

function succeeding(clientId: string, artifact: string): string {
  return createHash('sha512').update(`${clientId} ${artifact}`).digest('hex')
}
