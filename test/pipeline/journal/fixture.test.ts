import assert from 'node:assert/strict'
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { JournalWriter } from '../../../src/pipeline/journal/writer.ts'
import { CARRIED, CLOSED, ITEMS, LANES, NONCE, SESSIONS } from './fixture-v1.ts'
import { assertHonest, readBack, root, temporaryFolder } from './scribe.ts'

const v1 = join(root, 'test/pipeline/journal/fixtures/v1')

test('a journal of format version 1 is read value by value, from every sequence number', () => {
  assert.equal(readdirSync(v1).length, 4)
  const back = readBack(v1)
  assert.deepEqual([assertHonest(back, ITEMS), back.corrupt], [[], []])
  assert.deepEqual(back.sessions, SESSIONS)
  assert.deepEqual(back.closed, CLOSED)
  assert.deepEqual(back.carried, CARRIED)
  for (let fromSeq = 1; fromSeq <= ITEMS.length; fromSeq++) {
    assert.deepEqual(assertHonest(readBack(v1, { fromSeq }), ITEMS, fromSeq), [])
  }
})

test('a journal of format version 1 is continued', (t) => {
  const folder = temporaryFolder(t)
  cpSync(v1, folder, { recursive: true })
  const runId = '20261123-101502-x7k2mq'
  const writer = JournalWriter.open({ folder, runId, session: 'drain', nonce: NONCE })
  assert.deepEqual([writer.seq, writer.session, writer.takeRow()], [ITEMS.length, 4, 5])
  assert.deepEqual([...writer.lanePositions].sort(), LANES)
  assert.deepEqual([writer.pointsBefore, writer.recordsBefore], [5, 3])
  assert.deepEqual([writer.sessionPoints, writer.sessionRecords], [3, 2])
  assert.deepEqual(
    [writer.series('train/loss', ''), writer.series('late/series', 'rank 1'), writer.series('more', '')],
    [0, 4, 5],
  )
  writer.close()
})
