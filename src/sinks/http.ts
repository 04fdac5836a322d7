/**
 * HTTP for sinks: connections shared by all runs of a thread that talk to one origin, and the meaning of what a
 * server answers, as far as it is the same everywhere. Knows no backend.
 *
 * No text that leaves this file holds a secret: reasons pass through `redact`.
 */
import { readFileSync } from 'node:fs'
import type { Pool } from 'undici'
import { TraceletError } from '../core/errors.ts'
import type { WriteResult } from '../core/types.ts'

export interface HttpOptions {
  /** Scheme, host and port: `https://host:8443`. */
  readonly origin: string
  /** Connections per origin, shared by every client that asks for the same origin and TLS files. */
  readonly connections: number
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>
  /** Texts that must never be seen in a reason. */
  readonly secrets: readonly string[]
  readonly insecureTls?: boolean | undefined
  /** PEM bundle of certificate authorities, instead of Node's. */
  readonly caFile?: string | undefined
  /** PEM file with the client's certificate and key. */
  readonly clientCertFile?: string | undefined
}

export type HttpReply =
  | {
      readonly status: 'answered'
      readonly code: number
      readonly retryAfterMs: number | undefined
      readonly location: string | undefined
      readonly text: string
    }
  /** No whole answer. `sent` is false when surely nothing reached the server. */
  | {
      readonly status: 'unanswered'
      readonly sent: boolean
      readonly needsAction: boolean
      readonly reason: string
    }

export type Refusal = Extract<WriteResult, { status: 'retry' | 'split' | 'blocked' }>

/** uvicorn closes idle connections after 5 s, and a request on one being closed fails: ours close first. */
const KEEP_ALIVE_MS = 4_000
const CONNECT_TIMEOUT_MS = 10_000
/** A loaded server can take a minute over one request (MLflow on SQLite 26 s); giving up early doubles its work. */
const ANSWER_TIMEOUT_MS = 120_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const MAX_REASON_CHARS = 300
const MAX_RETRY_AFTER_MS = 3_600_000

interface SharedPool {
  readonly settings: Pool.Options
  /** Made with the first request: loading undici takes a while, and only threads that send need it. */
  pool: Promise<Pool> | undefined
  users: number
}
const pools = new Map<string, SharedPool>()

/** Answers that may be about something in the request itself. */
const ABOUT_ITEMS: ReadonlySet<number> = new Set([400, 404, 409, 413, 414, 422, 431])

/** One sink's door to a shared pool. `close()` frees the pool when nobody else uses it. */
export class HttpClient {
  readonly #options: HttpOptions
  readonly #secrets: readonly string[]
  readonly #key: string
  #shared: SharedPool | undefined

