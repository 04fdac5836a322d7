/**
 * HTTP for sinks: connections shared by all runs of a thread that talk to one origin, and the meaning of what a
 * server answers, as far as it is the same everywhere. Knows no backend.
 *
 * No text that leaves this file holds a secret: reasons pass through `redact`.
 */
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import type { WriteResult } from '../core/types.ts'
import { type PoolOptions, PoolShare } from './http-pool.ts'

export interface HttpOptions extends PoolOptions {
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>
  /** Texts that must never be seen in a reason. */
  readonly secrets: readonly string[]
}

/** What a request carries: bytes, or a part of a file that is read while it is sent. */
export type HttpBody = { readonly type: string } & ({ readonly bytes: Buffer } | { readonly file: FilePart })
export interface FilePart {
  readonly location: string
  readonly from: number
  readonly bytes: number
  /** So many more bytes were handed to the connection. */
  readonly sent: (bytes: number) => void
}

export type HttpReply =
  | {
      readonly status: 'answered'
      readonly code: number
      readonly retryAfterMs: number | undefined
      readonly location: string | undefined
      /** As the server spelled it, with its quotes. */
      readonly etag?: string | undefined
      /** What `RateLimit-Remaining` and `RateLimit-Reset` say, where both are numbers. */
      readonly rateLimit?: RateLimit | undefined
      readonly text: string
      /** What `text` was made of. */
      readonly bytes?: Buffer
    }
  /** No whole answer. `sent` is false when surely nothing reached the server. */
  | {
      readonly status: 'unanswered'
      readonly sent: boolean
      readonly needsAction: boolean
      readonly reason: string
    }

/** So many more requests, in units of the server's, before so many ms have passed. */
export interface RateLimit {
  readonly remaining: number
  readonly resetMs: number
}

export type Refusal = Extract<WriteResult, { status: 'retry' | 'split' | 'blocked' }>

const READ_BYTES = 256 * 1024
const MAX_REASON_CHARS = 300
const MAX_SEARCHED_CHARS = 8192
const MAX_RETRY_AFTER_MS = 3_600_000

/** Answers that may be about something in the request itself. */
const ABOUT_ITEMS: ReadonlySet<number> = new Set([400, 404, 409, 413, 414, 422, 431])

/** One sink's door to a shared pool. `close()` frees the pool when nobody else uses it. */
export class HttpClient {
  readonly #options: HttpOptions
  readonly #secrets: readonly string[]
  readonly #share: PoolShare

  /** @throws TraceletError ERR_OPTION when a TLS file cannot be read */
  constructor(options: HttpOptions) {
    this.#options = options
    this.#secrets = [...new Set(options.secrets.flatMap(spellings))].sort((a, b) => b.length - a.length)
    this.#share = new PoolShare(options)
  }

  /** Never throws; settles at once when `signal` aborts. */
  async request(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body: HttpBody | undefined,
    signal: AbortSignal,
    more: Readonly<Record<string, string>> = {},
  ): Promise<HttpReply> {
    try {
      const pool = await this.#share.pool()
      if (pool === undefined) return unanswered(false, false, 'the connection was closed by us')
      const headers: Record<string, string> = {
        ...this.#options.headers,
        ...(body && headersOf(body)),
        ...more,
      }
      const answer = await pool.request({
        method,
        path,
        headers,
        body: body ? contentOf(body) : null,
        signal,
      })
      const bytes = Buffer.from(await answer.body.arrayBuffer())
      return {
        status: 'answered',
        code: answer.statusCode,
        retryAfterMs: retryAfterMs(first(answer.headers['retry-after']), Date.now()),
        location: first(answer.headers.location),
        etag: first(answer.headers.etag),
        rateLimit: rateLimitOf(answer.headers),
        text: bytes.toString(),
        bytes,
      }
    } catch (error) {
      return this.#failure(error, signal)
    }
  }

