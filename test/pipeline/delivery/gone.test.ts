/** What retention removed before a destination had it: told once, counted to the number, and gone past. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptySums } from '../../../src/pipeline/delivery/item.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage } from './stage.ts'

const RULES = {
  points: { capabilities: { shape: 'points' } },
  rows: { capabilities: { shape: 'rows' } },
} as const

for (const [shape, options] of Object.entries(RULES)) {
  test(`${shape}: one letter names the range and its counts, the rest is delivered`, async () => {
    const journal = new MemoryJournal().gone(40, 3).scalars('loss', 20, 7, 40)
    const stage = new Stage(journal, options)
    await stage.finish()
    assert.deepEqual(
      stage.letters.map(({ at: _, reason, ...letter }) => ({
        ...letter,
        names: /0 to 42.*43 is/.test(reason),
      })),
      [
        {
          destination: 'scripted',
          seq: 0,
          kind: 'gone',
          points: 40,
          records: 3,
          code: 'ERR_HISTORY_GONE',
          names: true,
        },
      ],
    )
    assert.equal(stage.sink.points.length, 20)
    assert.deepEqual(
      stage.sink.points.map(({ step }) => step),
      Array.from({ length: 20 }, (_, index) => 40 + index),
    )
    const { settled, seq } = stage.cursor
    assert.deepEqual(settled, { ...emptySums(), delivered: 20, rejected: 40, recordsRejected: 3 })
    assert.equal(seq, 63)
    const told = stage.told.filter((message) => message.type === 'issue')
    assert.deepEqual(
      told.map(({ severity, issue }) => [severity, issue.code]),
      [['notice', 'ERR_HISTORY_GONE']],
    )
    assert.ok(stage.closed?.type === 'closed' && stage.closed.complete)
  })

  test(`${shape}: what the cursor has passed before it was removed counts once`, async () => {
    const journal = new MemoryJournal().gone(40, 0).scalars('loss', 5, 5, 40)
    const settled = { ...emptySums(), delivered: 30 }
    const cursor = { seq: 30, back: 30, settled, state: undefined }
    const stage = new Stage(journal, { ...options, cursor })
    await stage.finish()
    assert.deepEqual(stage.cursor.settled, { ...emptySums(), delivered: 35, rejected: 10 })
    assert.deepEqual(
      stage.letters.map((letter) => [letter.seq, letter.kind === 'gone' && letter.points]),
      [[30, 10]],
    )
  })
}

test('a disk that takes no letter does not let the range pass', async () => {
  const stage = new Stage(new MemoryJournal().gone(4, 0).scalars('loss', 5))
  stage.diskError = new Error('no space')
  await stage.play(() =>
    stage.told.some((message) => message.type === 'issue' && message.severity === 'failing'),
  )
  assert.equal(stage.saved.at(-1)?.seq ?? 0, 0)
  stage.diskError = undefined
  await stage.finish()
  assert.deepEqual(stage.cursor.settled, { ...emptySums(), delivered: 5, rejected: 4 })
  assert.equal(stage.letters.length, 1)
})
