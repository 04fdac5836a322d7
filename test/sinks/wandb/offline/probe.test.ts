import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { resolveOptions } from '../../../../src/core/options.ts'
import { wandbOffline } from '../../../../src/sinks/wandb/offline/sink.ts'
import { temporaryFolder } from '../../../run/program.ts'
import { OfflineBench } from './bench.ts'

const { signal } = new AbortController()

async function probe(dir: string) {
  const options = resolveOptions(wandbOffline.options, { dir }, {}, 'test')
  const [finding, ...more] = await wandbOffline.probe!(options, signal)
  assert.deepEqual(more, [])
  return finding!
}

test('the folder need not be there yet, and runs that were not sent are counted', async (context) => {
  const bench = new OfflineBench(context)
  assert.match((await probe(bench.dir)).seen, /will be made by the first run$/)
  await bench.open()
  assert.match((await probe(bench.dir)).seen, /1 run there is not sent yet/)
  writeFileSync(`${bench.path}.synced`, '')
  const { level, seen } = await probe(bench.dir)
  assert.deepEqual([level, seen], ['ok', `${dirname(dirname(bench.path))} is writable`])
})

test('a file in the place of the folder is a failure, with what to do about it', async (context) => {
  const dir = temporaryFolder(context)
  mkdirSync(join(dir, 'elsewhere'))
  writeFileSync(join(dir, 'wandb'), '')
  const { level, seen, fix } = await probe(dir)
  assert.deepEqual([level, seen], ['fail', `${join(dir, 'wandb')} is not a folder`])
  assert.ok(fix)
})
