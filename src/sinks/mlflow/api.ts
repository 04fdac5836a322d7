/** One call of MLflow's REST API, and what its answers mean. */
import type { HttpBody, HttpClient, HttpReply, Refusal } from '../http.ts'

/** Not found, not allowed as it is, there already: what it means depends on the call. */
export type ApiFault = 'missing' | 'invalid' | 'exists'

export type ApiReply =
  | { readonly status: 'ok'; readonly json: Readonly<Record<string, unknown>> }
  | { readonly status: 'fault'; readonly fault: ApiFault; readonly reason: string }
  /**
   * Means the same for every call. `unclear`: the server may have done what was asked. `code`: its HTTP status,
   * 0 without an answer.
   */
  | {
      readonly status: 'refused'
      readonly refusal: Refusal
      readonly unclear: boolean
      readonly code: number
    }
type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

const ROOT = '/api/2.0/mlflow/'

export class MlflowApi {
  readonly #http: HttpClient
  /** Address of the server, as the user gave it. */
  readonly #uri: string
  /** Path of the server: its static prefix. */
  readonly #base: string

  constructor(http: HttpClient, uri: string) {
    this.#http = http
    this.#uri = uri
    this.#base = new URL(uri).pathname.replace(/\/+$/, '')
  }

  async get(
    route: string,
    query: Readonly<Record<string, string | number>>,
    signal: AbortSignal,
  ): Promise<ApiReply> {
    return this.call('GET', `${ROOT}${route}?${queryText(query)}`, undefined, signal)
  }

  async post(route: string, body: object | Buffer, signal: AbortSignal): Promise<ApiReply> {
    return this.call('POST', ROOT + route, body, signal)
  }

  /**
   * A call of any part of the API.
   * @param path below the server's address, with its leading slash and its query
   * @param body an object goes as JSON
   */
  async call(
    method: Method,
    path: string,
    body: object | Buffer | undefined,
    signal: AbortSignal,
  ): Promise<ApiReply> {
    const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    const json = bytes && { type: 'application/json', bytes }
    return this.#read(await this.#http.request(method, this.#base + path, json, signal), true)
  }

  /** Sends content, not JSON, over a client of its own; the answer may be empty. */
  async send(
    http: HttpClient,
    method: Method,
    path: string,
    body: HttpBody,
    signal: AbortSignal,
  ): Promise<ApiReply> {
    const reply = await http.request(method, this.#base + path, body, signal)
    const empty = reply.status === 'answered' && reply.text.trim() === ''
    return this.#read(empty ? { ...reply, text: '{}' } : reply, false)
  }

  /** @param isApi what MLflow itself refuses there is JSON */
  #read(reply: HttpReply, isApi: boolean): ApiReply {
    if (reply.status === 'unanswered') return refused(this.#http.refusal(reply)!, reply.sent, 0)
    const json = parseObject(reply.text)
    const errorCode = typeof json?.error_code === 'string' ? json.error_code : undefined
    const success = reply.code >= 200 && reply.code < 300
    if (success && errorCode === undefined) {
      if (json !== undefined) return { status: 'ok', json }
      const reason = `${this.#uri} answered ${reply.code} with something that is not MLflow's: is a proxy or a login page before it?`
      return refused({ status: 'retry', code: 'ERR_SERVER', reason }, true, reply.code)
    }
    const message = this.#http.redact(typeof json?.message === 'string' ? json.message : reply.text)
    const reason = `MLflow: ${message || `status ${reply.code}`}`
    if (errorCode === 'RESOURCE_DOES_NOT_EXIST') return { status: 'fault', fault: 'missing', reason }
    if (errorCode === 'RESOURCE_ALREADY_EXISTS') return { status: 'fault', fault: 'exists', reason }
    if (errorCode === 'BAD_REQUEST' && !/DataError|IntegrityError/.test(message)) {
      // MLflow's word for any fault of its database that it does not know: no connection free, one closed.
      return refused({ status: 'retry', code: 'ERR_SERVER', reason }, true, reply.code)
    }
    if (reply.code === 400 && json !== undefined) return { status: 'fault', fault: 'invalid', reason }
    if (success) return refused({ status: 'retry', code: 'ERR_SERVER', reason }, true, reply.code)
    if (reply.code === 404) {
      const hint = `no MLflow API at ${this.#uri}: is the address, with its static prefix, right?`
      return refused(
        { status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason: hint },
        false,
        reply.code,
      )
    }
    if (reply.code === 503 && /--serve-artifacts/.test(reply.text)) {
      return refused({ status: 'blocked', scope: 'run', code: 'ERR_SERVER', reason }, false, reply.code)
    }
    if (reply.code === 403 && /invalid host header/i.test(reply.text)) {
      const { host } = new URL(this.#uri)
      const hint = `MLflow refuses the host name '${host}'; start it with --allowed-hosts '${host}'`
      return refused(
        { status: 'blocked', scope: 'account', code: 'ERR_AUTH', reason: hint },
        false,
        reply.code,
      )
    }
    if (reply.code === 403 && errorCode === 'PERMISSION_DENIED') {
      return refused({ status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason }, false, reply.code)
    }
    const refusal = this.#http.refusal(reply)!
    if (refusal.status === 'split' && !refusal.tooLarge && isApi && json === undefined) {
      // a gateway that refuses whatever comes must not cost the points
      const hint = `${this.#uri} answered ${reply.code} with something that is not MLflow's: is a proxy before it?`
      return refused(
        { status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason: hint },
        false,
        reply.code,
      )
    }
    return refused(refusal, reply.code >= 500, reply.code)
  }
}

function refused(refusal: Refusal, unclear: boolean, code: number): ApiReply {
  return { status: 'refused', refusal, unclear, code }
}

export function queryText(query: Readonly<Record<string, string | number>>): string {
  const entries = Object.entries(query).map(([key, value]): [string, string] => [key, String(value)])
  return new URLSearchParams(entries).toString()
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
