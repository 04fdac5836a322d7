import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DestinationStats, RunRecord, WriteResult } from '../../../src/core/types.ts'
import { destinationStats } from '../../../src/pipeline/destination-stats.ts'
import { Random, SEED } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage, type StageOptions } from './stage.ts'

const LR: RunRecord = { kind: 'params', params: { lr: 0.1 } }
const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: 1_700_000_000_000 }
/** A kind that rows name and uploads settle, and one that only uploads take. */
const CAPABILITIES = { uploads: ['text', 'artifact'], mentions: ['text'] } as const

const text = (name: string): RunRecord => ({ kind: 'text', name, step: 0, time: 1, text: 'hello' })
const artifact = (name: string): RunRecord => ({
  ...{ kind: 'artifact', name, type: 'dataset', time: 1, files: [], bytes: 0 },
})

function stageOf(journal: MemoryJournal, options: StageOptions = {}): Stage {
  return new Stage(journal, { ...options, capabilities: { ...CAPABILITIES, ...options.capabilities } })
}

/** What arrived, in its order: names of records, and `points` for each batch. */
function listen(stage: Stage): string[] {
  const heard: string[] = []
  stage.sink.rule = (item) => {
    if (!('kind' in item)) heard.push('points')
    else heard.push('name' in item ? item.name : item.kind)
    return undefined
  }
  return heard
}

const uploaded = (stage: Stage): number[] => stage.uploader.uploads.map(({ seq }) => seq)

function assertConserved(stage: Stage, points: number, records: number): DestinationStats['records'] {
  const stats = destinationStats(stage.counters, 0, undefined)
  assert.equal(stats.delivered + stats.filtered + stats.rejected + stats.corrupt, points)
  const of = stats.records
  assert.equal(of.delivered + of.filtered + of.rejected + of.corrupt, records)
  assert.equal(of.pending, 0)
  assert.ok(stage.issues.every(({ code }) => code !== 'ERR_LAW'))
  return of
}

