/**
 * Files of a run: `CreateRunFiles` gives each path an address that is good for a while, a PUT brings the bytes there.
 * The same path again replaces itself. Addresses are asked for many at a time: of 10,000 small files each call names
 * 200.
 */
import type { Refusal } from '../../http.ts'
import type { RemoteRun, WandbApi } from '../api.ts'
import { Given, MAX_BYTES_ASKED } from './given.ts'
import type { OpenStore } from './store-doors.ts'
import { type Address, addressFrom, type Content, putTo } from './store-put.ts'

export interface RunFilesParts {
  readonly api: WandbApi
  readonly remote: RemoteRun
  readonly openStore: OpenStore
}

const CREATE_RUN_FILES = `mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
  createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
    runID uploadHeaders files { name uploadUrl }
  }
}`

interface Created {
  readonly createRunFiles: {
    readonly uploadHeaders: readonly string[] | null
    readonly files: readonly { readonly name: string; readonly uploadUrl: string | null }[]
  } | null
}

/** Of one call. */
const MAX_FILES = 200

/** Where it lies among the files of the run. */
export interface RunPath {
  readonly path: string
  readonly bytes: number
}

/** The files of one record. */
export class RunFiles {
  readonly #parts: RunFilesParts
  readonly #files: readonly RunPath[]
  readonly #addresses = new Given<Address>((index, signal) => this.#ask(this.#batch(index), signal))
  /** All before it have been asked for. */
  #asked = 0

  constructor(parts: RunFilesParts, files: readonly RunPath[]) {
    this.#parts = parts
    this.#files = files
  }

  get paths(): readonly string[] {
    return this.#files.map(({ path }) => path)
  }

  /** @returns undefined when the file at a place is there */
  async put(index: number, content: Content, signal: AbortSignal): Promise<Refusal | undefined> {
    const { path } = this.#files[index]!
    for (let isFresh = false; ; isFresh = true) {
      const address = await this.#take(index, isFresh, signal)
      if ('status' in address) return address
      const put = await putTo(this.#parts.openStore, address, content, path, signal)
      if (!('refusal' in put)) return undefined
      // others that were given with it have run out, too
      if (put.isExpired) this.#forget()
      if (!put.isExpired || isFresh) return put.refusal
    }
  }

  #forget(): void {
    this.#addresses.clear()
    this.#asked = 0
  }

  async #take(index: number, isFresh: boolean, signal: AbortSignal): Promise<Address | Refusal> {
    if (isFresh) {
      const refusal = await this.#ask([index], signal)
      if (refusal !== undefined) return refusal
    }
    return this.#addresses.take(index, signal)
  }

  /** The file, and those behind it that nobody has asked for. */
  #batch(from: number): readonly number[] {
    const batch = [from]
    let bytes = this.#files[from]!.bytes
    for (let index = Math.max(from + 1, this.#asked); index < this.#files.length; index++) {
      bytes += this.#files[index]!.bytes
      if (batch.length === MAX_FILES || bytes > MAX_BYTES_ASKED) break
      batch.push(index)
    }
    this.#asked = Math.max(this.#asked, batch.at(-1)! + 1)
    return batch
  }

  async #ask(places: readonly number[], signal: AbortSignal): Promise<Refusal | undefined> {
    const { api, remote } = this.#parts
    const { entity, project, run } = remote
    const files = [...new Set(places.map((index) => this.#files[index]!.path))]
    const variables = { entity, project, run, files }
    const answer = await api.graphql<Created>('CreateRunFiles', CREATE_RUN_FILES, variables, signal)
    if ('refusal' in answer) return answer.refusal
    const created = answer.data.createRunFiles
    const given = created?.files ?? []
    const urls = new Map(
      given.map(({ name, uploadUrl }, at) => {
        // a server may give paths of its own
        const isOurs = given.length !== files.length || files.includes(name)
        return [isOurs ? name : files[at]!, uploadUrl]
      }),
    )
    let missing: string | undefined
    for (const index of places) {
      const { path } = this.#files[index]!
      const address = addressFrom(urls.get(path), created?.uploadHeaders, api.baseUrl)
      if (address !== undefined) this.#addresses.put(index, address)
      else if (index === places[0]) missing = path
    }
    if (missing === undefined) return undefined
    return { status: 'retry', code: 'ERR_SERVER', reason: `W&B gave no address for the file '${missing}'` }
  }
}
