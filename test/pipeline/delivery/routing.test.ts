import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Cursor, RunRecord } from '../../../src/core/types.ts'
import { Random, SEED } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage, type StageOptions } from './stage.ts'

const text = (name: string): RunRecord => ({ kind: 'text', name, step: 1, time: 1, text: name })
const PARAMS: RunRecord = { kind: 'params', params: { lr: 1 } }
const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: 1 }

/** A sink that takes texts on a cursor of their own. */
const UPLOADS: StageOptions = {
  capabilities: { records: ['params', 'tags', 'state'], uploads: ['text'] },
}

function assertLaw(
  { cursor, uploadsCursor }: { cursor: Cursor; uploadsCursor?: Cursor },
  journal: MemoryJournal,
) {
  const rows = cursor.settled
  const uploads = uploadsCursor?.settled
  assert.equal(
    rows.delivered + rows.filtered + rows.rejected + rows.corrupt,
    journal.seq - journal.records,
    JSON.stringify(rows),
  )
  const recordsOf = (sums: Cursor['settled'] | undefined) =>
    sums === undefined
      ? 0
      : sums.recordsDelivered + sums.recordsFiltered + sums.recordsRejected + sums.recordsCorrupt
  assert.equal(recordsOf(rows) + recordsOf(uploads), journal.records, JSON.stringify([rows, uploads]))
}

