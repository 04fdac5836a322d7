/**
 * A large file in parts, straight to the store behind the server, where that store can do so (S3 and its like):
 * `mpu/create` gives an address for each part, good for an hour; the parts go there without our credentials;
 * `mpu/complete` makes them one file. Nothing is seen of it before, and a part that is sent again replaces itself.
 *
 * An address is a credential, so none is written down, and MLflow gives no second one for a part: while the process
 * lives an upload goes on where it was, after a crash it is given up and begun anew.
 */
import type { HttpClient, Refusal } from '../../http.ts'
import type { MlflowApi } from '../api.ts'
import { answerOf, isFault } from '../remote-run.ts'
import type { Content, PartsState, Transfer } from './store.ts'

const ROUTE = '/api/2.0/mlflow-artifacts/mpu/'
/** S3: at least 5 MiB, except the last, and at most 10,000 parts. */
const MIN_PART_BYTES = 16 * 1024 * 1024
const MAX_PARTS = 1000
/** The addresses of an older upload are taken for dead, some time before they are. */
const FRESH_MS = 50 * 60_000
const UNSUPPORTED: ReadonlySet<number> = new Set([404, 405, 501])

type FileContent = Extract<Content, { location: string }>
/** Opens a client to the store behind the server; none of our credentials go there. */
export type OpenStore = (origin: string) => HttpClient
interface PartFile {
  readonly location: string
  readonly from: number
  readonly bytes: number
}

export class MultipartUpload {
  readonly #api: MlflowApi
  readonly #openStore: OpenStore
  /** Whether the server says that its store takes parts; unknown before the first large file. */
  #supported: boolean | undefined
  /** Paths of files that took longer than their addresses were good for: they go in one piece. */
  readonly #tooSlow = new Set<string>()

  constructor(api: MlflowApi, openStore: OpenStore) {
    this.#api = api
    this.#openStore = openStore
  }

  /** @param path of the artifact, as it stands in an address */
  async send(
    path: string,
    content: FileContent,
    transfer: Transfer,
  ): Promise<Refusal | undefined | 'unsupported'> {
    const supported = await this.#isSupported(transfer.signal)
    if (typeof supported === 'object') return supported
    if (!supported || this.#tooSlow.has(path)) return 'unsupported'
    const begun = await this.#begin(path, content, transfer)
    if (begun === 'unsupported' || 'status' in begun) return begun
    const http = this.#openStore(new URL(begun.parts[0]!.url).origin)
    try {
      const state = await this.#sendParts(http, path, begun, content, transfer)
      return 'status' in state ? state : await this.#complete(path, state, transfer)
    } finally {
      await http.close()
    }
  }

  async #sendParts(
    http: HttpClient,
    path: string,
    begun: PartsState,
    content: FileContent,
    transfer: Transfer,
  ): Promise<PartsState | Refusal> {
    let state = begun
    for (const part of begun.parts) {
      const from = (part.number - 1) * state.partBytes
      const bytes = Math.min(state.partBytes, content.size - from)
      if (part.etag !== undefined) {
        transfer.sent(bytes)
        continue
      }
      const answer = await sendPart(http, part, { location: content.location, from, bytes }, transfer)
      if ('reason' in answer) {
        if (answer.dead) {
          if (isOld(state)) this.#tooSlow.add(path)
          await this.#abort(path, state.uploadId, transfer.signal)
          transfer.keepParts?.(undefined)
        }
        return { status: 'retry', code: 'ERR_SERVER', reason: answer.reason }
      }
      const parts = state.parts.map((one) =>
        one.number === part.number ? { ...one, etag: answer.etag } : one,
      )
      state = { ...state, parts }
      transfer.keepParts?.(state)
    }
    return state
  }

  async #isSupported(signal: AbortSignal): Promise<boolean | Refusal> {
    if (this.#supported !== undefined) return this.#supported
    const reply = await this.#api.call('GET', '/api/3.0/mlflow/server-info', undefined, signal)
    if (reply.status === 'ok') this.#supported = reply.json.multipart_uploads_enabled === true
    else if (reply.status === 'fault' || UNSUPPORTED.has(reply.code)) this.#supported = false
    else return answerOf(reply)
    return this.#supported
  }

