/** Many runs in one thread, many threads on one run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { PRODUCERS, takeProducer } from '../../src/core/counters.ts'
import { attachRun, startLogging } from '../../src/index.ts'
import { unaccounted } from './media/kept.ts'
import { temporaryFolder } from './program.ts'

const IMAGE = { data: new Uint8Array(4), shape: [2, 2] }

test('a thread that joins run after run lets go of those that are finished', async (context) => {
  const dir = temporaryFolder(context)
  const join = async () => {
    const run = startLogging({ dir, backend: 'local' })
    const attached = attachRun(run.handle())
    assert.equal(attachRun(run.handle()), attached)
    attached.log({ loss: 1 })
    attached.logImage('i', IMAGE)
    assert.equal(await attached.flush(), true)
    const stats = await run.finish()
    assert.deepEqual([stats.journaled, stats.records.journaled, unaccounted(stats)], [1, 3, 0])
    return new WeakRef(attached)
  }
  const first = await join()
  await join()
  setFlagsFromString('--expose-gc')
  await turn()
  const collect = runInNewContext('gc') as () => void
  collect()
  assert.equal(first.deref(), undefined)
})

test("however many threads a run has had, its owner's images are kept", async (context) => {
  const dir = temporaryFolder(context)
  const run = startLogging({ dir, backend: 'local', onIssue: ({ message }) => assert.fail(message) })
  while (takeProducer(run.handle().counters) < PRODUCERS);
  run.logImage('i', IMAGE)
  const stats = await run.finish()
  assert.deepEqual([stats.records.journaled, stats.records.lost], [3, 0])
  assert.throws(() => attachRun(run.handle()), { code: 'ERR_HANDLE' })
})
