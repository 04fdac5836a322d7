import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import { MLFLOW_OPTIONS } from '../../../src/sinks/mlflow/options.ts'
import { probeMlflow } from '../../../src/sinks/mlflow/probe.ts'

type Answer = readonly [status: number, body: string]

/** A server that answers each path as told, and everything else with 404. */
async function serve(
  context: TestContext,
  answer: (path: string, request: IncomingMessage) => Answer | undefined,
): Promise<string> {
  const server = createServer((request, response) => {
    const [status, body] = answer(request.url!.split('?', 1)[0]!, request) ?? [404, 'no such page']
    response.writeHead(status).end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const SEARCH = '/api/2.0/mlflow/experiments/search'
const LIKE_MLFLOW: Readonly<Record<string, Answer>> = {
  '/health': [200, 'OK'],
  '/version': [200, '3.17.2'],
  [SEARCH]: [200, '{"experiments": []}'],
}
const probe = (given: Record<string, unknown>, signal = AbortSignal.timeout(5000)) =>
  probeMlflow(resolveOptions(MLFLOW_OPTIONS, given, {}, 'backend mlflow'), signal)

test('a server that answers is told with its version, and changes nothing by being asked', async (context) => {
  const asked: string[] = []
  const uri = await serve(context, (path, { method }) => {
    asked.push(`${method} ${path}`)
    return LIKE_MLFLOW[path]
  })
  assert.deepEqual(await probe({ uri }), [
    { level: 'ok', what: 'server', seen: `MLflow 3.17.2 at ${uri}` },
    { level: 'ok', what: 'access', seen: 'the API answers with no credentials' },
  ])
  assert.deepEqual(asked, ['GET /health', 'GET /version', `GET ${SEARCH}`])
})

test('a static prefix is a part of every address', async (context) => {
  const uri = await serve(context, (path) =>
    path.startsWith('/ml/') ? LIKE_MLFLOW[path.slice('/ml'.length)] : undefined,
  )
  assert.deepEqual(
    (await probe({ uri: `${uri}/ml/` })).map(({ level }) => level),
    ['ok', 'ok'],
  )
  const [server, access] = await probe({ uri })
  assert.equal(server!.level, 'warn')
  assert.match(server!.fix!, /static prefix/)
  assert.equal(access!.level, 'fail')
})

test('refused credentials are told without them, with what to set', async (context) => {
  const password = 'pw-9f8e7d6c'
  const uri = await serve(context, (path, { headers }) =>
    path === SEARCH ? [401, `you sent ${headers.authorization} for ${password}`] : LIKE_MLFLOW[path],
  )
  const findings = await probe({ uri: uri.replace('//', `//me:${password}@`) })
  const [, access] = findings
  assert.equal(access!.level, 'fail')
  assert.match(access!.seen, /^refused with user and password: /)
  assert.match(access!.fix!, /MLFLOW_TRACKING_USERNAME.*MLFLOW_TRACKING_TOKEN/)
  const text = JSON.stringify(findings)
  assert.ok(!text.includes(password))
  assert.ok(!text.includes(Buffer.from(`me:${password}`).toString('base64')))
})

test("the server's check of host names is explained", async (context) => {
  const uri = await serve(context, (path) =>
    path === SEARCH
      ? [403, 'Invalid Host header - possible DNS rebinding attack detected']
      : LIKE_MLFLOW[path],
  )
  const [server, access] = await probe({ uri })
  assert.equal(server!.level, 'ok')
  assert.equal(access!.level, 'fail')
  assert.match(access!.seen, /--allowed-hosts/)
  assert.match(access!.fix!, /check of host names/)
})

test('a server that is not there, and one that never answers, are told in time', async (context) => {
  const [gone] = await probe({ uri: 'http://127.0.0.1:9' })
  assert.equal(gone!.level, 'fail')
  assert.match(gone!.fix!, /mlflow server.*MLFLOW_TRACKING_URI/)
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  context.after(() => {
    silent.close()
    silent.closeAllConnections()
  })
  const uri = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const [late] = await probe({ uri }, AbortSignal.timeout(200))
  assert.equal(late!.level, 'fail')
  assert.match(late!.seen, /time for it is over/)
  const [wrong] = await probe({ uri, caFile: '/no/such/file.pem' })
  assert.equal(wrong!.level, 'fail')
  assert.match(wrong!.seen, /certificate file/)
})
