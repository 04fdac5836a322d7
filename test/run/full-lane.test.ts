/** A lane that refuses points must not refuse the end of the run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRun, startLogging } from '../../src/index.ts'
import { temporaryFolder } from './program.ts'

test('finish() right after a burst that overflowed ends the run, with every point counted', async (context) => {
  const dir = temporaryFolder(context)
  const run = startLogging({ backend: 'local', dir, overflow: 'drop', laneSlots: 256 })
  const loss = run.metric('loss')
  const calls = 100_000
  for (let step = 0; step < calls; step++) loss.log(step, step / 3)
  const start = performance.now()
  const stats = await run.finish('failed', { deadlineMs: 20_000 })
  assert.ok(performance.now() - start < 10_000, 'the end came through, not the deadline')
  assert.ok(stats.lost.laneFull > 0, 'the burst did overflow')
  assert.equal(stats.accepted, calls)
  assert.equal(stats.accepted, stats.journaled + stats.coalesced + stats.lost.laneFull)
  const stored = openRun(run.id, { dir })
  assert.equal(stored.state().state, 'failed')
  assert.equal(stored.history('loss').step.length, stats.journaled)
})
