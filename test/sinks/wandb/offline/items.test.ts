import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { escaped } from '../../../../src/sinks/wandb/escape.ts'
import { ItemEncoder } from '../../../../src/sinks/wandb/offline/items.ts'
import { Random, SEED } from '../../../random.ts'
import { itemsOf, type Message, messageOf, messagesOf, numberOf } from './read-log.ts'

const HISTORY = 2
const SUMMARY = 3
const STATS = 7

/** As they stand in the body of a request. */
function body(lines: readonly string[]): string {
  return lines.map((line) => `"${escaped(line)}"`).join(',')
}

function contentOf(
  record: Uint8Array,
  field: number,
): { readonly number: number; readonly content: Message } {
  const message = messageOf(Buffer.from(record))
  return { number: numberOf(message, 1), content: messagesOf(message, field)[0]! }
}

const PIECES = [
  'a',
  '/',
  '.',
  '"',
  '\\',
  ',',
  ':',
  '{',
  '}',
  '[',
  ']',
  'é',
  '日',
  '🎯',
  '\n',
  '\u0000',
  '\ud800',
  ' ',
]

function text(random: Random): string {
  return Array.from({ length: random.below(6) }, () => random.pick(PIECES)).join('')
}

/** JSON text of some value, with the words that W&B's JSON has besides. */
function json(random: Random, depth = 0): string {
  const kind = random.below(depth < 3 ? 7 : 4)
  if (kind === 0) return JSON.stringify(text(random))
  if (kind === 1) return random.pick(['NaN', 'Infinity', '-Infinity', 'null', 'true', 'false'])
  if (kind < 5) return String(random.pick([random.double(), random.below(100), -random.next()]))
  const inner = Array.from({ length: random.below(4) }, () => json(random, depth + 1))
  if (kind === 5) return `[${inner.join(',')}]`
  return `{${inner.map((one) => `${JSON.stringify(text(random))}:${one}`).join(',')}}`
}

describe(`lines as items of records (seed ${SEED})`, () => {
  test('each top field is an item with its key and the very text of its value', () => {
    const random = new Random(SEED)
    const encoder = new ItemEncoder()
    for (let turn = 0; turn < 60; turn++) {
      const lines = Array.from({ length: random.below(30) }, (_, at) => {
        const fields = Array.from({ length: random.below(8) }, () => [text(random), json(random)] as const)
        return [['_step', String(turn * 100 + at)], ...fields] as [string, string][]
      })
      encoder.begin()
      const records = encoder.history(
        body(
          lines.map(
            (fields) => `{${fields.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`,
          ),
        ),
        7,
      )
      assert.equal(records.length, lines.length)
      for (const [at, record] of records.entries()) {
        const { number, content } = contentOf(record, HISTORY)
        assert.equal(number, 7 + at)
        // half a pair of surrogates has no UTF-8
        const wanted = lines[at]!.map(([key, value]) => [key.toWellFormed(), value.toWellFormed()])
        assert.deepEqual(itemsOf(content), wanted)
        assert.equal(numberOf(messagesOf(content, 2)[0]!, 1), turn * 100 + at)
      }
    }
  })

  test('records of one write stay whole, whatever comes after them and however long they are', () => {
    const encoder = new ItemEncoder()
    const long = 'x'.repeat(2_000_000)
    encoder.begin()
    const history = encoder.history(
      body([`{"_step":0,"a":1}`, `{"_step":1,"t":"${long}"}`, `{"_step":2}`]),
      1,
    )
    const events = encoder.events(
      body([`{"_wandb":true,"system.cpu":3,"_timestamp":12.345,"_runtime":1}`]),
      4,
    )
    const summary = encoder.summary('{"a":{"min":0.5},"_step":2,"_wandb":{"runtime":3}}', 5)
    assert.deepEqual(
      history.map((record) => itemsOf(contentOf(record, HISTORY).content).map(([key]) => key)),
      [['_step', 'a'], ['_step', 't'], ['_step']],
    )
    assert.equal(itemsOf(contentOf(history[1]!, HISTORY).content)[1]![1].length, long.length + 2)
    assert.deepEqual(itemsOf(contentOf(summary, SUMMARY).content), [
      ['a', '{"min":0.5}'],
      ['_step', '2'],
      ['_wandb', '{"runtime":3}'],
    ])
    const stats = contentOf(events[0]!, STATS).content
    assert.deepEqual(itemsOf(stats, 3), [['cpu', '3']])
    const time = messagesOf(stats, 2)[0]!
    assert.deepEqual([numberOf(time, 1), numberOf(time, 2)], [12, 345_000_000])
  })
})
