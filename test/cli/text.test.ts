import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, fit, jsonText, padEnd, plain, plainLines, value, width } from '../../src/cli/text.ts'

/** What a name can hold, and what of it may reach a terminal. */
const HOSTILE: readonly (readonly [name: string, shown: string])[] = [
  ['\x1b[31mred\x1b[0m', 'red'],
  ['\x1b]0;title\x07x', 'x'],
  ['\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\', 'link'],
  ['\x1bP1$r\x1b\\x', 'x'],
  ['\x1bcreset', 'reset'],
  ['\x9b2Jx', 'x'],
  ['a\rb\nc\td\x00e\x7ff', 'a b c d e f'],
  ['abc\u202etxt.exe', 'abctxt.exe'],
  ['a\u2028b', 'a b'],
  ['half \ud800 pair', 'half \ufffd pair'],
  ['\x1b', ''],
  ['loss/train · 学習 🚀', 'loss/train · 学習 🚀'],
]

test('nothing that a terminal would obey is left of a text', () => {
  for (const [name, shown] of HOSTILE) {
    assert.equal(plain(name), shown, JSON.stringify(name))
    assert.doesNotMatch(plainLines(name).join('\n'), /[^\P{Cc}\n]|\u202e/u)
  }
  assert.deepEqual(plainLines('# title\r\n\x1b[1mbold\x1b[0m\n\tin  '), ['# title', 'bold', '  in'])
})

test('JSON for programs keeps every character, harmless as it is printed', () => {
  for (const [name] of HOSTILE) {
    const text = jsonText({ [name]: name })
    assert.doesNotMatch(text, /[\p{Cc}\u2028\u2029\u202a-\u202e]/u)
    assert.deepEqual(JSON.parse(text), { [name]: name })
  }
  assert.equal(jsonText([Number.NaN, Infinity, -Infinity, 0.1]), '["NaN","Infinity","-Infinity",0.1]')
})

test('widths are counted in columns, not in characters', () => {
  const widths: readonly (readonly [string, number])[] = [
    ['', 0],
    ['abc', 3],
    ['é', 1],
    ['e\u0301', 1],
    ['学習', 4],
    ['ﾊﾝｶｸ', 4],
    ['한글', 4],
    ['Ａ', 2],
    ['🚀', 2],
    ['👩‍🔬', 2],
    ['❤️', 2],
    ['→', 1],
    ['\u200b', 0],
  ]
  for (const [text, columns] of widths) assert.equal(width(text), columns, JSON.stringify(text))
})

test('a text that does not fit ends in … and never in half a letter', () => {
  assert.equal(fit('abcdef', 6), 'abcdef')
  assert.equal(fit('abcdef', 4), 'abc…')
  assert.equal(fit('学習率', 4), '学…')
  assert.equal(fit('学習率', 5), '学習…')
  assert.equal(fit('👩‍🔬👩‍🔬', 3), '👩‍🔬…')
  assert.equal(fit('abc', 1), '…')
  assert.equal(fit('abc', 0), '')
  assert.equal(padEnd('学', 4), '学  ')
})

test('numbers are short and keep what matters', () => {
  const shown: readonly (readonly [number, string])[] = [
    [0, '0'],
    [12, '12'],
    [-0.123456789, '-0.123457'],
    [1.5e-9, '1.500e-9'],
    [123456789012, '1.235e+11'],
    [Number.NaN, 'NaN'],
    [-Infinity, '-Infinity'],
    [0.30000000000000004, '0.3'],
  ]
  for (const [number, text] of shown) assert.equal(value(number), text)
  assert.equal(bytes(999), '999 B')
  assert.equal(bytes(1536), '1.5 KiB')
  assert.equal(bytes(20 * 1024 ** 3), '20 GiB')
})
