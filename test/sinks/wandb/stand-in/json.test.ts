import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Random, SEED } from '../../../random.ts'
import { parseJson, rewritten, withWords } from './json.ts'

describe('the reader of W&B lines', () => {
  it('reads bare NaN and infinities as numbers, and words in strings and keys as words', () => {
    assert.deepEqual(
      parseJson(
        '{"a":NaN,"b":[-Infinity,Infinity, NaN],"NaN":"NaN","q":"\\":NaN,\\\\","Infinity":{"x":-Infinity}}',
      ),
      {
        a: Number.NaN,
        b: [-Infinity, Infinity, Number.NaN],
        NaN: 'NaN',
        q: '":NaN,\\',
        Infinity: { x: -Infinity },
      },
    )
  })

  it('refuses what no JSON is, however tolerant', () => {
    for (const text of [
      '{"a":nan}',
      '{NaN:1}',
      '{"a":-NaN}',
      '{"a":NaN Infinity}',
      '[NaN',
      '{"a":+Infinity}',
      '{"a":NaNs}',
      '{"a":"NaN}',
    ]) {
      assert.throws(() => parseJson(text), SyntaxError, text)
    }
  })

  it(`gives back what was written, whatever the strings say (seed ${SEED})`, () => {
    const random = new Random()
    const words = ['NaN', '-Infinity', '"', '\\', ':', ',', '[', '{', 'ü', '\u2028', ' ', '}']
    const string = () => Array.from({ length: random.below(6) }, () => random.pick(words)).join('')
    const value = (depth: number): unknown => {
      const kind = random.below(depth > 0 ? 6 : 4)
      if (kind === 0) return random.pick([Number.NaN, Infinity, -Infinity])
      if (kind === 1) return random.double()
      if (kind === 2) return string()
      if (kind === 3) return random.pick([true, false, null])
      const items = Array.from({ length: random.below(5) }, () => value(depth - 1))
      return kind === 4
        ? items
        : Object.fromEntries(items.map((item) => [`${string()}${random.next()}`, item]))
    }
    for (let round = 0; round < 300; round++) {
      const given = value(4)
      const text = pythonText(given)
      assert.deepEqual(parseJson(text), given, text)
      assert.deepEqual(parseJson(rewritten(text)), given, text)
    }
  })

  it('reads a line of several megabytes', () => {
    const long = 'NaN "\\'.repeat(1_000_000)
    assert.deepEqual(parseJson(`{"long":${JSON.stringify(long)},"n":NaN}`), { long, n: Number.NaN })
  })

  it('has words where the server has no numbers, and keys in the order of their names', () => {
    assert.deepEqual(withWords({ a: [Number.NaN, 1], b: { c: -Infinity } }), {
      a: ['NaN', 1],
      b: { c: '-Infinity' },
    })
    assert.equal(rewritten('{"b":1.0,"a":{"z":NaN,"y":[2e2]}}'), '{"a":{"y":[200],"z":NaN},"b":1}')
  })
})

function pythonText(value: unknown): string {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (Array.isArray(value)) return `[${value.map(pythonText).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const pairs = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${pythonText(inner)}`)
  return `{${pairs.join(', ')}}`
}
