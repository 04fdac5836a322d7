/** One Aim server: its HTTP routes and its write socket, below an optional base path. */

import { HttpClient, type HttpReply, type Refusal } from '../http.ts'
import { PoolShare } from '../http-pool.ts'
import { type AimException, AimSocket } from './socket.ts'

export interface AimConnectionOptions {
  /** `http://host:port` */
  readonly origin: string
  /** '' or as `/tracking`: what `aim server --base-path` was given. */
  readonly basePath: string
  /** Sent with every request and with the socket's handshake: what a proxy before the server asks for. */
  readonly headers: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
  readonly caFile?: string | undefined
  readonly insecureTls?: boolean | undefined
}

export type AimReply =
  | { readonly bytes: Buffer }
  /** The server's own word on what was asked. */
  | { readonly exception: AimException }
  | { readonly refusal: Refusal }

export class AimConnection {
  readonly #options: AimConnectionOptions
  readonly #http: HttpClient
  readonly #sockets: PoolShare

  /** @throws TraceletError ERR_OPTION when a TLS file cannot be read */
  constructor(options: AimConnectionOptions) {
    this.#options = options
    const { origin, secrets, caFile, insecureTls } = options
    const tls = { caFile, insecureTls }
    const headers = { 'user-agent': 'tracelet', ...options.headers }
    this.#http = new HttpClient({ origin, connections: 2, headers, secrets, ...tls })
    // a socket keeps its connection: what runs share must not be used up by it
    this.#sockets = new PoolShare({ origin, connections: 1024, lane: 'aim socket', ...tls })
  }

  get(path: string, signal: AbortSignal): Promise<AimReply> {
    return this.#request('GET', path, undefined, signal)
  }

  post(path: string, json: unknown, signal: AbortSignal): Promise<AimReply> {
    return this.#request('POST', path, json, signal)
  }

  async socket(
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly socket: AimSocket } | { readonly refusal: Refusal }> {
    const { origin, basePath, headers } = this.#options
    const url = `${origin.replace(/^http/, 'ws')}${basePath}${path}`
    const pool = await this.#sockets.pool()
    if (pool === undefined) return { refusal: unreachable('the connection was closed by us') }
    const opened = await AimSocket.open(url, headers, pool, signal)
    if (opened instanceof AimSocket) return { socket: opened }
    return { refusal: unreachable(this.redact(`${origin} takes no socket: ${opened.failed}`)) }
  }

  /** One line, bounded, without secrets. */
  redact(text: string): string {
    return this.#http.redact(text)
  }

  async close(): Promise<void> {
    await Promise.all([this.#http.close(), this.#sockets.close()])
  }

  async #request(
    method: 'GET' | 'POST',
    path: string,
    json: unknown,
    signal: AbortSignal,
  ): Promise<AimReply> {
    const body =
      json === undefined ? undefined : { type: 'application/json', bytes: Buffer.from(JSON.stringify(json)) }
    const reply = await this.#http.request(method, this.#options.basePath + path, body, signal)
    const exception = exceptionOf(reply)
    if (exception !== undefined) return { exception }
    const refusal = this.#http.refusal(reply)
    if (refusal !== undefined) return { refusal: aboutServer(refusal) }
    return { bytes: (reply.status === 'answered' && reply.bytes) || Buffer.alloc(0) }
  }
}

export function unreachable(reason: string): Refusal {
  return { status: 'retry', code: 'ERR_UNREACHABLE', reason }
}

/** `{"exception": {…}}` with 400. */
function exceptionOf(reply: HttpReply): AimException | undefined {
  if (reply.status !== 'answered' || reply.code !== 400) return undefined
  try {
    const { exception } = JSON.parse(reply.text) as {
      exception?: { class_name?: unknown; message?: unknown }
    }
    if (exception === undefined) return undefined
    return { className: String(exception.class_name), message: String(exception.message ?? '') }
  } catch {
    return undefined
  }
}

/** No request carries an item: a 404 is of a wrong address, and costs nothing that was logged. */
function aboutServer(refusal: Refusal): Refusal {
  if (refusal.status !== 'split') return refusal
  const reason = `${refusal.reason}: is it the address of an \`aim server\`, with its base path?`
  return { status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason }
}