  async close(): Promise<void> {
    await this.#share.close()
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
        ? { status: 'blocked', scope: 'account', code: 'ERR_CERTIFICATE', reason: reply.reason }
        : {
            status: 'retry',
            code: 'ERR_UNREACHABLE',
            reason: reply.reason,
            ...(!reply.sent && { unsent: true }),
          }
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
      const asks = afterMs === undefined ? '' : ` (asks to wait ${Math.ceil(afterMs / 1000)} s)`
      return {
        status: 'retry',
        code: code === 429 ? 'ERR_RATE_LIMITED' : 'ERR_SERVER',
        reason: `${reason}${asks}`,
        ...(afterMs !== undefined && { afterMs }),
        ...(unsent && { unsent }),
      }
    }
    // Other refusals are about us, not about an item (a quota page, a gateway): nothing is thrown away for them.
    if (!ABOUT_ITEMS.has(code)) return { status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason }
    return { status: 'split', code: 'ERR_REFUSED', reason, ...(code === 413 && { tooLarge: true }) }
  }

  #failure(error: unknown, signal: AbortSignal): HttpReply {
    if (signal.aborted) return unanswered(true, false, `given up: ${whyAborted(signal)}`)
    if (error instanceof FileFault) return unanswered(true, false, this.redact(error.message))
    const code = codeOf(error)
    const message = this.redact(error instanceof Error ? error.message || code : String(error))
    const where = this.#options.origin
    if (isCertificateFault(code)) {
      return unanswered(false, true, `${where}: ${certificateHint(code)} (${code})`)
    }
    if (isNoTls(code, message)) {
      return unanswered(
        false,
        false,
        `${where} does not speak TLS: is it http:// in place of https://? (${code})`,
      )
    }
    const shown = code && !message.includes(code) ? `${message} (${code})` : message
    return unanswered(!NEVER_SENT.has(code), false, `${where} does not answer: ${shown}`)
  }
}

function headersOf(body: HttpBody): Record<string, string> {
  // Bytes know their length; of a stream it must be said, or it goes out in chunks that not every server takes.
  const length = 'file' in body && body.file.bytes > 0 ? { 'content-length': String(body.file.bytes) } : {}
  return { ...(body.type !== '' && { 'content-type': body.type }), ...length }
}

/** Read anew for each request: one that is sent again begins at the beginning. */
function contentOf(body: HttpBody): Buffer | Readable {
  if ('bytes' in body) return body.bytes
  return body.file.bytes === 0 ? Buffer.alloc(0) : Readable.from(readPart(body.file), { objectMode: false })
}

/** It is we who cannot send, not the server that does not answer. */
class FileFault extends Error {}

/** @throws FileFault when the file is not there or shorter than it should be */
async function* readPart({ location, from, bytes, sent }: FilePart): AsyncGenerator<Buffer> {
  const stream = createReadStream(location, { start: from, end: from + bytes - 1, highWaterMark: READ_BYTES })
  let read = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      read += chunk.length
      yield chunk
      sent(chunk.length)
    }
  } catch (error) {
    throw new FileFault(`a file cannot be read: ${(error as Error).message}`)
  }
  if (read < bytes) throw new FileFault(`${location} became shorter while it was sent`)
}

function unanswered(sent: boolean, needsAction: boolean, reason: string): HttpReply {
  return { status: 'unanswered', sent, needsAction, reason }
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

function certificateHint(code: string): string {
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired and must be renewed there'
  if (code === 'CERT_NOT_YET_VALID')
    return 'its certificate is not valid yet: is the clock of this machine right?'
  if (/ALTNAME|HOSTNAME_MISMATCH/.test(code))
    return 'its certificate is for another host: give the address by the name that stands in the certificate'
  return 'its certificate is not trusted; give the file of its certificate authority, or allow insecure TLS'
}

/** An answer in plain text to the first message of TLS. */
function isNoTls(code: string, message: string): boolean {
  return /SSL_WRONG_VERSION_NUMBER/.test(code) || (code === 'EPROTO' && /wrong version number/i.test(message))
}

function whyAborted({ reason }: AbortSignal): string {
  return reason instanceof Error && !['AbortError', 'TimeoutError'].includes(reason.name)
    ? reason.message
    : 'the time for it is over'
}

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

function rateLimitOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): RateLimit | undefined {
  const [remaining, reset] = ['ratelimit-remaining', 'ratelimit-reset'].map((name) =>
    Number.parseFloat(first(headers[name]) ?? ''),
  ) as [number, number]
  if (!(remaining >= 0 && reset >= 0)) return undefined
  return { remaining, resetMs: Math.min(reset * 1000, MAX_RETRY_AFTER_MS) }
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function oneLine(whole: string): string {
  // A page of nothing but '<' would take these patterns the square of its length.
  const text = whole.slice(0, MAX_SEARCHED_CHARS)
  const title = /<title>([^<]*)<\/title>/i.exec(text)?.[1]
  const plain = title ?? text.replace(/<[^>]*>/g, ' ')
  const line = plain.replace(/[\p{C}\s]+/gu, ' ').trim()
  return line.length > MAX_REASON_CHARS ? `${line.slice(0, MAX_REASON_CHARS)}…` : line
}