  /** @throws TraceletError ERR_OPTION when a TLS file cannot be read */
  constructor(options: HttpOptions) {
    this.#options = options
    this.#secrets = [...new Set(options.secrets.flatMap(spellings))].sort((a, b) => b.length - a.length)
    this.#key = JSON.stringify([
      options.origin,
      options.connections,
      options.insecureTls ?? false,
      options.caFile ?? '',
      options.clientCertFile ?? '',
    ])
    this.#shared = pools.get(this.#key)
    if (this.#shared === undefined) {
      this.#shared = { settings: poolSettings(options), pool: undefined, users: 0 }
      pools.set(this.#key, this.#shared)
    }
    this.#shared.users++
  }

  /** Never throws; settles at once when `signal` aborts. */
  async request(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body: { readonly type: string; readonly bytes: Buffer } | undefined,
    signal: AbortSignal,
  ): Promise<HttpReply> {
    const shared = this.#shared
    if (shared === undefined) return unanswered(false, false, 'the connection was closed by us')
    const headers = body ? { ...this.#options.headers, 'content-type': body.type } : this.#options.headers
    try {
      shared.pool ??= openPool(this.#options.origin, shared.settings).catch((error: unknown) => {
        shared.pool = undefined
        throw error
      })
      const pool = await shared.pool
      const answer = await pool.request({ method, path, headers, body: body?.bytes ?? null, signal })
      return {
        status: 'answered',
        code: answer.statusCode,
        retryAfterMs: retryAfterMs(first(answer.headers['retry-after']), Date.now()),
        location: first(answer.headers.location),
        text: await answer.body.text(),
      }
    } catch (error) {
      return this.#failure(error, signal)
    }
  }

  async close(): Promise<void> {
    const shared = this.#shared
    this.#shared = undefined
    if (shared === undefined || --shared.users > 0) return
    pools.delete(this.#key)
    await (await shared.pool)?.destroy()
  }

  /** One line, bounded, without markup, control characters or secrets. */
  redact(text: string): string {
    let clean = text
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, '***')
    return oneLine(clean)
  }

  /**
   * What an answer means to any sink; undefined for success (2xx). A sink looks at its backend's own error
   * codes first.
   */
  refusal(reply: HttpReply): Refusal | undefined {
    if (reply.status === 'unanswered') {
      return reply.needsAction
        ? { status: 'blocked', scope: 'account', code: 'ERR_UNREACHABLE', reason: reply.reason }
        : { status: 'retry', reason: reply.reason, ...(!reply.sent && { unsent: true }) }
    }
    const { code } = reply
    if (code >= 200 && code < 300) return undefined
    const text = this.redact(reply.text)
    const reason = `${this.#options.origin} answered ${code}${text ? `: ${text}` : ''}`
    if (code === 401 || code === 403 || code === 407) {
      return { status: 'blocked', scope: 'account', code: 'ERR_AUTH', reason }
    }
    if (code >= 300 && code < 400) {
      const to = reply.location ? ` to ${this.redact(reply.location)}` : ''
      const hint = `${this.#options.origin} redirects${to} (${code}): give the address it redirects to`
      return { status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason: hint }
    }
    if (code === 408 || code === 425 || code === 429 || code >= 500) {
      const { retryAfterMs: afterMs } = reply
      const unsent = code === 429
      return {
        status: 'retry',
        reason,
        ...(afterMs !== undefined && { afterMs }),
        ...(unsent && { unsent }),
      }
    }
    // Other refusals are about us, not about an item (a quota page, a gateway): nothing is thrown away for them.
    if (!ABOUT_ITEMS.has(code)) return { status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason }
    return { status: 'split', code: 'ERR_REFUSED', reason }
  }

  #failure(error: unknown, signal: AbortSignal): HttpReply {
    if (signal.aborted) return unanswered(true, false, 'given up: the time for it is over')
    const code = codeOf(error)
    const message = this.redact(error instanceof Error ? error.message || code : String(error))
    const where = this.#options.origin
    if (isCertificateFault(code)) {
      const hint = 'give the file of its certificate authority, or allow insecure TLS'
      return unanswered(false, true, `${where}: the certificate is not trusted (${code}); ${hint}`)
    }
    const shown = code && !message.includes(code) ? `${message} (${code})` : message
    return unanswered(!NEVER_SENT.has(code), false, `${where} does not answer: ${shown}`)
  }
}

function unanswered(sent: boolean, needsAction: boolean, reason: string): HttpReply {
  return { status: 'unanswered', sent, needsAction, reason }
}

async function openPool(origin: string, settings: Pool.Options): Promise<Pool> {
  const { Pool } = await import('undici')
  return new Pool(origin, settings)
}

function poolSettings(options: HttpOptions): Pool.Options {
  const certificate = options.clientCertFile && pem(options.clientCertFile)
  return {
    connections: options.connections,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
    maxResponseSize: MAX_ANSWER_BYTES,
    connect: {
      timeout: CONNECT_TIMEOUT_MS,
      ...(options.insecureTls && { rejectUnauthorized: false }),
      ...(options.caFile && { ca: pem(options.caFile) }),
      ...(certificate && { cert: certificate, key: certificate }),
    },
  }
}

function pem(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new TraceletError('ERR_OPTION', `the certificate file '${file}' cannot be read`, { cause })
  }
}

/** Faults before the first byte of a request could leave. */
const NEVER_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EMFILE',
  'UND_ERR_CONNECT_TIMEOUT',
])

function isCertificateFault(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|HOSTNAME_MISMATCH/.test(code)
}

function codeOf(error: unknown): string {
  for (let at = error as { code?: unknown; cause?: unknown } | undefined; at; at = at.cause as typeof at) {
    if (typeof at.code === 'string') return at.code
  }
  return ''
}

/** The ways a secret can stand in a server's answer. */
function spellings(secret: string): string[] {
  if (secret.length < 3) return []
  return [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')]
}

/**
 * `Retry-After` in ms from `now` (wall ms): seconds or an HTTP date, at most an hour; undefined when it is neither.
 */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  const wait = /^\s*\d+(\.\d+)?\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(0, wait), MAX_RETRY_AFTER_MS)
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function oneLine(text: string): string {
  const title = /<title>([^<]*)<\/title>/i.exec(text)?.[1]
  const plain = title ?? text.replace(/<[^>]*>/g, ' ')
  const line = plain.replace(/[\p{C}\s]+/gu, ' ').trim()
  return line.length > MAX_REASON_CHARS ? `${line.slice(0, MAX_REASON_CHARS)}…` : line
}
