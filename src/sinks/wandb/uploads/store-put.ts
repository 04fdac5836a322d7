/**
 * Bytes to an address that the server gave: a PUT with the headers of that answer and none of our credentials.
 *
 * An address is a credential: it stands in no state and no reason.
 */
import type { FilePart, HttpClient, HttpReply, Refusal } from '../../http.ts'
import type { OpenStore } from './store-doors.ts'

export interface Address {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
}

/**
 * @param headers lines `Name:value`
 * @returns undefined where it is no address
 */
export function addressFrom(
  url: string | null | undefined,
  headers: readonly string[] | null | undefined,
  baseUrl: string,
): Address | undefined {
  if (!url || !URL.canParse(url, baseUrl)) return undefined
  return { url: new URL(url, baseUrl), headers: headersOf(headers ?? []) }
}

export type Content = { readonly bytes: Buffer } | { readonly file: FilePart }

export type Put =
  /** It is there; `etag` without its quotes. */
  | { readonly etag: string | undefined }
  /** @prop isExpired the address may have run out: another one may be taken */
  | { readonly refusal: Refusal; readonly isExpired: boolean }

/** @param path what the file is called in a reason */
export async function putTo(
  openStore: OpenStore,
  { url, headers }: Address,
  content: Content,
  path: string,
  signal: AbortSignal,
): Promise<Put> {
  const http = openStore(url.origin)
  try {
    const reply = await http.request(
      'PUT',
      url.pathname + url.search,
      { type: '', ...content },
      signal,
      headers,
    )
    const bytes = 'bytes' in content ? content.bytes.length : content.file.bytes
    return answerOf(http, reply, path, bytes)
  } finally {
    await http.close()
  }
}

function headersOf(lines: readonly string[]): Record<string, string> {
  const pairs = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]
  })
  // who we are stays with W&B, whatever its answer says
  return Object.fromEntries(pairs.filter(([name]) => name !== '' && name !== 'authorization'))
}

/** Stores are not W&B: what they refuse says nothing of the account there. Their texts may repeat the address. */
function answerOf(http: HttpClient, reply: HttpReply, path: string, bytes: number): Put {
  const refusal = http.refusal(reply)
  if (reply.status === 'unanswered') return { refusal: refusal!, isExpired: false }
  if (refusal === undefined) {
    // stores answer with nothing; the page of a proxy is no store's
    if (!/^\s*<(?:!doctype|html)/i.test(reply.text)) return { etag: reply.etag?.replace(/^"|"$/g, '') }
    const reason = `what answered for '${path}' is not the store of W&B's files: is a proxy or a login page before it?`
    return { refusal: { status: 'retry', code: 'ERR_SERVER', reason }, isExpired: false }
  }
  const word = /<Code>([A-Za-z.]{1,60})/.exec(reply.text)?.[1]
  const reason = `the store of W&B's files answered ${reply.code}${word ? ` (${word})` : ''} for '${path}'`
  if (reply.code === 413) {
    const tooLarge = `${reason}: it takes no file of ${bytes} bytes`
    return { refusal: { status: 'split', code: 'ERR_REFUSED', reason: tooLarge }, isExpired: false }
  }
  const afterMs = refusal.status === 'retry' ? refusal.afterMs : undefined
  return {
    refusal: { status: 'retry', code: 'ERR_SERVER', reason, ...(afterMs !== undefined && { afterMs }) },
    isExpired: reply.code === 400 || reply.code === 401 || reply.code === 403,
  }
}
