import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer as createPlainServer } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { HttpClient, type Refusal } from '../../src/sinks/http.ts'
import { type CertificateOptions, makeCertificate } from '../certificate.ts'
import { temporaryFolder } from '../run/program.ts'

const DAY_MS = 86_400_000

/** What a client says of a server with such a certificate. */
async function refusalOf(
  context: TestContext,
  options: CertificateOptions,
  isTrusted: boolean,
): Promise<Refusal | undefined> {
  const tls = makeCertificate(options)
  const server = createServer(tls, (_, response) => response.end('{}')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const caFile = join(temporaryFolder(context), 'ca.pem')
  writeFileSync(caFile, tls.cert)
  const client = new HttpClient({
    origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: 1,
    headers: {},
    secrets: [],
    ...(isTrusted && { caFile }),
  })
  try {
    return client.refusal(await client.request('GET', '/', undefined, new AbortController().signal))
  } finally {
    await client.close()
    server.closeAllConnections()
    server.close()
  }
}

describe('a server whose certificate is no good', () => {
  it('is spoken to when the certificate is trusted, in time and for its host', async (context) => {
    assert.equal(await refusalOf(context, {}, true), undefined)
  })

  for (const [what, options, isTrusted, said] of [
    ['is self-signed', {}, false, /not trusted; give the file of its certificate authority/],
    [
      'has expired',
      { notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) },
      true,
      /has expired and must be renewed there/,
    ],
    [
      'is not valid yet',
      { notBefore: new Date(Date.now() + DAY_MS), notAfter: new Date(Date.now() + 2 * DAY_MS) },
      true,
      /not valid yet: is the clock of this machine right/,
    ],
    [
      'is for another host',
      { hosts: ['tracking.example'] },
      true,
      /for another host: give the address by the name/,
    ],
  ] as const) {
    it(`waits for somebody to act when it ${what}, and says what to do`, async (context) => {
      const refusal = await refusalOf(context, options, isTrusted)
      assert.ok(refusal?.status === 'blocked', JSON.stringify(refusal))
      assert.deepEqual([refusal.scope, refusal.code], ['account', 'ERR_CERTIFICATE'])
      assert.match(refusal.reason, said)
    })
  }

  it('is asked for by https and speaks none: says so, and is tried again', async () => {
    const server = createPlainServer((_, response) => response.end()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = new HttpClient({ origin, connections: 1, headers: {}, secrets: [] })
    const refusal = client.refusal(await client.request('GET', '/', undefined, new AbortController().signal))
    await client.close()
    server.closeAllConnections()
    server.close()
    assert.ok(refusal?.status === 'retry', JSON.stringify(refusal))
    assert.match(refusal.reason, /does not speak TLS: is it http:\/\//)
  })
})

it('a host that no name server knows is out of reach, and nothing was sent', async () => {
  const client = new HttpClient({
    origin: 'http://no-such-host.invalid',
    connections: 1,
    headers: {},
    secrets: [],
  })
  const refusal = client.refusal(await client.request('GET', '/', undefined, new AbortController().signal))
  await client.close()
  assert.ok(refusal?.status === 'retry', JSON.stringify(refusal))
  assert.deepEqual([refusal.code, refusal.unsent], ['ERR_UNREACHABLE', true])
  assert.match(refusal.reason, /no-such-host\.invalid.*(ENOTFOUND|EAI_AGAIN)/)
})
