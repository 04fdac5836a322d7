import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { urlPath } from '../../../../src/sinks/mlflow/stores/proxy-store.ts'
import { imageKey } from '../../../../src/sinks/mlflow/uploads/images.ts'
import { mapPath, mapSegment, stepName } from '../../../../src/sinks/mlflow/uploads/paths.ts'
import { Random, SEED } from '../../../random.ts'

const LETTERS = [
  'a',
  'Z',
  '0',
  '.',
  '..',
  '/',
  '#',
  '?',
  '%',
  '%2e',
  '\\',
  ':',
  '+',
  '~',
  ' ',
  '-',
  'ü',
  '😀',
  '\ud800',
  '\t',
  '\0',
]

describe('paths of artifacts at MLflow', () => {
  it('are what the user called them, wherever every server can hold that', () => {
    for (const path of [
      'a/b.txt',
      '.hidden',
      'ü 漢😀.txt',
      "it's a&b=c+d~",
      'a..b',
      '..a',
      'x'.repeat(255),
    ]) {
      assert.deepEqual(mapPath(path), { path, mapped: false })
    }
  })

  it(`are never ones that a server refuses, changes or cannot keep, and never shared (seed ${SEED})`, () => {
    const random = new Random()
    const seen = new Map<string, string>()
    for (let i = 0; i < 20_000; i++) {
      const name = Array.from({ length: random.below(8) }, () => random.pick(LETTERS)).join('')
      const given = i % 50 === 0 ? name + 'ü'.repeat(random.below(300)) : name
      const { path, mapped } = mapPath(given)
      assert.equal(mapped, path !== given)
      for (const segment of path.split('/')) {
        assert.ok(Buffer.byteLength(segment) <= 255 && segment.isWellFormed(), JSON.stringify(given))
        assert.doesNotMatch(segment, /^\.{0,2}$|[#%?\\:\p{Cc}]|^\s|\s$/u, JSON.stringify(given))
      }
      assert.equal(decodeURIComponent(urlPath(path)), path)
      assert.equal(seen.get(path) ?? given, given)
      seen.set(path, given)
    }
    assert.ok(seen.size > 10_000)
  })

  it('are as long as a store can hold them, in all', () => {
    const long = [`${'a/'.repeat(2000)}end.txt`, `${'a/'.repeat(2001)}end.txt`, `${'ü/'.repeat(200)}x`]
    const paths = long.map((path) => mapPath(path).path)
    for (const path of paths) assert.ok(Buffer.byteLength(path) <= 450, path)
    assert.match(paths[0]!, /^a_a_a_.*-[0-9a-f]{16}\.txt$/)
    assert.equal(new Set(paths).size, paths.length)
    assert.deepEqual(mapPath(`${'a/'.repeat(224)}b`), { path: `${'a/'.repeat(224)}b`, mapped: false })
  })

  it('keep a readable part and the ending', () => {
    assert.match(mapSegment('50% #1.csv'), /^50_ _1-[0-9a-f]{16}\.csv$/)
    const taken = mapSegment('a#.txt')
    assert.notEqual(mapSegment(taken), taken)
  })

  it('name images by keys that MLflow’s page can take apart', () => {
    assert.equal(imageKey('val/conf matrix'), 'val~conf matrix')
    const keys = ['a+b', 'a~b', 'a%b', 'a#b', '../x', 'y'.repeat(400), 'a/'.repeat(200)].map(imageKey)
    for (const key of keys) {
      assert.doesNotMatch(key, /[+%#/]/)
      assert.ok(Buffer.byteLength(key) <= 150)
    }
    assert.equal(new Set(keys).size, keys.length)
  })

  it('sort by step', () => {
    const names = [2, 10, 999, 100_000_000].map(stepName)
    assert.equal(names[0], 'step_00000002')
    assert.deepEqual(names.slice(0, 3), names.slice(0, 3).sort())
    assert.equal(stepName(-5), 'step_-00000005')
  })
})