describe(`routing, seed ${SEED}`, () => {
  for (const shape of ['points', 'rows'] as const) {
    test(`${shape}: names, kinds and steps choose what arrives, and the rest is counted as filtered`, async () => {
      const journal = new MemoryJournal().record(PARAMS)
      for (let step = 0; step < 60; step++) {
        journal.frame(
          ['train/loss', 'train/debug', 'val/loss'].map((name) => [step, step, name, step] as const),
          [step],
        )
      }
      journal.record({ kind: 'tags', tags: { a: 'b' } }).record(FINISHED)
      const stage = new Stage(journal, {
        capabilities: { shape },
        options: { include: ['train/*'], exclude: ['*/debug'], excludeKinds: ['tags'], everyN: 10 },
      })
      await stage.finish()
      assert.deepEqual(
        stage.sink.points.map(({ name, step }) => [name, step]),
        [0, 10, 20, 30, 40, 50].map((step) => ['train/loss', step]),
      )
      assert.deepEqual(stage.sink.records, [PARAMS, FINISHED])
      const { delivered, filtered, recordsFiltered } = stage.cursor.settled
      assert.deepEqual([delivered, filtered, recordsFiltered], [6, 174, 1])
      assertLaw(stage, journal)
      assert.equal(stage.closed?.complete, true)
    })
  }

  test('a destination that takes no points still opens, gets its records and the state', async () => {
    const journal = new MemoryJournal().record(PARAMS).scalars('loss', 500, 50).record(FINISHED)
    const stage = new Stage(journal, { options: { kinds: ['params'] } })
    await stage.finish()
    assert.deepEqual(stage.sink.records, [PARAMS, FINISHED])
    assert.equal(stage.sink.points.length, 0)
    assertLaw(stage, journal)
  })

  test('uploads obey it too: what is not for the destination is settled by the rows', async () => {
    const journal = new MemoryJournal().record(text('a/1')).record(text('b/1')).record(text('a/2'))
    const stage = new Stage(journal, { ...UPLOADS, options: { include: ['a/*'] } })
    await stage.finish()
    assert.deepEqual(
      stage.uploader.uploads.map(({ seq }) => seq),
      [0, 2],
    )
    assert.equal(stage.cursor.settled.recordsFiltered, 1)
    assertLaw(stage, journal)
    assert.equal(stage.closed?.complete, true)
  })

  test('F4 options that change hold from the cursor on, whichever of the two cursors is behind', async () => {
    for (const behind of ['rows', 'uploads'] as const) {
      const journal = new MemoryJournal()
      for (let at = 0; at < 20; at++)
        journal.record(text(`${at % 2 === 0 ? 'a' : 'b'}/${at}`)).scalars('a/x', 5, 5)
      const limits = { maxItems: 5 }
      const first = new Stage(journal, { ...UPLOADS, limits, live: true, options: { include: ['a/*'] } })
      let uploads = 0
      if (behind === 'uploads') {
        first.uploader.uploadRule = () => (++uploads > 3 ? { status: 'retry', reason: 'slow' } : undefined)
        await first.play(() => first.saved.at(-1)?.seq === journal.seq && first.savedUploads.length > 0)
      } else {
        let writes = 0
        first.sink.rule = () => (++writes > 2 ? { status: 'retry', reason: 'slow' } : undefined)
        await first.play(() => first.savedUploads.at(-1)?.seq === journal.seq && first.saved.length > 1)
      }
      await first.abandon()
      assert.equal(first.cursor.seq < first.uploadsCursor.seq, behind === 'rows')
      const boundary = Math.max(first.cursor.seq, first.uploadsCursor.seq)
      for (let at = 20; at < 30; at++)
        journal.record(text(`${at % 2 === 0 ? 'a' : 'b'}/${at}`)).scalars('a/x', 5, 5)
      const second = new Stage(journal, {
        ...UPLOADS,
        options: { include: ['b/*'] },
        cursor: first.cursor,
        uploadsCursor: first.uploadsCursor,
      })
      await second.finish()
      assertLaw(second, journal)
      assert.equal(second.closed?.complete, true)
      const expected = journal.entries.flatMap((entry) =>
        entry.kind === 'record' &&
        'name' in entry.record &&
        entry.record.name.startsWith(entry.seq < boundary ? 'a/' : 'b/')
          ? [entry.seq]
          : [],
      )
      const settled = new Set([...first.uploader.uploads, ...second.uploader.uploads].map(({ seq }) => seq))
      assert.deepEqual(
        [...settled].sort((a, b) => a - b),
        expected,
        behind,
      )
      assert.deepEqual(
        second.cursor.routes?.map(({ from }) => from),
        [0, boundary],
      )
    }
  })

  test('F4 what options hold from where is on disk before uploads go by it: a crash in between moves nothing', async () => {
    const journal = new MemoryJournal().record(text('a/0')).record(text('b/1')).scalars('x', 3)
    const first = new Stage(journal, { ...UPLOADS, live: true })
    await first.play(() => first.cursor?.seq === journal.seq && first.uploadsCursor?.seq === journal.seq)
    await first.abandon()
    const boundary = journal.seq
    for (let at = 0; at < 6; at++) journal.record(text(`${at % 2 === 0 ? 'a' : 'b'}/${at}`))
    const options = { ...UPLOADS, options: { include: ['b/*'] } }
    const cursors = { cursor: first.cursor, uploadsCursor: first.uploadsCursor }
    const second = new Stage(journal, { ...options, ...cursors, live: true })
    // rows cannot even be opened, uploads go on and are half through
    second.sink.onOpen = () => ({ status: 'retry', reason: 'busy' })
    second.uploader.uploadRule = ({ seq }) =>
      seq > boundary + 3 ? { status: 'retry', reason: 'busy' } : undefined
    await second.play(() => second.savedUploads.at(-1)?.seq === boundary + 5)
    await second.abandon()
    const third = new Stage(journal, {
      ...options,
      cursor: second.saved.at(-1) ?? first.cursor,
      uploadsCursor: second.uploadsCursor,
    })
    await third.finish()
    assert.deepEqual(
      third.cursor.routes?.map(({ from }) => from),
      [boundary],
    )
    assert.deepEqual(
      [...second.uploader.uploads, ...third.uploader.uploads].map(({ seq }) => seq),
      [1, 3, 5].map((at) => boundary + at),
    )
    assertLaw(third, journal)
    assert.equal(third.closed?.complete, true)
  })

  test('F4 rows that are open when the options change have each point by the options of its time', async () => {
    const journal = new MemoryJournal().frame([
      [0, 0, 'a', 1],
      [0, 0, 'b', 1],
      [1, 1, 'a', 1],
    ])
    const capabilities = { shape: 'rows' } as const
    const first = new Stage(journal, { capabilities, live: true, options: { include: ['a'] } })
    await first.play(() => first.saved.at(-1)?.seq === 3)
    await first.abandon()
    journal.frame(
      [
        [0, 0, 'c', 2],
        [1, 1, 'b', 2],
        [1, 1, 'c', 2],
      ],
      [0, 1],
    )
    const second = new Stage(journal, { capabilities, options: { include: ['b'] }, cursor: first.cursor })
    await second.finish()
    assert.deepEqual(
      second.sink.rows.map((row) => row.map(({ name, value }) => [name, value])),
      [
        [['a', 1]],
        [
          ['a', 1],
          ['b', 2],
        ],
      ],
    )
    assertLaw(second, journal)
  })

  test('F4 where a batch may have to be repeated, options hold from the end of the journal on', async () => {
    const journal = new MemoryJournal().scalars('a', 40, 10)
    const capabilities = { shape: 'points', rewrite: 'offset' } as const
    const first = new Stage(journal, { capabilities, live: true, limits: { maxItems: 10 } })
    let writes = 0
    first.sink.rule = () => (++writes > 1 ? { status: 'retry', reason: 'slow' } : undefined)
    await first.play(() => first.saved.at(-1)?.seq === 10)
    await first.abandon()
    const options = { capabilities, options: { everyN: 5 }, cursor: first.cursor }
    const second = new Stage(journal, options)
    await second.finish()
    assert.equal(second.sink.points.length, 30)
    journal.scalars('a', 40, 10, 40)
    const third = new Stage(journal, { ...options, cursor: second.cursor })
    await third.finish()
    assert.deepEqual(
      third.sink.points.map(({ step }) => step),
      [40, 45, 50, 55, 60, 65, 70, 75],
    )
    assertLaw(third, journal)
  })

  test('options that were changed again before anything went by them are not kept', async () => {
    const journal = new MemoryJournal().scalars('a', 10)
    let cursor: Cursor | undefined
    for (const everyN of [2, 3, 4, 5]) {
      const stage = new Stage(journal, { live: true, options: { everyN }, ...(cursor && { cursor }) })
      await stage.play(() => stage.saved.at(-1)?.seq === 10)
      await stage.abandon()
      cursor = stage.cursor
    }
    assert.deepEqual(cursor?.routes, [
      { from: 0, everyN: 2 },
      { from: 10, everyN: 5 },
    ])
  })

  test('without options nothing is written down of them', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 5), {})
    await stage.finish()
    assert.ok(!('routes' in stage.cursor) && !('thinned' in stage.cursor))
  })

  test('whatever options a run is resumed with, and whatever is killed, everything is counted once', async () => {
    for (let round = 0; round < 40; round++) {
      const random = new Random(SEED + round)
      const journal = new MemoryJournal()
      const grow = () => {
        for (let frame = 0; frame < 5; frame++) {
          const row = journal.seq
          const points = ['a/x', 'b/x', 'c'].map((name) => [row, row, name, random.next()] as const)
          journal.frame(points, random.below(3) === 0 ? [] : [row])
          if (random.below(2) === 0) journal.record(text(random.pick(['a/t', 'b/t'])))
        }
      }
      const shape = random.pick(['points', 'rows'] as const)
      const rewrite = random.pick(['identity', 'offset'] as const)
      let cursor: Cursor | undefined
      let uploadsCursor: Cursor | undefined
      for (let life = 0; ; life++) {
        grow()
        const isLast = life === 6
        const stage = new Stage(journal, {
          capabilities: { ...UPLOADS.capabilities, shape, rewrite },
          limits: { maxItems: 1 + random.below(5) },
          live: true,
          options: random.pick([
            {},
            { include: ['a/*'] },
            { exclude: ['a/*'] },
            { kinds: ['points'] },
            { everyN: 2 },
          ]),
          ...(cursor && { cursor }),
          ...(uploadsCursor && { uploadsCursor }),
        })
        if (isLast) await stage.finish()
        else {
          let turns = random.below(120)
          stage.onRest = (next) => {
            if (next < Infinity) return false
            turns = 0
            return true
          }
          await stage.play(() => turns-- <= 0)
          await stage.abandon()
        }
        cursor = stage.saved.at(-1) ?? cursor
        uploadsCursor = stage.savedUploads.at(-1) ?? uploadsCursor
        if (!isLast) continue
        assert.equal(stage.closed?.complete, true)
        const what = { cursor: cursor!, ...(uploadsCursor && { uploadsCursor }) }
        try {
          assertLaw(what, journal)
        } catch (error) {
          throw new Error(`seed ${SEED}, round ${round}, ${shape}, ${rewrite}`, { cause: error })
        }
        assert.deepEqual(stage.issues, [])
        break
      }
    }
  })
})
