/** Which way artifacts go: the server says by the URI of a run's or a model's artifacts. */

import { FolderStore, folderOf } from '../../folder-store.ts'
import type { HttpClient, Refusal } from '../../http.ts'
import type { MlflowApi } from '../api.ts'
import type { OpenStore } from './multipart.ts'
import { ProxyStore } from './proxy-store.ts'
import { NoStore, RunStore } from './run-store.ts'
import { isSharedFolder } from './shared-folder.ts'
import type { ArtifactStore } from './store.ts'

export interface StoresContext {
  readonly api: MlflowApi
  readonly http: HttpClient
  readonly openStore: OpenStore
  /** Host and port of the tracking server. */
  readonly host: string
  readonly runId: string
  /** Of the run. */
  readonly artifactUri: string
  readonly nonce: string
}

export class Stores {
  readonly #context: StoresContext
  readonly #known = new Map<string, ArtifactStore>()
  /** Whether the server's folders are this machine's; asked once, by the run's own. */
  #shared: boolean | undefined

  constructor(context: StoresContext) {
    this.#context = context
  }

  ofRun(signal: AbortSignal): Promise<ArtifactStore | Refusal> {
    return this.#at(this.#context.artifactUri, true, signal)
  }

  ofModel(uri: string, signal: AbortSignal): Promise<ArtifactStore | Refusal> {
    return this.#at(uri, false, signal)
  }

  async #at(uri: string, isRun: boolean, signal: AbortSignal): Promise<ArtifactStore | Refusal> {
    const known = this.#known.get(uri)
    if (known) return known
    const store = await this.#choose(uri, isRun, signal)
    if (!('status' in store)) this.#known.set(uri, store)
    return store
  }

  async #choose(uri: string, isRun: boolean, signal: AbortSignal): Promise<ArtifactStore | Refusal> {
    const { api, http, openStore, host, runId, artifactUri, nonce } = this.#context
    if (uri.startsWith('mlflow-artifacts:') && URL.canParse(uri)) {
      const other = new URL(uri).host
      if (other === '' || other === host) return new ProxyStore(api, http, openStore, uri)
    }
    const folder = folderOf(uri)
    const runFolder = folderOf(artifactUri)
    if (folder !== undefined && runFolder !== undefined) {
      if (this.#shared === undefined) {
        const shared = await isSharedFolder(api, runId, runFolder, nonce, signal)
        if (typeof shared === 'object') return shared
        this.#shared = shared
      }
      if (this.#shared) return new FolderStore(folder)
    }
    return isRun ? new RunStore(api, http, runId, uri) : new NoStore(uri)
  }
}
