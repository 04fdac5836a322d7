import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HPARAMS_TAGS, maxTagBytes, TEXT_TAGS, tagOf } from '../../../src/sinks/tensorboard/tag.ts'

test('a plain name is its own tag', () => {
  for (const name of ['loss', 'train/loss', 'w[0]', 'a ]', '精度', '__proto__', ' '])
    assert.equal(tagOf(name, ''), name)
})

test('a context follows the name', () => {
  assert.equal(tagOf('train/loss', 'val'), 'train/loss [val]')
  assert.equal(tagOf('loss', 'a [b] 5%'), 'loss [a %5Bb] 5%25]')
})

test('tags with a meaning of their own are never a series', () => {
  for (const tag of [...Object.values(TEXT_TAGS), ...Object.values(HPARAMS_TAGS), '']) {
    assert.equal(tagOf(tag, ''), `${tag} []`)
  }
})

test('no two series of odd names and contexts share a tag or exceed its bound', () => {
  const parts = ['', 'a', ' ', '[', ']', ' [', ' []', ' [a]', '%', '%5B', '%25', '\n', ' [\n]']
  const names = parts.flatMap((first) => parts.map((second) => first + second))
  const seen = new Map<string, string>()
  for (const name of new Set(names)) {
    for (const context of new Set(names)) {
      const tag = tagOf(name, context)
      const series = JSON.stringify([name, context])
      assert.equal(seen.get(tag), undefined, `${series} and ${seen.get(tag)} share ${JSON.stringify(tag)}`)
      seen.set(tag, series)
      assert.ok(Buffer.byteLength(tag) <= maxTagBytes(Buffer.byteLength(name + context)))
    }
  }
})
