import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { HttpClient, type HttpReply } from '../../src/sinks/http.ts'
import { FaultProxy, type ProxyFault } from './fault-proxy.ts'

const signal = new AbortController().signal

/** A backend that counts what it has done, a proxy before it, and a client of the proxy. */
async function standing(context: TestContext) {
  let done = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      done++
      response.end(JSON.stringify({ done }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await FaultProxy.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const client = new HttpClient({ origin: proxy.uri, connections: 2, headers: {}, secrets: [] })
  context.after(async () => {
    await client.close()
    await proxy.stop()
    server.closeAllConnections()
    server.close()
  })
  const body = { type: 'text/plain', bytes: Buffer.from('content') }
  const ask = (until = signal): Promise<HttpReply> => client.request('POST', '/a?b=1', body, until)
  return { proxy, ask, done: () => done }
}

test('each fault does to the request and to its answer what its name says', async (context) => {
  const { proxy, ask, done } = await standing(context)
  assert.deepEqual(textOf(await ask()), [200, '{"done":1}'])
  const html = { status: 200, body: '<html>', headers: { 'content-type': 'text/html' } }
  const cases: readonly [ProxyFault, reply: unknown, done: number][] = [
    [{ kind: 'reset' }, 'none', 1],
    [{ kind: 'answer', status: 503, body: 'later' }, [503, 'later'], 1],
    [{ kind: 'answerInstead', ...html }, [200, '<html>'], 2],
    [{ kind: 'lostAnswer' }, 'none', 3],
    [{ kind: 'cutAnswer' }, 'none', 4],
    [{ kind: 'shortAnswer' }, [200, '{"don'], 5],
    [{ kind: 'slow', ms: 20 }, [200, '{"done":6}'], 6],
  ]
  for (const [fault, reply, doneThen] of cases) {
    proxy.failNext(fault)
    assert.deepEqual(textOf(await ask()), reply, fault.kind)
    assert.equal(done(), doneThen, fault.kind)
    assert.equal(proxy.injected.get(fault.kind), 1)
  }
  for (const [kind, doneThen] of [
    ['silent', 6],
    ['stalledAnswer', 7],
  ] as const) {
    proxy.failNext({ kind })
    const abort = new AbortController()
    const asked = ask(abort.signal)
    const first = await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, 200, 'silence'))])
    assert.equal(first, 'silence')
    abort.abort()
    await asked
    assert.equal(done(), doneThen, kind)
  }
  assert.equal(proxy.faults, cases.length + 2)
  assert.equal(proxy.requests.get('POST /a'), proxy.requestCount)
})

test('it is down and up again at one address; a standing fault lasts until it is healed', async (context) => {
  const { proxy, ask, done } = await standing(context)
  const { uri } = proxy
  await ask()
  await proxy.down()
  const refused = await ask()
  assert.ok(refused.status === 'unanswered' && /ECONNREFUSED/.test(refused.reason), JSON.stringify(refused))
  await proxy.up()
  assert.equal(proxy.uri, uri)
  proxy.failAll({ kind: 'answer', status: 401 }, ({ method }) => method === 'POST')
  for (let i = 0; i < 3; i++) assert.deepEqual(textOf(await ask()), [401, ''])
  proxy.heal()
  assert.deepEqual(textOf(await ask()), [200, '{"done":2}'])
  assert.equal(done(), 2)
})

test('a storm is the same for the same seed', async (context) => {
  const { proxy, ask } = await standing(context)
  const play = async (seed: number) => {
    proxy.storm({ seed, share: 0.5, faults: [{ kind: 'reset' }, { kind: 'answer', status: 500 }] })
    const seen: unknown[] = []
    for (let i = 0; i < 30; i++) {
      const reply = await ask()
      seen.push(reply.status === 'answered' ? reply.code : 'none')
    }
    return seen
  }
  const first = await play(7)
  assert.deepEqual(await play(7), first)
  assert.notDeepEqual(await play(8), first)
  assert.deepEqual(new Set(first), new Set([200, 500, 'none']))
})

function textOf(reply: HttpReply): unknown {
  return reply.status === 'answered' ? [reply.code, reply.text] : 'none'
}
