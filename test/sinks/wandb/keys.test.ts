import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyOf, remoteRunId } from '../../../src/sinks/wandb/keys.ts'

test('a name is its own key, a context stands behind it, and system metrics have their own place', () => {
  assert.equal(keyOf('train/loss.1', ''), 'train/loss.1')
  assert.equal(keyOf('loss', 'val'), 'loss -- val')
  assert.equal(keyOf('system/gpu.0.temp', ''), 'system.gpu.0.temp')
})

test("W&B's own fields and everything that looks like them get another name each", () => {
  const names = ['_step', '_step_', '_step__', '_runtime', '_timestamp', '_wandb', '_wandb_']
  const keys = names.map((name) => keyOf(name, ''))
  assert.equal(new Set(keys).size, names.length)
  for (const key of keys) assert.ok(!['_step', '_runtime', '_timestamp', '_wandb'].includes(key), key)
})

test('whatever dashes and spaces names and contexts have, no two share a key', () => {
  const pieces = ['a', ' ', '-', '--', ' --', '-- ', ' -- ', ' --- ', 'b']
  const texts = pieces.flatMap((one) => pieces.flatMap((two) => pieces.map((three) => one + two + three)))
  const keys = new Map<string, string>()
  for (const name of texts) {
    for (const context of ['', ...texts]) {
      const key = keyOf(name, context)
      const series = JSON.stringify([name, context])
      assert.equal(keys.get(key) ?? series, series, key)
      keys.set(key, series)
    }
  }
})

test("a run's id is its own at W&B where it can be a part of an address, else another that no run has", () => {
  assert.equal(remoteRunId('20261123-101500-a1b2c3'), '20261123-101500-a1b2c3')
  const odd = ['a/b', 'a b', 'größe', 'x'.repeat(200), `${'x'.repeat(200)}y`, 'a-0123456789abcdef', '.', '..']
  const ids = odd.map(remoteRunId)
  assert.equal(new Set(ids).size, odd.length)
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{1,64}$/)
})
