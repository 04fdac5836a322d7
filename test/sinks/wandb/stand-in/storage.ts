/** Pre-signed addresses: who has one may put or get that one file, for a while, without any key. */
import { createHash, randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** What an address stands for. */
export interface StoredFile {
  /** Whose request it is: the path of a run, '' where it is nobody's. */
  readonly run: string
  readonly problems: string[]
  readonly path: string
  /** MD5 in Base64 that an upload has to state in a header; '' or undefined: it may. */
  readonly md5?: string
  /** Of a larger file: it brings its MD5, and not the header that came with the address of the whole. */
  readonly isPart?: boolean
  put?(bytes: Buffer): void
  get?(): Buffer | undefined
}
interface Signed {
  readonly file: StoredFile
  expiresMs: number
}
export interface Stored {
  readonly status: number
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}
/** Sent with each address; an upload has to bring it. */
const HEADER = 'x-stand-in-upload'

export class Storage {
  readonly prefix = '/storage/'
  readonly #ttlMs: number
  readonly #demandsHeader: boolean
  readonly #signed = new Map<string, Signed>()
  /** Uploads that were stored, and their bytes. */
  puts = 0
  putBytes = 0

  constructor(ttlMs: number, demandsHeader: boolean) {
    this.#ttlMs = ttlMs
    this.#demandsHeader = demandsHeader
  }

  /** @param md5 in Base64, where the address is for one content only */
  uploadHeaders(md5 = ''): string[] {
    if (!this.#demandsHeader) return []
    return [`${HEADER}:signed`, ...(md5 === '' ? [] : [`Content-MD5:${md5}`])]
  }

  sign(base: string, file: StoredFile): string {
    const token = randomBytes(12).toString('hex')
    this.#signed.set(token, { file, expiresMs: Date.now() + this.#ttlMs })
    return `${base}${this.prefix}${file.run}/${encodeURIComponent(file.path)}?signature=${token}`
  }

  /** Path of the run whose file it is. */
  runOf(url: URL): string {
    return this.#of(url)?.file.run ?? ''
  }

  /** That address is good for nothing from now on. */
  expire(url: URL): void {
    const signed = this.#of(url)
    if (signed !== undefined) signed.expiresMs = 0
  }

  /** As if all this had happened long ago: every address that was handed out is too old. */
  expireAll(): void {
    for (const signed of this.#signed.values()) signed.expiresMs = 0
  }

  put(url: URL, headers: IncomingHttpHeaders, bytes: Buffer): Stored {
    const { file, expiresMs = 0 } = this.#of(url) ?? {}
    if (file?.put === undefined) return refusal(403, 'SignatureDoesNotMatch')
    if (headers.authorization !== undefined) {
      file.problems.push(`${file.path}: its upload brought a key`)
      return refusal(400, 'InvalidArgument')
    }
    if (Date.now() > expiresMs) return refusal(403, 'AccessDenied: Request has expired')
    const md5 = headers['content-md5']
    const lacksOwn = !file.isPart && headers[HEADER] !== 'signed'
    if (this.#demandsHeader && (lacksOwn || (file.md5 && md5 === undefined))) {
      file.problems.push(`${file.path}: its upload lacks a header that came with the address`)
      return refusal(403, 'SignatureDoesNotMatch')
    }
    if (file.md5 && md5 !== undefined && md5 !== file.md5) {
      file.problems.push(`${file.path}: its upload states another MD5 than its address was asked for`)
      return refusal(403, 'SignatureDoesNotMatch')
    }
    const own = md5Of(bytes)
    const stated = typeof md5 === 'string' ? md5 : file.md5
    if (stated && stated !== own) return refusal(400, 'BadDigest')
    file.put(bytes)
    this.puts++
    this.putBytes += bytes.length
    return { status: 200, body: '', headers: { etag: `"${Buffer.from(own, 'base64').toString('hex')}"` } }
  }

  get(url: URL): Stored {
    const signed = this.#of(url)
    if (signed !== undefined && Date.now() > signed.expiresMs) {
      return refusal(403, 'AccessDenied: Request has expired')
    }
    const bytes = signed?.file.get?.()
    return bytes === undefined ? refusal(404, 'NoSuchKey') : { status: 200, body: bytes }
  }

  #of(url: URL): Signed | undefined {
    return this.#signed.get(url.searchParams.get('signature') ?? '')
  }
}

function refusal(status: number, code: string): Stored {
  return { status, body: `<?xml version="1.0"?><Error><Code>${code}</Code></Error>` }
}

/** In Base64, as W&B has them. */
export function md5Of(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('base64')
}
