/** The two doors of a W&B server: GraphQL and the stream of a run's lines. What their answers mean. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { monotonicNow } from '../../core/clock.ts'
import type { WriteResult } from '../../core/types.ts'
import type { HttpClient, HttpReply, RateLimit, Refusal } from '../http.ts'

/** A run as the server told it: the path of the run there, and the server's own id of it. */
export interface RemoteRun {
  readonly entity: string
  readonly project: string
  readonly run: string
  readonly storageId: string
}

/** `code`: HTTP status of a refusal, 0 without an answer. */
export type Answered<T> =
  | { readonly data: T; readonly restMs?: number }
  | { readonly refusal: Refusal; readonly code?: number }

/** What there is nothing in that could be halved or given up is refused as a whole. */
export type RunRefusal = Exclude<Refusal, { status: 'split' }>
export function ofRun<Answer extends WriteResult>(
  answer: Answer,
): Exclude<Answer, { status: 'split' }> | RunRefusal {
  if (answer.status !== 'split') return answer as Exclude<Answer, { status: 'split' }>
  const { code, reason } = answer
  return { status: 'blocked', scope: 'run', code, reason }
}

type Json = Readonly<Record<string, unknown>>
const asGzip = promisify(gzip)

const FEATURES = 'query ServerFeaturesQuery { serverInfo { features { name isEnabled } } }'
/** By server, what it offers; asked once in a thread, and again only where it did not say. */
const features = new Map<string, Look>()
interface Look {
  readonly offered: Promise<Offered>
  againAt: number
}
/** undefined: it did not say. */
type Offered = ReadonlySet<string> | undefined
const ASK_AGAIN_MS = 60_000
/** A smaller body is not worth the time. */
const MIN_GZIP_BYTES = 4096

/** Below it nothing is gained by spreading requests. */
const MIN_REST_MS = 10
/** The SDK goes down to a request in 10 s, and no further. */
const MAX_REST_MS = 10_000

export class WandbApi {
  readonly #http: HttpClient
  /** As the user gave it. */
  readonly #baseUrl: string
  /** Path of a server that does not stand at the root of its host. */
  readonly #base: string
  readonly #now: () => number

  constructor(http: HttpClient, baseUrl: string, now: () => number = monotonicNow) {
    this.#now = now
    this.#http = http
    this.#baseUrl = baseUrl
    this.#base = new URL(baseUrl).pathname.replace(/\/+$/, '')
  }

  /** Runs with the same text are at one server. */
  get baseUrl(): string {
    return this.#baseUrl
  }

  /** One line of a text, without secrets. */
  redact(text: string): string {
    return this.#http.redact(text)
  }

  /** @param operation its name, for the reason of a refusal */
  async graphql<T>(
    operation: string,
    query: string,
    variables: object,
    signal: AbortSignal,
  ): Promise<Answered<T>> {
    const bytes = Buffer.from(JSON.stringify({ operationName: operation, query, variables }))
    const reply = await this.#http.request(
      'POST',
      `${this.#base}/graphql`,
      { type: 'application/json', bytes },
      signal,
    )
    const read = this.#read(reply)
    if ('refusal' in read) return read
    const errors = read.data.errors as readonly { message?: unknown }[] | undefined
    if (Array.isArray(errors) && errors.length > 0)
      return { refusal: this.#refused(operation, errors), code: 200 }
    if (typeof read.data.data !== 'object' || read.data.data === null) return this.#strange(reply)
    return { ...read, data: read.data.data as T }
  }

