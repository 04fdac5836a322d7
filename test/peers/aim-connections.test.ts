/** Ways to a real Aim server, and runs that another client has begun. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { type AimOptions, prepareOptions, runHashOf } from '../../src/sinks/aim/options.ts'
import { AimServer } from './aim-server.ts'
import { aimPython, peerPython, runPeerScript } from './python.ts'

function folder(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-aim-'))
  context.after(() => rmSync(dir, { recursive: true, force: true, maxRetries: 3 }))
  return dir
}

test('TLS, a certificate authority of our own and a base path: all arrives; without the authority it is said what is wrong', async (context) => {
  const [python, other] = [await aimPython(context), await peerPython(context)]
  if (python === undefined || other === undefined) return
  const dir = folder(context)
  const tls = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') }
  await runPeerScript(other, 'make_certificate.py', [tls.certFile, tls.keyFile])
  const server = await AimServer.start(python, { tls, basePath: '/tracking' })
  context.after(() => server.stop())
  const aim = { repo: server.address, caFile: tls.certFile }
  const run = startLogging({ dir, backend: { aim } })
  for (let step = 0; step < 100; step++) run.log({ a: step }, { step })
  const stats = await run.finish()
  assert.deepEqual([stats.destinations.aim!.delivered, stats.destinations.aim!.pending], [100, 0])
  const found = await server.read(runHashOf(prepareOptions(aim as unknown as AimOptions), run.info))
  assert.equal(found!.metrics[0]!.steps.length, 100)

  const issues: string[] = []
  const distrusting = startLogging({
    dir,
    backend: { aim: { repo: server.address } },
    onIssue: ({ code }) => issues.push(code),
  })
  distrusting.log({ a: 1 })
  const left = await distrusting.finish('finished', { deadlineMs: 3_000 })
  assert.equal(left.destinations.aim!.pending, 1)
  assert.ok(issues.includes('ERR_CERTIFICATE'), issues.join())
})

test("a run of Aim's own client goes on by its hash: its values, its params and its first ones stay", async (context) => {
  const python = await aimPython(context)
  if (python === undefined) return
  const dir = folder(context)
  const server = await AimServer.start(python)
  context.after(() => server.stop())
  const begun = (await server.run('log_aim.py', [server.address, '10', '2'])) as { hash: string }
  const run = startLogging({ dir, backend: { aim: { repo: server.address, runHash: begun.hash } } })
  run.logParams({ more: 1 })
  for (let step = 10; step < 30; step++) run.log({ m0: Math.sin(step), m1: Math.sin(2 * step) }, { step })
  const stats = await run.finish()
  assert.deepEqual([stats.destinations.aim!.delivered, stats.destinations.aim!.pending], [40, 0])
  const found = await server.read(begun.hash)
  assert.equal(found!.metrics.length, 2)
  for (const { name, steps, values } of found!.metrics) {
    assert.deepEqual(
      steps,
      Array.from({ length: 30 }, (_, step) => step),
      name,
    )
    const factor = Number(name.slice(1)) + 1
    const wanted = steps.map((step) => {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleBE(Math.sin(step * factor))
      return bytes.readDoubleBE()
    })
    const got = values.map((bits) => Buffer.from(bits, 'hex').readDoubleBE())
    for (const [at, value] of got.entries()) assert.ok(Math.abs(value - wanted[at]!) < 1e-12, `${name} ${at}`)
  }
  for (const arrays of found!.lengths) assert.equal(new Set(Object.values(arrays)).size, 1)
  assert.deepEqual(found!.params.more, { int: '1' })
  const [traces] = Object.values(found!.traces as Record<string, Record<string, Record<string, unknown>>>)
  assert.deepEqual([traces!.m0!.first_step, traces!.m0!.last_step], [{ int: '0' }, { int: '29' }])
})
