import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import { AIM_OPTIONS } from '../../../src/sinks/aim/options.ts'
import { probeAim } from '../../../src/sinks/aim/probe.ts'
import { FakeAim } from './fake-server.ts'

const probe = (given: Record<string, unknown>) =>
  probeAim(resolveOptions(AIM_OPTIONS, given, {}, 'backend aim'), AbortSignal.timeout(5_000))

test('a server that answers is told with its version, and that somebody has to index', async (context) => {
  const fake = new FakeAim()
  const repo = await fake.listen()
  context.after(() => fake.stop())
  const [server, index] = await probe({ repo })
  assert.deepEqual([server!.level, server!.seen], ['ok', `Aim 3.29.1 at ${repo.replace('aim', 'http')}`])
  assert.match(index!.seen, /aim up/)
  assert.equal(fake.runs.size, 0)
})

test('one that is another version is warned of', async (context) => {
  const fake = new FakeAim()
  fake.version = '2.7.4'
  const repo = await fake.listen()
  context.after(() => fake.stop())
  const [server] = await probe({ repo })
  assert.deepEqual([server!.level, /2\.7\.4/.test(server!.seen)], ['warn', true])
})

test('none is a failure with what to do; so is a refusal, without the secret', async (context) => {
  const fake = new FakeAim()
  const repo = await fake.listen()
  fake.authorization = 'Bearer right'
  const [refused] = await probe({ repo, headers: ['Authorization: Bearer very wrong'] })
  assert.equal(refused!.level, 'fail')
  assert.match(refused!.seen, /401/)
  assert.doesNotMatch(JSON.stringify(refused), /wrong/)
  await fake.stop()
  context.diagnostic(repo)
  const [gone] = await probe({ repo })
  assert.equal(gone!.level, 'fail')
  assert.match(gone!.fix!, /aim server/)
})

test('a folder needs a Python that has Aim', async () => {
  const [finding] = await probe({ repo: '/some/folder', python: '/no/such/python' })
  assert.deepEqual([finding!.level, finding!.what], ['fail', 'repository'])
  assert.match(finding!.seen, /no Python is found/)
  assert.match(finding!.fix!, /pip install aim/)
})

test('an option that cannot be is said', async () => {
  const [finding] = await probe({ repo: 's3://bucket' })
  assert.deepEqual([finding!.level, finding!.what], ['fail', 'options'])
  assert.match(finding!.seen, /'s3:'/)
})
