/** What the fake sinks that speak HTTP have in common. */
import type {
  BlobRef,
  ParamValue,
  Rejection,
  RunRecord,
  Series,
  Upload,
  WriteResult,
} from '../../../src/core/types.ts'
import { HttpClient, type HttpReply } from '../../../src/sinks/http.ts'

export function connect(url: string, token: string | undefined): HttpClient {
  return new HttpClient({
    origin: url,
    connections: 4,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    secrets: token === undefined ? [] : [token],
  })
}

export function json(content: unknown): { type: string; bytes: Buffer } {
  return { type: 'application/json', bytes: Buffer.from(JSON.stringify(content)) }
}

export function keyOf({ name, context }: Series): string {
  return context === '' && !name.startsWith('[') ? name : JSON.stringify([name, context])
}

export function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

export function paramText(value: ParamValue): string {
  return String(value)
}

/** What is sent of a record: its kind in the path, and this. */
export function recordContent(record: RunRecord, seq: number): unknown {
  if (record.kind === 'state') return record.state
  if (record.kind === 'tags') return record.tags
  if (record.kind === 'rewind') return { seq, fromStep: record.fromStep }
  if (record.kind === 'alert') return { seq, name: record.title }
  if (record.kind === 'input') return { seq, name: record.artifact }
  if (record.kind === 'files') {
    const files = record.files as readonly { readonly path: string; readonly blob: BlobRef }[]
    return Object.fromEntries(files.map(({ path, blob }) => [path, blob.digest]))
  }
  if (record.kind !== 'params') throw new Error(`the fakes declare no ${record.kind}`)
  return Object.fromEntries(Object.entries(record.params).map(([name, value]) => [name, paramText(value)]))
}

/** The body of a success; an answer when there was none. */
export function success(
  client: HttpClient,
  reply: HttpReply,
): { body: Record<string, unknown> } | WriteResult {
  if (reply.status === 'answered' && reply.code === 404) {
    return {
      status: 'blocked',
      scope: 'run',
      code: 'ERR_REMOTE_RUN_GONE',
      reason: 'the run was deleted there',
    }
  }
  const refusal = client.refusal(reply)
  if (refusal !== undefined) return refusal
  try {
    return { body: JSON.parse(reply.status === 'answered' ? reply.text : '{}') }
  } catch {
    // half an answer, or the page of a proxy
    return { status: 'retry', code: 'ERR_SERVER', reason: 'the server answered with something else' }
  }
}

/** A step of an upload, under the sequence number of its record. */
export async function sendUpload(
  client: HttpClient,
  runPath: string,
  { seq, record, file, sent }: Upload,
  signal: AbortSignal,
): Promise<WriteResult> {
  const path = `${runPath}/uploads/${seq}`
  const name = 'name' in record ? record.name : record.kind === 'input' ? record.artifact : ''
  const reply =
    file === undefined
      ? await client.request('POST', path, json({ kind: record.kind, name }), signal)
      : await client.request(
          'PUT',
          `${path}/${file.path.split('/').map(encodeURIComponent).join('/')}`,
          {
            type: file.blob.type,
            file: { location: file.location, from: 0, bytes: file.blob.bytes, sent },
          },
          signal,
        )
  const answer = success(client, reply)
  if (!('body' in answer)) return answer
  const { kept, stored } = answer.body
  return kept === true && stored === (file?.blob.bytes ?? 0)
    ? { status: 'accepted' }
    : { status: 'retry', reason: `the server says that it stored ${stored} bytes` }
}

export function partial(rejected: readonly { index: number; reason: string }[]): WriteResult {
  if (rejected.length === 0) return { status: 'accepted' }
  const rejections = rejected.map(({ index, reason }): Rejection => ({ index, code: 'ERR_REFUSED', reason }))
  return { status: 'partial', rejected: rejections }
}
