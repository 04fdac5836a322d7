import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { readEvents } from '../sinks/tensorboard/read-events.ts'
import { tracelet } from './run-cli.ts'

const root = mkdtempSync(join(tmpdir(), 'tracelet-sync-'))
after(() => rmSync(root, { recursive: true, force: true }))

test('what a blocked backend did not take is sent by sync, once, when the obstacle is gone', async () => {
  const obstacle = join(root, 'obstacle')
  writeFileSync(obstacle, '')
  const logDir = join(obstacle, 'logs')
  const run = startLogging({ dir: root, runId: 'left', backend: { local: {}, tensorboard: { logDir } } })
  for (let step = 0; step < 500; step++) run.log({ loss: step / 4 }, { step })
  const stats = await run.finish('finished', { deadlineMs: 300 })
  assert.equal(stats.destinations.tensorboard!.pending, 500)

  const blocked = await tracelet(root, 'sync', 'left', '--deadline', '1')
  assert.equal(blocked.code, 1)
  assert.match(blocked.stdout, /tensorboard +500 +0 .* 500 +✓/)
  assert.match(blocked.stdout, /tensorboard has not got everything: .*ENOTDIR/)

  rmSync(obstacle)
  for (let repeat = 0; repeat < 2; repeat++) {
    const sent = await tracelet(root, 'sync', run.info.folder)
    assert.equal(sent.code, 0, sent.stdout + sent.stderr)
    assert.match(sent.stdout, /tensorboard +500 +500 .* 0 +✓/)
  }
  const values = readEvents(join(logDir, 'left')).filter(({ value }) => value !== undefined)
  assert.deepEqual(
    values.map(({ value }) => value),
    Array.from({ length: 500 }, (_, step) => step / 4),
  )
})

test('--all goes through every run, --destination leaves the others alone', async () => {
  const all = await tracelet(root, 'sync', '--all', '--destination', 'local')
  assert.equal(all.code, 0, all.stderr)
  assert.match(all.stdout, /^run left$/m)
  assert.doesNotMatch(all.stdout, /tensorboard/)
  const empty = await tracelet(join(root, 'nothing'), 'sync', '--all')
  assert.deepEqual([empty.code, empty.stdout], [0, 'no runs\n'])
})

test('a run or a destination that is not there is an error with a suggestion', async () => {
  const run = await tracelet(root, 'sync', 'lefd')
  assert.equal(run.code, 1)
  assert.match(run.stderr, /ERR_RUN_UNKNOWN.*did you mean 'left'\?/)
  const destination = await tracelet(root, 'sync', 'left', '--destination', 'lokal')
  assert.equal(destination.code, 1)
  assert.match(destination.stderr, /ERR_OPTION.*did you mean 'local'\?/)
})

test('runs and --all exclude each other, and one of them is needed', async () => {
  for (const args of [['sync'], ['sync', 'left', '--all']]) {
    const { code, stderr } = await tracelet(root, ...args)
    assert.equal(code, 2)
    assert.match(stderr, /name runs .* or --all/)
  }
})
