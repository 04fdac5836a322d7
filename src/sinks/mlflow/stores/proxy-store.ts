/** Artifacts through the tracking server: `mlflow-artifacts:/…`, one PUT a file, large ones in parts. */
import type { HttpClient, Refusal } from '../../http.ts'
import { type ApiReply, type MlflowApi, queryText } from '../api.ts'
import { answerOf } from '../remote-run.ts'
import { MultipartUpload, type OpenStore } from './multipart.ts'
import { type ArtifactStore, bodyOf, type Content, sizeOf, type Transfer } from './store.ts'

const ROUTE = '/api/2.0/mlflow-artifacts/artifacts/'
/** Below, one request is quicker, and a server spools it without trouble. MLflow's own client: 500 MB. */
const MULTIPART_FROM_BYTES = 100 * 1024 * 1024

export class ProxyStore implements ArtifactStore {
  readonly #api: MlflowApi
  readonly #http: HttpClient
  /** Below the server's root: `<experiment>/<run>/artifacts`. */
  readonly #root: string
  readonly #multipart: MultipartUpload

  /** @param uri `mlflow-artifacts:/…` */
  constructor(api: MlflowApi, http: HttpClient, openStore: OpenStore, uri: string) {
    this.#api = api
    this.#http = http
    this.#root = new URL(uri).pathname.replace(/^\/+|\/+$/g, '')
    this.#multipart = new MultipartUpload(api, openStore)
  }

  async put(path: string, content: Content, transfer: Transfer): Promise<Refusal | undefined> {
    const full = `${this.#root}/${urlPath(path)}`
    if ('location' in content && content.size >= MULTIPART_FROM_BYTES) {
      const answer = await this.#multipart.send(full, content, transfer)
      if (answer !== 'unsupported') return answer
    }
    const reply = await this.#api.send(
      this.#http,
      'PUT',
      ROUTE + full,
      bodyOf(content, transfer),
      transfer.signal,
    )
    if (reply.status === 'ok') {
      if ('bytes' in content) transfer.sent(content.bytes.length)
      return undefined
    }
    if (reply.status === 'refused' && reply.code === 413) return tooLarge(path, content)
    if (reply.status === 'refused' && reply.code >= 500) return this.#fault(path, reply, transfer.signal)
    return answerOf(reply)
  }

  /**
   * A server with a folder of files answers 500 both when its disk is full, which passes, and when a file stands
   * where a folder must be, which does not.
   */
  async #fault(
    path: string,
    reply: Extract<ApiReply, { status: 'refused' }>,
    signal: AbortSignal,
  ): Promise<Refusal> {
    if (reply.refusal.status !== 'retry') return reply.refusal
    const parts = path.split('/')
    for (let depth = 1; depth <= parts.length && reply.code === 500; depth++) {
      const at = parts.slice(0, depth).join('/')
      const isFolder = await this.#isFolder(at, signal)
      const mustBeFolder = depth < parts.length
      if (isFolder === undefined || isFolder === 'absent') break
      if (isFolder !== mustBeFolder) {
        const what = isFolder ? 'folder' : 'file'
        const reason = `MLflow holds a ${what} at '${at}', so '${path}' cannot be stored; log it under another name`
        return { status: 'split', code: 'ERR_REFUSED', reason }
      }
    }
    const hint = 'is the disk or quota of its artifact store full?'
    return { ...reply.refusal, reason: `${reply.refusal.reason} (storing '${path.slice(0, 200)}': ${hint})` }
  }

  /** Undefined when it cannot be told. */
  async #isFolder(path: string, signal: AbortSignal): Promise<boolean | 'absent' | undefined> {
    const at = `${decodeURIComponent(this.#root)}/${path}`
    const cut = at.lastIndexOf('/')
    const query = queryText({ path: at.slice(0, cut) })
    const reply = await this.#api.call('GET', `${ROUTE.slice(0, -1)}?${query}`, undefined, signal)
    if (reply.status !== 'ok') return undefined
    const files = (reply.json.files ?? []) as readonly { path: string; is_dir?: boolean }[]
    const name = at.slice(cut + 1)
    const found = files.find((file) => file.path === name)
    return found ? found.is_dir === true : 'absent'
  }
}

/** Of a path: each segment so that it stands in a URL for itself. */
export function urlPath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

function tooLarge(path: string, content: Content): Refusal {
  const reason = `a server before MLflow takes no request of ${sizeOf(content)} bytes ('${path}', 413): raise its limit`
  return { status: 'split', code: 'ERR_REFUSED', reason }
}
