import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import type { Finding } from '../../../src/sinks/contract.ts'
import { WANDB_OPTIONS } from '../../../src/sinks/wandb/options.ts'
import { probeWandb } from '../../../src/sinks/wandb/probe.ts'
import { type StandInOptions, WandbStandIn } from './stand-in/stand-in.ts'

const KEY = '0123456789abcdef0123456789abcdef01234567'
/** So that nothing of the machine's own settings counts. */
const NOTHING = { entity: '', defaultProject: '', mode: 'online' }

const probe = (given: Record<string, unknown>, signal = AbortSignal.timeout(20_000)) =>
  probeWandb(resolveOptions(WANDB_OPTIONS, { ...NOTHING, ...given }, {}, 'backend wandb'), signal)

async function standIn(context: TestContext, options: StandInOptions = {}): Promise<WandbStandIn> {
  const server = await WandbStandIn.start({ apiKey: KEY, defaultEntity: 'ann', ...options })
  context.after(() => server.stop())
  return server
}

const levels = (findings: readonly Finding[]) => findings.map(({ level, what }) => `${level} ${what}`)

test('a server that takes the key is told with what it offers, and changes nothing by being asked', async (context) => {
  const server = await standIn(context, { features: ['FILESTREAM_GZIP', 'SOMETHING_ELSE'] })
  assert.deepEqual(await probe({ baseUrl: server.url, apiKey: KEY }), [
    { level: 'ok', what: 'server', seen: `${server.url} answers as W&B does, with FILESTREAM_GZIP` },
    {
      level: 'ok',
      what: 'credentials',
      seen: 'the key of the option apiKey or WANDB_API_KEY is that of ann',
    },
    { level: 'ok', what: 'entity', seen: "runs go to ann, the key's default" },
  ])
  assert.equal(server.runs.size, 0)
  assert.deepEqual(server.allProblems, [])
  assert.deepEqual(
    server.requests.map(({ operation }) => operation),
    ['Viewer', 'ServerFeaturesQuery'],
  )
})

test('an entity that the key has no part in is told, one that it has is right', async (context) => {
  const { url: baseUrl } = await standIn(context)
  const [, , own] = await probe({ baseUrl, apiKey: KEY, entity: 'ann' })
  assert.equal(own!.level, 'ok')
  const [, , other] = await probe({ baseUrl, apiKey: KEY, entity: 'eve' })
  assert.equal(other!.level, 'warn')
  assert.match(other!.seen, /eve is not among the key's own and its teams: ann/)
  assert.match(other!.fix!, /WANDB_ENTITY/)
})

test('a key that is refused is told without it, with what to set', async (context) => {
  const server = await standIn(context)
  const wrong = KEY.replace('0', 'f')
  const basic = Buffer.from(`api:${wrong}`).toString('base64')
  const body = JSON.stringify({ errors: [{ message: `who is ${wrong} (${basic})?` }] })
  server.failNext({ kind: 'answer', status: 401, body }, () => true)
  const findings = await probe({ baseUrl: server.url, apiKey: wrong })
  assert.deepEqual(levels(findings), ['fail credentials'])
  assert.match(findings[0]!.seen, /refused with the key of .*who is \*\*\*/)
  assert.match(findings[0]!.fix!, /set WANDB_API_KEY .*\/authorize/)
  assert.doesNotMatch(JSON.stringify(findings), new RegExp(`${wrong}|${basic}`))
})

test('no key at all, and a key that the SDK would not take, are told with what to do', async (context) => {
  const before = process.env.NETRC
  process.env.NETRC = '/nowhere/netrc'
  context.after(() => {
    if (before === undefined) delete process.env.NETRC
    else process.env.NETRC = before
  })
  const { url: baseUrl } = await standIn(context, { apiKey: 'local-short' })
  const findings = await probe({ baseUrl })
  assert.deepEqual(levels(findings), ['fail credentials'])
  assert.match(findings[0]!.seen, /there is no \/nowhere\/netrc$/)
  assert.match(findings[0]!.fix!, /^set WANDB_API_KEY, or add 'machine 127\.0\.0\.1:\d+ login user/)
  const short = await probe({ baseUrl, apiKey: 'local-short' })
  assert.deepEqual(levels(short), ['ok server', 'warn credentials', 'ok entity'])
  assert.match(short[1]!.seen, /has 5 characters; the official SDK takes none below 40/)
  assert.doesNotMatch(JSON.stringify(short), /local-short/)
})

test('nobody at the address, somebody else at it, and an address that is none, each have their words', async (_context) => {
  const other = createServer((_, response) => response.writeHead(200).end('<p>Sign in</p>'))
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const baseUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  const [proxy] = await probe({ baseUrl, apiKey: KEY })
  assert.equal(proxy!.level, 'fail')
  assert.match(proxy!.fix!, /no proxy answers in its place/)
  other.close()
  other.closeAllConnections()
  await once(other, 'close')
  const [nobody] = await probe({ baseUrl, apiKey: KEY })
  assert.deepEqual([nobody!.level, nobody!.what], ['fail', 'server'])
  assert.match(nobody!.fix!, /WANDB_BASE_URL/)
  const wrong = await probe({ baseUrl: 'https://wandb.ai', apiKey: KEY })
  assert.deepEqual(levels(wrong), ['fail options'])
})

test('a mode in which nothing is sent now is said', async (context) => {
  const { url: baseUrl } = await standIn(context)
  assert.deepEqual(levels(await probe({ baseUrl, apiKey: KEY, mode: 'disabled' })), ['ok mode'])
  const offline = await probe({ baseUrl, apiKey: KEY, mode: 'dryrun' })
  assert.deepEqual(levels(offline), ['ok mode', 'ok server', 'ok credentials', 'ok entity'])
})
