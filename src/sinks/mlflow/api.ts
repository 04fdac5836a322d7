/** One call of MLflow's REST API, and what its answers mean. */
import type { HttpClient, HttpReply, Refusal } from '../http.ts'

/** Not found, not allowed as it is, there already: what it means depends on the call. */
export type ApiFault = 'missing' | 'invalid' | 'exists'

export type ApiReply =
  | { readonly status: 'ok'; readonly json: Readonly<Record<string, unknown>> }
  | { readonly status: 'fault'; readonly fault: ApiFault; readonly reason: string }
  /** Means the same for every call. `unclear`: the server may have done what was asked. */
  | { readonly status: 'refused'; readonly refusal: Refusal; readonly unclear: boolean }

const ROOT = '/api/2.0/mlflow/'
const NO_BODY = undefined

export class MlflowApi {
  readonly #http: HttpClient
  /** Address of the server, as the user gave it. */
  readonly #uri: string
  readonly #prefix: string

  constructor(http: HttpClient, uri: string) {
    this.#http = http
    this.#uri = uri
    this.#prefix = new URL(uri).pathname.replace(/\/+$/, '') + ROOT
  }

  async get(
    route: string,
    query: Readonly<Record<string, string | number>>,
    signal: AbortSignal,
  ): Promise<ApiReply> {
    const text = new URLSearchParams(
      Object.entries(query).map(([key, value]): [string, string] => [key, String(value)]),
    )
    return this.#read(await this.#http.request('GET', `${this.#prefix}${route}?${text}`, NO_BODY, signal))
  }

  async post(route: string, body: object | Buffer, signal: AbortSignal): Promise<ApiReply> {
    const bytes = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    const json = { type: 'application/json', bytes }
    return this.#read(await this.#http.request('POST', this.#prefix + route, json, signal))
  }

  #read(reply: HttpReply): ApiReply {
    if (reply.status === 'unanswered') return refused(this.#http.refusal(reply)!, reply.sent)
    const json = parseObject(reply.text)
    const errorCode = typeof json?.error_code === 'string' ? json.error_code : undefined
    const success = reply.code >= 200 && reply.code < 300
    if (success && errorCode === undefined) {
      if (json !== undefined) return { status: 'ok', json }
      const reason = `${this.#uri} answered ${reply.code} with something that is not MLflow's: is a proxy or a login page before it?`
      return refused({ status: 'retry', reason }, true)
    }
    const message = this.#http.redact(typeof json?.message === 'string' ? json.message : reply.text)
    const reason = `MLflow: ${message || `status ${reply.code}`}`
    if (errorCode === 'RESOURCE_DOES_NOT_EXIST') return { status: 'fault', fault: 'missing', reason }
    if (errorCode === 'RESOURCE_ALREADY_EXISTS') return { status: 'fault', fault: 'exists', reason }
    if (errorCode === 'BAD_REQUEST' && !/DataError|IntegrityError/.test(message)) {
      // MLflow's word for any fault of its database that it does not know: no connection free, one closed.
      return refused({ status: 'retry', reason }, true)
    }
    if (reply.code === 400 && json !== undefined) return { status: 'fault', fault: 'invalid', reason }
    if (success) return refused({ status: 'retry', reason }, true)
    if (reply.code === 404) {
      const hint = `no MLflow API at ${this.#uri}: is the address, with its static prefix, right?`
      return refused({ status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason: hint }, false)
    }
    if (reply.code === 403 && /invalid host header/i.test(reply.text)) {
      const { host } = new URL(this.#uri)
      const hint = `MLflow refuses the host name '${host}'; start it with --allowed-hosts '${host}'`
      return refused({ status: 'blocked', scope: 'account', code: 'ERR_AUTH', reason: hint }, false)
    }
    if (reply.code === 403 && errorCode === 'PERMISSION_DENIED') {
      return refused({ status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason }, false)
    }
    return refused(this.#http.refusal(reply)!, reply.code >= 500)
  }
}

function refused(refusal: Refusal, unclear: boolean): ApiReply {
  return { status: 'refused', refusal, unclear }
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
