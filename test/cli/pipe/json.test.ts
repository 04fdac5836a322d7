/** JSON as Python prints it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseJson } from '../../../src/cli/pipe/json.ts'

test('bare NaN and infinities are numbers, the same words in texts are texts', () => {
  assert.deepEqual(parseJson('{"a": NaN, "b": [Infinity,-Infinity, 1], "NaN": "NaN", "c": "a, NaN"}'), {
    ...{ a: Number.NaN, b: [Infinity, -Infinity, 1], NaN: 'NaN', c: 'a, NaN' },
  })
  assert.deepEqual(parseJson('{"a":"\\"", "b":NaN, "c":"\\\\", "d":-Infinity, "e":"\\\\\\", NaN"}'), {
    ...{ a: '"', b: Number.NaN, c: '\\', d: -Infinity, e: '\\", NaN' },
  })
  assert.deepEqual(parseJson('[-0.0, -0, NaN, 5e-324]'), [-0, -0, Number.NaN, 5e-324])
})

test('what is no JSON beside them is refused', () => {
  for (const text of [
    '{"a": nan}',
    '{"a": NaN,}',
    '{"a": xNaN}',
    '{"a": NaN1}',
    '{"a": "NaN}',
    'NaN"',
    '+Infinity',
  ])
    assert.throws(() => parseJson(text), SyntaxError, text)
})

test('a long line of texts and numbers takes a time in proportion to its length', () => {
  const text = `{"a": [${'"\\\\", NaN, '.repeat(200_000)}0]}`
  const began = performance.now()
  const { a } = parseJson(text) as { a: unknown[] }
  assert.equal(a.length, 400_001)
  assert.ok(performance.now() - began < 5000)
  assert.throws(() => parseJson(`["NaN${'\\'.repeat(1_000_001)}`), SyntaxError)
})
