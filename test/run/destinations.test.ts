/** What goes to which destination: from the options of a program to what a backend holds, and to a later sync. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DestinationStats } from '../../src/core/types.ts'
import { type Issue, openRun, startLogging } from '../../src/index.ts'
import { defineSink } from '../../src/sinks/contract.ts'
import { findSink } from '../../src/sinks/index.ts'
import { fakeModule } from '../pipeline/delivery/run-folder.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { IdentityServer } from '../sinks/fakes/identity-server.ts'
import { temporaryFolder } from './program.ts'

const pointsOf = (server: IdentityServer, run: string) => [...server.runs.get(run)!.points.values()]

function settledPoints({ delivered, filtered, rejected, corrupt }: DestinationStats): number {
  return delivered + filtered + rejected + corrupt
}

test('each destination gets what its options say, a sync later too; the journal keeps all', async (context) => {
  const dir = temporaryFolder(context)
  const server = await IdentityServer.start()
  context.after(() => server.stop())
  const identity = { module: fakeModule('identity'), url: server.url }
  for (const mode of ['online', 'offline'] as const) {
    const run = startLogging({
      dir,
      mode,
      backend: {
        local: {},
        'identity:all': identity,
        'identity:some': { ...identity, url: `${server.url}/`, include: ['train/*', 'model'], everyN: 10 },
        tensorboard: { excludeKinds: ['points', 'params'] },
      },
      params: { lr: 1 },
    })
    for (let step = 0; step < 100; step++) run.log({ 'train/loss': step, 'val/loss': -step }, { step })
    run.logText('notes', 'not for some', { step: 1 })
    run.logText('model', 'for all', { step: 1 })
    await run.finish()
    const { destinations } =
      mode === 'online'
        ? run.stats()
        : await syncRun(run.info.folder, { deadlineMs: 30_000, environment: {} })
    const { 'identity:all': all, 'identity:some': some, tensorboard } = destinations
    assert.deepEqual([all!.delivered, all!.filtered], [200, 0])
    assert.deepEqual([some!.delivered, some!.filtered], [10, 190])
    assert.deepEqual([tensorboard!.delivered, tensorboard!.filtered], [0, 200])
    assert.deepEqual(
      [all!.records.delivered, some!.records.delivered],
      [all!.records.delivered, all!.records.delivered - 1],
    )
    for (const { pending, lagMs, records } of Object.values(destinations))
      assert.deepEqual([pending, lagMs, records.pending], [0, 0, 0])
    const stored = openRun(run.id, { dir })
    assert.equal(stored.history('val/loss').step.length, 100)
    const kept = stored.destinations.find(({ name }) => name === 'identity:some')!.options
    assert.deepEqual([kept.include, kept.everyN], [['train/*', 'model'], 10])
  }
})

test('options that no destination has are refused at the start, and a sink may not take the name of one', (context) => {
  const dir = temporaryFolder(context)
  const refuses = (backend: object, message: RegExp) =>
    assert.throws(() => startLogging({ dir, backend: backend as never }), { code: 'ERR_OPTION', message })
  refuses({ tensorboard: { exclud: ['a'] } }, /unknown option 'exclud'; did you mean 'exclude'/)
  refuses({ tensorboard: { kinds: ['point'] } }, /'point'; did you mean 'points'/)
  refuses({ tensorboard: { everyN: 2.5 } }, /everyN' must be a whole number/)
  // it is the journal itself
  refuses({ local: { include: ['a'] } }, /unknown option 'include'/)
  const { create, ...tensorboard } = findSink('tensorboard')
  const options = { everyN: { type: 'number', doc: 'Mine.' } } as const
  assert.throws(() => defineSink({ ...tensorboard, options, create } as never), {
    code: 'ERR_OPTION',
    message: /'everyN': every destination has it/,
  })
})

test('a backend that is far too slow stays near maxLagMs, everything is counted and the user is told', async (context) => {
  const server = await IdentityServer.start()
  context.after(() => server.stop())
  // 2 at once of 500 points: 1,000 points a second
  server.before = ({ path }) => (path[2] === 'points' ? sleep(1_000) : undefined)
  const issues: Issue[] = []
  const run = startLogging({
    dir: temporaryFolder(context),
    backend: { identity: { module: fakeModule('identity'), url: server.url, maxLagMs: 1_000 } },
    onIssue: (issue) => void issues.push(issue),
  })
  const keys = Array.from({ length: 10 }, (_, index) => `s${index}`)
  const start = performance.now()
  const lags: number[] = []
  let step = 0
  for (let now = 0; now < 8_000; now = performance.now() - start) {
    // 20,000 points a second
    for (; step < 2 * now; step++)
      run.log(Object.fromEntries(keys.map((key) => [key, Math.sin(step)])), { step })
    lags.push(run.stats().destinations.identity!.lagMs)
    await sleep(20)
  }
  const { journaled, destinations } = await run.finish('finished', { deadlineMs: 60_000 })
  const identity = destinations.identity!
  assert.equal(journaled, 10 * step)
  assert.equal(settledPoints(identity), journaled)
  assert.equal(pointsOf(server, run.id).length, identity.delivered)
  assert.ok(identity.filtered > journaled / 2, `${identity.filtered} of ${journaled} filtered`)
  // all of them would take longer than it has logged
  const most = Math.max(...lags)
  assert.ok(most > 500 && most < 6_000, `${most} ms behind`)
  const told = issues.filter(({ code }) => code === 'ERR_BEHIND')
  assert.ok(told.some(({ message }) => message.includes('more than maxLagMs')))
})