describe('records that rows name', () => {
  for (const shape of ['rows', 'points'] as const) {
    test(`${shape}: they come in the order of the journal, alone, and their uploads count them`, async () => {
      const journal = new MemoryJournal()
        .record(LR)
        .scalars('loss', 30)
        .session()
        .record(text('a'))
        .scalars('loss', 30, 100, 30)
        .session()
        .record(artifact('not named'))
        .record(text('b'))
        .record(text('c'))
        .record(FINISHED)
      const stage = stageOf(journal, { capabilities: { shape } })
      const heard = listen(stage)
      await stage.finish()
      assert.equal(stage.closed?.complete, true)
      assert.deepEqual(heard, ['params', 'points', 'a', 'points', 'b', 'c', 'state'])
      assert.deepEqual(uploaded(stage), [31, 62, 63, 64])
      assert.equal(stage.sink.mostUnderWay, 1)
      assert.equal(assertConserved(stage, 60, 6).delivered, 6)
      assert.equal(stage.cursor.settled.elsewhere, 4)
      assert.equal(stage.cursor.settled.recordsDelivered, 2)
    })
  }

  const refusals: Record<string, () => WriteResult> = {
    wholly: () => ({ status: 'split', code: 'ERR_REFUSED', reason: 'no such name' }),
    'in part': () => ({
      status: 'partial',
      rejected: [{ index: 0, code: 'ERR_REFUSED', reason: 'no such name' }],
    }),
    'by a bug': () => {
      throw new Error('no such name')
    },
  }
  for (const [how, refuse] of Object.entries(refusals)) {
    for (const isUploadTaken of [true, false]) {
      test(`refused ${how}: a letter of its own, and ${isUploadTaken ? 'delivered' : 'rejected'} once, by its upload`, async () => {
        const journal = new MemoryJournal().scalars('loss', 5).record(text('a')).record(text('b'))
        const stage = stageOf(journal.scalars('loss', 5, 100, 5).record(FINISHED))
        stage.sink.rule = (item) =>
          'kind' in item && item.kind === 'text' && item.name === 'a' ? refuse() : undefined
        stage.uploader.uploadRule = ({ seq }) =>
          seq === 5 && !isUploadTaken
            ? { status: 'split', code: 'ERR_REFUSED', reason: 'too ugly' }
            : undefined
        await stage.finish()
        assert.equal(stage.closed?.complete, true)
        const { delivered, rejected } = assertConserved(stage, 10, 3)
        assert.deepEqual([delivered, rejected], isUploadTaken ? [3, 0] : [2, 1])
        const letters = stage.letters.map((letter) => [
          letter.seq,
          'mention' in letter && letter.mention === true,
        ])
        assert.deepEqual(
          letters.sort(([, a], [, b]) => Number(b) - Number(a)),
          isUploadTaken
            ? [[5, true]]
            : [
                [5, true],
                [5, false],
              ],
        )
        assert.match(stage.letters.find((letter) => 'mention' in letter)!.reason, /no such name/)
        assert.deepEqual(stage.sink.records.at(-1), FINISHED)
      })
    }
  }

  test('what is not for the destination is not named, and is counted as filtered', async () => {
    const journal = new MemoryJournal().record(text('a')).record(text('out')).record(artifact('x'))
    const stage = stageOf(journal.record(text('b')).record(FINISHED), { options: { exclude: ['out'] } })
    const heard = listen(stage)
    await stage.finish()
    assert.deepEqual(heard, ['a', 'b', 'state'])
    assert.deepEqual(uploaded(stage), [0, 2, 3])
    assert.equal(assertConserved(stage, 0, 5).filtered, 1)

    const none = stageOf(journal, { options: { excludeKinds: ['text'] } })
    const heardThere = listen(none)
    await none.finish()
    assert.deepEqual(heardThere, ['state'])
    assert.deepEqual(uploaded(none), [2])
    assert.equal(assertConserved(none, 0, 5).filtered, 3)
  })

  test('options that change while there is a backlog hold for names and uploads alike', async () => {
    const journal = new MemoryJournal().record(text('a')).record(text('a'))
    const first = stageOf(journal, { options: { exclude: ['a'] } })
    await first.finish()
    journal.record(text('a')).record(text('a'))
    const cursors = { cursor: first.cursor }
    const second = stageOf(journal, { ...cursors, options: {} })
    const heard = listen(second)
    await second.finish()
    assert.deepEqual(
      [heard, uploaded(second)],
      [
        ['a', 'a'],
        [2, 3],
      ],
    )
    assertConserved(second, 0, 4)
  })

  test('what rows settled before the sink had uploads of that kind, or before rows named it, is not named later', async () => {
    const journal = new MemoryJournal().record(text('taken as a record'))
    const first = new Stage(journal, { capabilities: { records: ['text'] } })
    await first.finish()
    assert.equal(first.cursor.settled.recordsDelivered, 1)
    journal.record(text('only uploaded'))
    const second = stageOf(journal, { cursor: first.cursor, capabilities: { mentions: [] } })
    // it comes while rows name it
    second.uploader.uploadRule = () => ({ status: 'retry', reason: 'not yet' })
    await second.finish()
    assert.deepEqual(second.sink.records, [])
    journal.record(text('named, too'))
    const third = stageOf(journal, { cursor: second.cursor, uploadsCursor: second.uploadsCursor })
    await third.finish()
    assert.equal(third.closed?.complete, true)
    assert.deepEqual(third.sink.records, [text('named, too')])
    assert.deepEqual(uploaded(third), [1, 2])
    assertConserved(third, 0, 3)
    // and a sink that has no uploads any more counts none of them again
    const fourth = new Stage(journal.record(FINISHED), {
      cursor: third.cursor,
      uploadsCursor: third.uploadsCursor,
    })
    await fourth.finish()
    assert.deepEqual(fourth.sink.records, [FINISHED])
  })

  test('rows that are stuck at a name do not hold up its upload, and it counts once all the same', async () => {
    const journal = new MemoryJournal().record(text('a')).record(text('b'))
    const stage = stageOf(journal, { live: true })
    let isOpen = false
    stage.sink.rule = (item) =>
      'kind' in item && !isOpen ? { status: 'retry', reason: 'the door is shut' } : undefined
    await stage.play(() => stage.uploader.uploads.length === 2)
    assert.deepEqual(stage.sink.records, [])
    const { records } = destinationStats(stage.counters, 0, undefined)
    assert.deepEqual([records.delivered, records.pending], [2, 0])
    isOpen = true
    await stage.finish(600_000)
    assert.equal(stage.closed?.complete, true)
    assert.deepEqual(stage.sink.records, [text('a'), text('b')])
    assertConserved(stage, 0, 2)
  })

  test('what rows have named and nobody could upload since it was damaged counts as damaged', async () => {
    const journal = new MemoryJournal().record(text('a')).record(text('b')).scalars('loss', 5)
    const first = stageOf(journal)
    first.uploader.uploadRule = () => ({ status: 'retry', reason: 'not yet' })
    await first.finish()
    assert.equal(first.cursor.settled.elsewhere, 2)
    const damaged = new MemoryJournal().corrupt(0, 1).record(text('b')).scalars('loss', 5)
    const second = stageOf(damaged, { cursor: first.cursor, uploadsCursor: first.uploadsCursor })
    await second.finish()
    assert.equal(second.closed?.complete, true)
    const { delivered, corrupt } = assertConserved(second, 5, 2)
    assert.deepEqual([delivered, corrupt], [1, 1])
  })

  for (const shape of ['rows', 'points'] as const) {
    test(`${shape}: whatever is killed, refused or tried again, each counts once (seed ${SEED})`, async () => {
      for (let round = 0; round < 40; round++) {
        const random = new Random(SEED + round)
        const where = `seed ${SEED}, round ${round}`
        const journal = new MemoryJournal()
        const named: string[] = []
        for (let at = 0; at < 25; at++) {
          const name = `${random.below(4)}-${at}`
          const kind = random.below(4)
          if (kind === 0) named.push(name)
          if (kind < 2) journal.record(kind === 0 ? text(name) : artifact(name))
          else journal.frame([[at, at, 'loss', at]], random.below(2) === 0 ? [at] : [])
        }
        const points = journal.seq - journal.records
        const heard: string[] = []
        let cursors: Pick<StageOptions, 'cursor' | 'uploadsCursor'> = {}
        for (let lives = 0; ; lives++) {
          const stage = stageOf(journal, { ...cursors, capabilities: { shape }, limits: { maxItems: 3 } })
          const refuseSome = (name: string): WriteResult | undefined => {
            if (random.below(5) === 0) return { status: 'retry', reason: 'not now' }
            if (name.startsWith('0')) return { status: 'split', code: 'ERR_REFUSED', reason: 'a bad name' }
            return undefined
          }
          stage.sink.rule = (item) => {
            if (!('kind' in item)) return undefined
            const answer = refuseSome((item as { name: string }).name)
            if (answer?.status !== 'retry') heard.push((item as { name: string }).name)
            return answer
          }
          stage.uploader.uploadRule = ({ record }) => refuseSome((record as { name: string }).name)
          let turns = random.below(25)
          stage.end(1e9)
          await stage.play(() => {
            stage.now += 20
            return (turns-- <= 0 && lives < 20) || stage.closed !== undefined
          })
          if (stage.closed !== undefined) {
            assert.equal(stage.closed.complete, true, where)
            assertConserved(stage, points, journal.records)
            break
          }
          await stage.abandon()
          const [cursor, uploadsCursor] = [stage.saved.at(-1), stage.savedUploads.at(-1)]
          cursors = {
            ...cursors,
            ...(cursor && { cursor }),
            ...(uploadsCursor && { uploadsCursor }),
          }
        }
        // again after a kill, never another one before it is through
        assert.deepEqual([...new Set(heard)], named, where)
      }
    })
  }
})
