/**
 * Where the files of an artifact go, asked for many at a time: of 10,000 small files each call names 500. What is not
 * to be sent, as the store has it, is known by the same answer, and who brought it there, which the manifest says.
 */
import type { Refusal } from '../../http.ts'
import { type ArtifactCallParts, createFiles, type FileNode } from './artifact-calls.ts'
import type { FileDigest } from './artifact-digest.ts'
import { type ArtifactFile, sizeOf } from './artifact-plan.ts'
import { Given, MAX_BYTES_ASKED } from './given.ts'

/** Of one call. */
const MAX_FILES = 500

export interface ArtifactIds {
  readonly artifact: string
  readonly manifest: string
}

export class Addresses {
  readonly #parts: ArtifactCallParts
  readonly #files: readonly ArtifactFile[]
  readonly #digests: readonly (FileDigest | undefined)[]
  readonly #ids: ArtifactIds
  readonly #nodes = new Given<FileNode>((index, signal) => this.#ask(this.#batch(index), signal))
  /** By path: ids of the artifacts that brought the bytes. */
  readonly births = new Map<string, string>()

  constructor(
    parts: ArtifactCallParts,
    files: readonly ArtifactFile[],
    digests: readonly (FileDigest | undefined)[],
    ids: ArtifactIds,
  ) {
    this.#parts = parts
    this.#files = files
    this.#digests = digests
    this.#ids = ids
  }

  /** For one file, once; another call asks again. */
  take(index: number, signal: AbortSignal): Promise<FileNode | Refusal> {
    return this.#nodes.take(index, signal)
  }

  /** A new address for one whose own has run out. */
  async fresh(index: number, signal: AbortSignal): Promise<FileNode | Refusal> {
    const refusal = await this.#ask([index], signal)
    if (refusal !== undefined) return refusal
    return this.take(index, signal)
  }

  /** Asks for what is not known of files that were sent before, maybe by another process. */
  async learnBirths(alive: () => void, signal: AbortSignal): Promise<Refusal | undefined> {
    for (let index = 0; index < this.#files.length; index++) {
      const file = this.#files[index]!
      if ('ref' in file || this.births.has(file.path)) continue
      const refusal = await this.#ask(this.#batch(index), signal)
      if (refusal !== undefined) return refusal
      this.#nodes.clear()
      alive()
    }
    return undefined
  }

  /** The file, and those behind it that nothing is known of. */
  #batch(from: number): readonly number[] {
    const batch: number[] = []
    let bytes = 0
    for (let index = from; index < this.#files.length && batch.length < MAX_FILES; index++) {
      const file = this.#files[index]!
      if ('ref' in file || (index !== from && this.births.has(file.path))) continue
      bytes += sizeOf(file)
      if (batch.length > 0 && bytes > MAX_BYTES_ASKED) break
      batch.push(index)
    }
    return batch
  }

  async #ask(indices: readonly number[], signal: AbortSignal): Promise<Refusal | undefined> {
    const specs = indices.map((index) => {
      const { md5, parts } = this.#digests[index]!
      return { name: this.#files[index]!.path, md5, parts }
    })
    const answer = await createFiles(this.#parts, this.#ids, specs, signal)
    if ('status' in answer) return answer
    for (const [at, node] of answer.found.entries()) {
      const index = indices[at]!
      this.#nodes.put(index, node)
      this.births.set(this.#files[index]!.path, node.artifact?.id ?? this.#ids.artifact)
    }
    return undefined
  }
}
