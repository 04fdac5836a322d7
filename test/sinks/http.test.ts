import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { rootCertificates } from 'node:tls'
import { HttpClient, type HttpReply, retryAfterMs } from '../../src/sinks/http.ts'
import { poolSettings } from '../../src/sinks/http-pool.ts'

const SECRET = 'p@ss/wörd'
const signal = new AbortController().signal
const answered = (code: number, text = ''): HttpReply => ({
  status: 'answered',
  code,
  retryAfterMs: undefined,
  location: undefined,
  text,
})

describe('the HTTP client of sinks', () => {
  let server: Server
  let origin = ''
  let connections = 0
  let respond: (
    path: string,
  ) => { status: number; headers?: Record<string, string>; body: string } | 'cut' | 'hang'

  before(async () => {
    server = createServer((request, response) => {
      const answer = respond(request.url ?? '')
      if (answer === 'cut') request.socket.destroy()
      else if (answer !== 'hang') response.writeHead(answer.status, answer.headers).end(answer.body)
    })
    server.on('connection', () => connections++)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(() => {
    server.close()
    server.closeAllConnections()
  })
  const open = (at = origin) => new HttpClient({ origin: at, connections: 2, headers: {}, secrets: [SECRET] })

  it('shares two connections among all that talk to one origin', async () => {
    respond = () => ({ status: 200, body: 'ok' })
    connections = 0
    const clients = Array.from({ length: 10 }, () => open())
    for (let round = 0; round < 3; round++) {
      const replies = await Promise.all(
        clients.map((client) => client.request('GET', '/', undefined, signal)),
      )
      assert.ok(replies.every((reply) => reply.status === 'answered' && reply.text === 'ok'))
    }
    assert.equal(connections, 2)
    for (const client of clients) await client.close()
    await clients[0]!.close()
  })

  it('is not held up by a page without an end of its first tag', async () => {
    const client = open()
    const from = performance.now()
    client.redact('<'.repeat(400_000))
    assert.ok(performance.now() - from < 5_000)
    await client.close()
  })

  it('trusts more authorities beside the usual ones where told so', () => {
    const dir = mkdtempSync(join(tmpdir(), 'tracelet-http-'))
    const file = join(dir, 'ca.pem')
    writeFileSync(file, 'ours')
    const settings = { origin: 'https://store', connections: 1 }
    const ca = (more: object) => (poolSettings({ ...settings, ...more }).connect as { ca?: unknown }).ca
    assert.deepEqual(ca({ moreCaFile: file }), [...rootCertificates, 'ours'])
    assert.deepEqual([ca({ caFile: file }), ca({})], ['ours', undefined])
    rmSync(dir, { recursive: true })
  })

  it('knows when nothing was sent and when something may have been', async () => {
    respond = () => 'cut'
    const client = open()
    const cut = await client.request('POST', '/', { type: 'text/plain', bytes: Buffer.from('x') }, signal)
    assert.ok(cut.status === 'unanswered' && cut.sent)
    assert.deepEqual(client.refusal(cut), { status: 'retry', code: 'ERR_UNREACHABLE', reason: cut.reason })
    await client.close()
    const nowhere = open('http://127.0.0.1:1')
    const refused = await nowhere.request('GET', '/', undefined, signal)
    assert.ok(refused.status === 'unanswered' && !refused.sent)
    assert.match(refused.reason, /^http:\/\/127\.0\.0\.1:1 does not answer: .*ECONNREFUSED/)
    const { reason } = refused
    assert.deepEqual(nowhere.refusal(refused), {
      status: 'retry',
      code: 'ERR_UNREACHABLE',
      reason,
      unsent: true,
    })
    await nowhere.close()
  })

  it('settles at once when it is aborted', async () => {
    respond = () => 'hang'
    const client = open()
    const abort = new AbortController()
    const pending = client.request('GET', '/', undefined, abort.signal)
    setTimeout(() => abort.abort(), 20)
    assert.equal((await pending).status, 'unanswered')
    await client.close()
  })

  it('reads Retry-After as seconds and as a date', () => {
    const now = Date.parse('2026-01-01T00:00:00Z')
    assert.equal(retryAfterMs(undefined, now), undefined)
    assert.equal(retryAfterMs('2', now), 2000)
    assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', now), 30_000)
    assert.equal(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now), 0)
    assert.equal(retryAfterMs('1e9', now), undefined)
    assert.equal(retryAfterMs('999999999', now), 3_600_000)
    assert.equal(retryAfterMs('soon', now), undefined)
  })

  it('turns each status into the answer a sink gives', async () => {
    const client = open()
    const meaning = (code: number) => {
      const refusal = client.refusal(answered(code))
      if (refusal === undefined) return undefined
      if ('scope' in refusal) return `blocked ${refusal.scope} ${refusal.code}`
      return `${refusal.status} ${refusal.code}${'tooLarge' in refusal ? ' too large' : ''}`
    }
    assert.deepEqual(
      [200, 204, 301, 400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504].map((code) => [
        code,
        meaning(code),
      ]),
      [
        [200, undefined],
        [204, undefined],
        [301, 'blocked account ERR_SERVER'],
        [400, 'split ERR_REFUSED'],
        [401, 'blocked account ERR_AUTH'],
        [403, 'blocked account ERR_AUTH'],
        [404, 'split ERR_REFUSED'],
        [408, 'retry ERR_SERVER'],
        [413, 'split ERR_REFUSED too large'],
        [422, 'split ERR_REFUSED'],
        [429, 'retry ERR_RATE_LIMITED'],
        [500, 'retry ERR_SERVER'],
        [502, 'retry ERR_SERVER'],
        [503, 'retry ERR_SERVER'],
        [504, 'retry ERR_SERVER'],
      ],
    )
    respond = () => ({ status: 429, headers: { 'retry-after': '2' }, body: 'slow down' })
    const refusal = client.refusal(await client.request('GET', '/', undefined, signal))
    const reason = `${origin} answered 429: slow down (asks to wait 2 s)`
    assert.deepEqual(refusal, {
      status: 'retry',
      code: 'ERR_RATE_LIMITED',
      reason,
      afterMs: 2000,
      unsent: true,
    })
    await client.close()
  })

  it('tells in one clean line, without secrets', async () => {
    const client = open()
    const page = '<html><title>500 Internal Server Error</title><body>…</body></html>'
    const reason = (reply: HttpReply) => client.refusal(reply)?.reason ?? ''
    assert.equal(reason(answered(500, page)), `${origin} answered 500: 500 Internal Server Error`)
    assert.equal(reason(answered(500, 'a\r\n\u001b[31m b')), `${origin} answered 500: a [31m b`)
    const spellings = [SECRET, encodeURIComponent(SECRET), Buffer.from(SECRET).toString('base64')]
    const told = reason(answered(401, spellings.join(' and ')))
    assert.equal(told, `${origin} answered 401: *** and *** and ***`)
    assert.ok(reason(answered(500, 'x'.repeat(10_000))).length < 400)
    await client.close()
  })

  it('refuses a certificate file that is not there, before anything is sent', () => {
    const options = { origin, connections: 2, headers: {}, secrets: [], caFile: '/nowhere/ca.pem' }
    assert.throws(() => new HttpClient(options), { code: 'ERR_OPTION' })
  })
})

describe('a file as the body of a request', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-http-'))
  const location = join(folder, 'file')
  const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 251))
  let server: Server
  let client: HttpClient
  let seen: { headers: IncomingHttpHeaders; body: Buffer } | undefined

  before(async () => {
    writeFileSync(location, content)
    server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      try {
        for await (const chunk of request) chunks.push(chunk as Buffer)
      } catch {
        return
      }
      seen = { headers: request.headers, body: Buffer.concat(chunks) }
      response.writeHead(200, { etag: '"tag"' }).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    client = new HttpClient({ origin, connections: 1, headers: { a: 'b' }, secrets: [] })
  })
  after(async () => {
    await client.close()
    server.close()
    server.closeAllConnections()
    rmSync(folder, { recursive: true })
  })
  async function put(from: number, bytes: number, at = location) {
    seen = undefined
    let sent = 0
    const file = { location: at, from, bytes, sent: (more: number) => (sent += more) }
    const reply = await client.request('PUT', '/', { type: 'x/y', file }, signal, { more: 'c' })
    return { reply, sent }
  }

  it('goes out whole or in part, with its length, and tells how far it has come', async () => {
    for (const [from, bytes] of [
      [0, content.length],
      [1_000_001, 700_000],
      [0, 0],
    ] as const) {
      const { reply, sent } = await put(from, bytes)
      assert.ok(reply.status === 'answered' && reply.code === 200 && reply.etag === '"tag"')
      assert.equal(sent, bytes)
      assert.ok(seen!.body.equals(content.subarray(from, from + bytes)))
      const { headers } = seen!
      assert.deepEqual(
        [
          headers['content-length'],
          headers['content-type'],
          headers['transfer-encoding'],
          headers.a,
          headers.more,
        ],
        [String(bytes), 'x/y', undefined, 'b', 'c'],
      )
    }
  })

  it('that is gone or too short is no answer, and never a shorter body that the server takes', async () => {
    for (const [at, bytes, reason] of [
      [join(folder, 'absent'), 10, /^a file cannot be read: ENOENT/],
      [location, content.length + 1, /became shorter while it was sent$/],
    ] as const) {
      const { reply } = await put(0, bytes, at)
      assert.ok(reply.status === 'unanswered')
      assert.match(reply.reason, reason)
      assert.equal(seen, undefined)
    }
    assert.equal((await put(0, 5)).reply.status, 'answered')
  })
})
