/** Runs within runs, and many runs one after another. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { getActiveRun, openRun, startLogging, stopLogging } from '../../src/index.ts'
import { temporaryFolder } from './program.ts'

test('a child has its parent, group, project and backends; its name, params and tags are its own', async (context) => {
  const dir = temporaryFolder(context)
  const parent = startLogging({
    ...{ dir, project: 'p', expName: 'e', group: 'g', name: 'sweep', runId: 'the-parent' },
    ...{ backend: ['local'], tags: ['t'], params: { lr: 1 } },
  })
  const child = startLogging({ parent, expName: 'other', name: undefined })
  const byId = startLogging({ dir, backend: 'local', parent: 'the-parent' })
  for (const run of [byId, child, parent]) await run.finish()
  const stored = openRun(child.id, { dir })
  const { parent: parentId, group, project, experiment, name } = stored.info
  assert.deepEqual([parentId, group, project, experiment], ['the-parent', 'g', 'p', 'other'])
  assert.equal(name, child.id)
  assert.deepEqual([stored.params(), stored.tags()], [{}, {}])
  assert.deepEqual(
    stored.destinations.map((destination) => destination.name),
    ['local'],
  )
  const other = openRun(byId.id, { dir }).info
  assert.deepEqual([other.parent, other.group, other.project], ['the-parent', undefined, 'default'])
})

test('the active run is the one started last and not finished: after a child its parent', async (context) => {
  const options = { dir: temporaryFolder(context), backend: 'local' }
  const parent = startLogging(options)
  const first = startLogging({ parent })
  const second = startLogging({ parent: first })
  assert.equal(getActiveRun(), second)
  const ending = second.finish()
  // at once: a run that is ending takes no more
  assert.equal(getActiveRun(), first)
  await ending
  assert.equal(getActiveRun(), first)
  await stopLogging()
  assert.equal(getActiveRun(), parent)
  await stopLogging()
  assert.throws(getActiveRun, { code: 'ERR_NO_ACTIVE_RUN' })
  assert.equal(await stopLogging(), undefined)
})

test('a parent that is no run, or the run itself, is refused', () => {
  assert.throws(() => startLogging({ parent: {} as never }), { code: 'ERR_OPTION' })
  assert.throws(() => startLogging({ parent: 'same', runId: 'same' }), { code: 'ERR_OPTION' })
  assert.throws(() => startLogging({ parent: 7 as never }), { code: 'ERR_OPTION' })
})

test('300 children one after another: each is whole, and neither descriptors nor threads grow', async (context) => {
  const dir = temporaryFolder(context)
  const parent = startLogging({ dir, backend: 'local' })
  const descriptors = () => readdirSync('/proc/self/fd').length
  const threads = () => readdirSync('/proc/self/task').length
  const isLinux = process.platform === 'linux'
  let before: number[] = []
  for (let index = 0; index < 300; index++) {
    const child = startLogging({ parent })
    child.log({ index })
    const stats = await child.finish()
    assert.equal(stats.journaled, 1)
    if (isLinux && index === 20) before = [descriptors(), threads()]
  }
  parent.log({ last: 1 })
  if (isLinux) {
    // the last ones are closed once they are synced; a few come and go with the threads' own work
    const most = before.map((count) => count + 8)
    const until = performance.now() + 10_000
    while (descriptors() > most[0]! && performance.now() < until) await sleep(20)
    const after = [descriptors(), threads()]
    assert.ok(after[0]! <= most[0]! && after[1]! <= most[1]!, `${before} grew to ${after}`)
  }
  assert.equal((await parent.finish()).journaled, 1)
  const runs = readdirSync(join(dir, 'default'))
  assert.equal(runs.length, 301)
  const values = runs.flatMap((id) => [...openRun(id, { dir }).history('index').value])
  assert.deepEqual(
    values.sort((a, b) => a - b),
    Array.from({ length: 300 }, (_, index) => index),
  )
})
