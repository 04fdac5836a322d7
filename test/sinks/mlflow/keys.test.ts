import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isAllowed, keyOf } from '../../../src/sinks/mlflow/keys.ts'
import { Random, SEED } from '../../random.ts'

describe('keys of MLflow', () => {
  it('leaves names that MLflow allows as they are', () => {
    for (const name of [
      'loss',
      'train/loss',
      'val acc',
      'system/gpu_0:mem',
      'Verlust-ä',
      '損失',
      '.hidden',
      'a.b..c',
    ]) {
      assert.deepEqual(keyOf(name), { key: name, hash: '' })
    }
    assert.deepEqual(keyOf('x'.repeat(250)), { key: 'x'.repeat(250), hash: '' })
  })

  it('shows a context behind the name', () => {
    assert.equal(keyOf('loss', 'val').key, 'loss -- val')
    assert.notEqual(keyOf('loss -- val').key, 'loss -- val')
  })

  it('maps every other name to an allowed key that still can be read', () => {
    assert.match(keyOf('loss@5').key, /^loss_5-[0-9a-f]{16}$/)
    assert.match(keyOf('/abs//path/../x/').key, /^_\/abs\/_\/path\/_\/x\/_-[0-9a-f]{16}$/)
    assert.match(keyOf('..', 'val').key, /^__ -- val-[0-9a-f]{16}$/)
    assert.match(keyOf('').key, /^_-[0-9a-f]{16}$/)
    assert.match(keyOf('loss', 'subset@1').key, /^loss -- subset_1-[0-9a-f]{16}$/)
    for (const name of [
      'x'.repeat(300),
      '/'.repeat(300),
      '😀'.repeat(200),
      'a\ud800',
      'a\0b',
      '.',
      '..',
      'हिन्दी',
    ]) {
      const { key, hash } = keyOf(name)
      assert.notEqual(hash, '')
      assert.ok(isAllowed(key), JSON.stringify(key))
    }
  })

  it('maps a name that looks like a mapped one', () => {
    const { key } = keyOf('loss@5')
    assert.notEqual(keyOf(key).key, key)
  })

  it(`gives two names never the same key (seed ${SEED})`, () => {
    const random = new Random()
    const parts = ['a', 'b', ' -- ', '--', ' ', '/', '.', '..', '@', '', 'é', '\ud800', '\udc00', '\0', '-']
    const text = () => Array.from({ length: random.below(6) }, () => random.pick(parts)).join('')
    const owners = new Map<string, string>()
    for (let i = 0; i < 20_000; i++) {
      const [name, context] = [text(), text()]
      const { key } = keyOf(name, context)
      const owner = JSON.stringify([name, context])
      assert.ok(isAllowed(key), `${owner} has the key ${JSON.stringify(key)}`)
      assert.equal(owners.get(key) ?? owner, owner)
      owners.set(key, owner)
    }
  })
})