  async #begin(
    path: string,
    content: FileContent,
    transfer: Transfer,
  ): Promise<PartsState | Refusal | 'unsupported'> {
    const known = transfer.parts
    if (known && !isOld(known) && fits(known, content.size)) return known
    const over = known?.uploadId ?? transfer.abandoned
    if (over !== undefined) await this.#abort(path, over, transfer.signal)
    const partBytes = Math.max(MIN_PART_BYTES, Math.ceil(content.size / MAX_PARTS))
    const count = Math.ceil(content.size / partBytes)
    const since = Date.now()
    const body = { path: baseName(path), num_parts: count }
    const reply = await this.#api.call('POST', `${ROUTE}create/${folder(path)}`, body, transfer.signal)
    if (reply.status === 'refused' && UNSUPPORTED.has(reply.code)) {
      this.#supported = false
      return 'unsupported'
    }
    if (reply.status !== 'ok') return answerOf(reply)
    const credentials = (reply.json.credentials ?? []) as readonly {
      part_number: number
      url: string
      headers?: Readonly<Record<string, string>>
    }[]
    const parts = credentials.map(({ part_number, url, headers }) => ({
      number: Number(part_number),
      url,
      ...(headers && Object.keys(headers).length > 0 && { headers }),
    }))
    const state = { uploadId: String(reply.json.upload_id), partBytes, parts, since }
    if (!fits(state, content.size)) {
      return {
        status: 'retry',
        code: 'ERR_SERVER',
        reason: 'MLflow gave no address for each part of a large file',
      }
    }
    transfer.keepParts?.(state)
    return state
  }

  async #complete(path: string, state: PartsState, transfer: Transfer): Promise<Refusal | undefined> {
    const body = {
      path: baseName(path),
      upload_id: state.uploadId,
      parts: state.parts.map(({ number, etag, url }) => ({ part_number: number, etag, url })),
    }
    const reply = await this.#api.call('POST', `${ROUTE}complete/${folder(path)}`, body, transfer.signal)
    if (reply.status === 'ok') {
      transfer.keepParts?.(undefined)
      return undefined
    }
    // After an answer that was lost the store knows the upload no more: what follows sends the file anew.
    const refusal = answerOf(reply)
    const over = isFault(reply, 'missing') || (reply.status === 'refused' && reply.code === 500)
    if (over) transfer.keepParts?.(undefined)
    return over ? { status: 'retry', code: 'ERR_SERVER', reason: refusal.reason } : refusal
  }

  /** Frees what the store holds of an upload that is given up; it does no harm if that fails. */
  async #abort(path: string, uploadId: string, signal: AbortSignal): Promise<void> {
    const body = { path: baseName(path), upload_id: uploadId }
    await this.#api.call('POST', `${ROUTE}abort/${folder(path)}`, body, signal)
  }
}

/** `dead`: its address is refused and will not get better; a new upload has new ones. */
async function sendPart(
  http: HttpClient,
  part: PartsState['parts'][number],
  file: PartFile,
  { signal, sent }: Transfer,
): Promise<{ readonly etag: string } | { readonly reason: string; readonly dead: boolean }> {
  const url = new URL(part.url)
  const body = { type: '', file: { ...file, sent } }
  const reply = await http.request('PUT', url.pathname + url.search, body, signal, part.headers)
  if (reply.status === 'unanswered') return { reason: reply.reason, dead: false }
  if (reply.code >= 200 && reply.code < 300) return { etag: reply.etag ?? '' }
  // The address is a credential in itself, and answers like to repeat it: of their text only the code is shown.
  const said = /<Code>(\w+)<\/Code>/.exec(reply.text)?.[1] ?? ''
  const reason = `the store behind MLflow, ${url.origin}, answered ${reply.code} ${said} to a part of a file`
  return { reason, dead: reply.code < 500 && reply.code !== 429 && reply.code !== 408 }
}

function isOld({ since }: PartsState): boolean {
  const age = Date.now() - since
  return age < 0 || age >= FRESH_MS
}

function fits(state: PartsState, size: number): boolean {
  const numbers = state.parts.every((part, i) => part.number === i + 1 && URL.canParse(part.url))
  return numbers && state.partBytes > 0 && state.parts.length === Math.ceil(size / state.partBytes)
}

function folder(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

/** As the file is called, not as it stands in an address. */
function baseName(path: string): string {
  return decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
}