  /** Whether the server says that it has a feature; one that could not be asked has none. */
  async offers(feature: string, signal: AbortSignal): Promise<boolean> {
    const known = features.get(this.#baseUrl)
    if (known !== undefined && this.#now() < known.againAt)
      return (await known.offered)?.has(feature) ?? false
    const look: Look = { offered: this.features(signal), againAt: Infinity }
    features.set(this.#baseUrl, look)
    const offered = await look.offered
    if (offered === undefined) look.againAt = this.#now() + ASK_AGAIN_MS
    return offered?.has(feature) ?? false
  }

  /**
   * One request to a run's stream.
   * @param body JSON text in ASCII
   */
  async fileStream(
    { entity, project, run }: Pick<RemoteRun, 'entity' | 'project' | 'run'>,
    body: Buffer,
    signal: AbortSignal,
  ): Promise<Answered<Json>> {
    const isGzip = body.length >= MIN_GZIP_BYTES && (await this.offers('FILESTREAM_GZIP', signal))
    const path = [entity, project, run].map(encodeURIComponent).join('/')
    const reply = await this.#http.request(
      'POST',
      `${this.#base}/files/${path}/file_stream`,
      { type: 'application/json', bytes: isGzip ? await asGzip(body, { level: 1 }) : body },
      signal,
      isGzip ? { 'content-encoding': 'gzip' } : {},
    )
    return this.#read(reply)
  }

  /** What the server offers, asked now; undefined where it does not say. */
  async features(signal: AbortSignal): Promise<Offered> {
    const answer = await this.graphql<ServerFeatures>('ServerFeaturesQuery', FEATURES, {}, signal)
    const list = 'data' in answer ? (answer.data.serverInfo?.features ?? []) : undefined
    return list && new Set(list.flatMap((one) => (one?.isEnabled ? [one.name] : [])))
  }

  #read(reply: HttpReply): Answered<Json> {
    const refusal = this.#http.refusal(reply)
    const json = reply.status === 'answered' ? parseObject(reply.text) : undefined
    if (reply.status === 'unanswered') return { refusal: refusal!, code: 0 }
    const { code } = reply
    if (refusal === undefined) {
      if (json === undefined) return this.#strange(reply)
      const rest = restMs(reply.rateLimit)
      return rest === undefined ? { data: json } : { data: json, restMs: rest }
    }
    if (refusal.status === 'retry') return { refusal, code }
    const said = this.#http.redact(messageOf(json) ?? reply.text)
    const reason = `W&B answered ${code}${said ? `: ${said}` : ''}`
    const blocked = (scope: 'run' | 'account', word: string, why = reason): Answered<Json> => ({
      refusal: { status: 'blocked', scope, code: word, reason: why },
      code,
    })
    if (code === 401) return blocked('account', 'ERR_AUTH', `${reason} (is the API key right?)`)
    // A gateway that refuses whatever comes is not the server, and must cost nothing.
    if (json === undefined && code !== 413) {
      const hint = `${this.#baseUrl} answered ${code} with something that is not W&B's: is the address right, is a proxy before it?`
      return blocked('account', code === 403 ? 'ERR_AUTH' : 'ERR_SERVER', hint)
    }
    if (code === 403) return blocked('run', 'ERR_AUTH')
    if (code === 404 || code === 410) return blocked('run', 'ERR_REMOTE_RUN_GONE')
    if (code === 400 || code === 413 || code === 422)
      return { refusal: { ...refusal, reason } as Refusal, code }
    return refusal.status === 'blocked' ? { refusal, code } : blocked('run', 'ERR_SERVER')
  }

  #strange(reply: HttpReply): { readonly refusal: Refusal; readonly code: number } {
    const code = reply.status === 'answered' ? reply.code : 0
    const reason = `${this.#baseUrl} answered ${code} with something that is not W&B's: is a proxy or a login page before it?`
    return { refusal: { status: 'retry', code: 'ERR_SERVER', reason }, code }
  }

  /** A success that is none. */
  #refused(operation: string, errors: readonly { message?: unknown }[]): Refusal {
    const message = this.#http.redact(errors.map((error) => String(error?.message ?? error)).join('; '))
    const reason = `W&B refused ${operation}: ${message}`
    if (/permission|not authori[sz]ed|unauthori[sz]ed|forbidden/i.test(message)) {
      return { status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason }
    }
    return { status: 'split', code: 'ERR_REFUSED', reason }
  }
}

interface ServerFeatures {
  readonly serverInfo?: {
    readonly features?: readonly ({ readonly name: string; readonly isEnabled: boolean } | null)[] | null
  } | null
}

/**
 * How long requests should rest so that what is left of the limit lasts until it is renewed; undefined where it does
 * anyhow. The SDK lowers its rate by the same two numbers.
 */
export function restMs(limit: RateLimit | undefined): number | undefined {
  if (limit === undefined) return undefined
  const { remaining, resetMs } = limit
  const rest = remaining < 1 ? resetMs : Math.min(MAX_REST_MS, resetMs / remaining)
  return rest < MIN_REST_MS ? undefined : Math.ceil(rest)
}

/** `{"error": …}` of the stream, `{"errors": [{"message": …}]}` of GraphQL. */
function messageOf(json: Json | undefined): string | undefined {
  if (typeof json?.error === 'string') return json.error
  if (typeof json?.message === 'string') return json.message
  const errors = Array.isArray(json?.errors) ? (json.errors as readonly { message?: unknown }[]) : []
  const messages = errors.map((error) => (typeof error?.message === 'string' ? error.message : ''))
  return messages.some(Boolean) ? messages.filter(Boolean).join('; ') : undefined
}

export function parseObject(text: string | null | undefined): Json | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '')
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined
  } catch {
    return undefined
  }
}
