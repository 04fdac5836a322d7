import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { segmentName } from '../../../src/pipeline/journal/format.ts'
import { openJournal } from '../../../src/pipeline/journal/reader.ts'
import type { JournalSyncId } from '../../../src/pipeline/journal/writer.ts'
import { Descriptors } from '../../../src/pipeline/store/descriptors.ts'
import { Syncer } from '../../../src/pipeline/store/syncer.ts'
import { assertHonest, readBack, Scribe, sibling, temporaryFolder } from './scribe.ts'

const needsDevFull = { skip: existsSync('/dev/full') ? false : 'no /dev/full here' }

test(
  'a disk that takes nothing costs what was staged, which is counted, and nothing after it',
  needsDevFull,
  (t) => {
    const folder = temporaryFolder(t)
    let isFull = false
    const open = new Map<string, number>()
    const close = (path: string) => {
      const fd = open.get(path)
      if (fd !== undefined) closeSync(fd)
      open.delete(path)
    }
    const acquire = (path: string) => {
      const target = isFull ? '/dev/full' : path
      if (!open.has(target)) open.set(target, openSync(target, 'a'))
      return open.get(target)!
    }
    const scribe = new Scribe(folder, { descriptors: { acquire, close } })
    scribe.points([{ name: 'a', step: 1, value: 1 }], { lane: 0, position: 1 }).commit()
    isFull = true
    const stage = () => {
      scribe.points(
        [
          { name: 'b', step: 2, value: 2 },
          { name: 'c', step: 2, value: 2 },
        ],
        { coalesced: 4, lane: 0, position: 3 },
      )
      scribe.record({ kind: 'tags', tags: {} })
      assert.deepEqual([scribe.writer.stagedPoints, scribe.writer.stagedRecords], [2, 1])
    }
    for (let i = 0; i < 3; i++) {
      stage()
      // the disk is asked once, and then left alone for a while
      assert.throws(() => scribe.writer.commit(1000 + i), { code: 'ERR_JOURNAL_WRITE', message: /ENOSPC/ })
      scribe.staged = []
      assert.deepEqual([scribe.writer.stagedPoints, scribe.writer.stagedBytes, scribe.writer.seq], [0, 0, 1])
      assert.equal(scribe.writer.lanePositions.get(0), 1)
    }
    isFull = false
    scribe.points([{ name: 'b', step: 3, value: 3 }]).commit()
    scribe.writer.close()
    const back = readBack(folder)
    assert.deepEqual([assertHonest(back, scribe.items), back.corrupt], [[], []])
    assert.deepEqual(back.carried, { coalesced: 12, lost: 6, lostRecords: 3 })
    assert.equal(scribe.items.length, 2)
    close('/dev/full')
  },
)

test('an append that left nothing behind does not end the segment, and its series are defined later', (t) => {
  const folder = temporaryFolder(t)
  const open = new Map<string, number>()
  let mode = 'a'
  const acquire = (path: string) => {
    const key = `${mode} ${path}`
    if (!open.has(key)) open.set(key, openSync(path, mode))
    return open.get(key)!
  }
  const scribe = new Scribe(folder, { descriptors: { acquire, close: () => {} } })
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  mode = 'r'
  scribe.points([{ name: 'b', step: 2, value: 2 }])
  assert.throws(() => scribe.commit(), { code: 'ERR_JOURNAL_WRITE' })
  mode = 'a'
  scribe.points([{ name: 'b', step: 3, value: 3 }]).commit()
  scribe.writer.close()
  assert.equal(scribe.writer.segment, 1)
  assert.deepEqual(assertHonest(readBack(folder), scribe.items), [])
  for (const fd of open.values()) closeSync(fd)
})

test('a file that may not grow: partial appends are sealed off and writing goes on when it can', (t) => {
  const folder = temporaryFolder(t)
  const child = sibling('limited-writer', import.meta.url)
  const script = `ulimit -f 8 && exec "${process.execPath}" "${child}" "${folder}"`
  const { stdout, stderr, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  const { failures, lost, committed } = JSON.parse(stdout) as Record<string, number>
  assert.ok(failures! > 0, 'the limit was met')
  const back = readBack(folder)
  assert.deepEqual(back.corrupt, [])
  assert.equal(back.end, committed)
  assert.equal(back.carried.lost, lost)
  assert.ok(readdirSync(folder).length > 1, 'a new segment after a torn one')
  const values = [...back.items.values()].map((item) => ('value' in item ? item.value : Number.NaN))
  assert.ok(values.every((value, i) => i === 0 || value > values[i - 1]!))
})

test('after a failed sync everything since the last good one is written again, and is met once', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  const live = openJournal(folder, { live: true, limitSeq: () => scribe.writer.seq })
  const seen: number[] = []
  const follow = () => {
    for (let entry = live.next(); entry; entry = live.next()) {
      assert.notEqual(entry.kind, 'corrupt')
      if (entry.kind === 'points') seen.push(...entry.points.value)
    }
  }
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  const syncedBytes = scribe.writer.committedBytes
  const id: JournalSyncId = { writer: scribe.writer, segment: scribe.writer.segment }
  scribe.writer.handleSync({ id, syncedBytes, failure: '' })
  scribe
    .points([{ name: 'b', step: 2, value: 2 }])
    .record({ kind: 'tags', tags: {} })
    .commit()
  scribe.points([{ name: 'a', step: 3, value: 3 }]).commit()
  follow()
  scribe.points([{ name: 'c', step: 4, value: 4 }]) // staged meanwhile
  scribe.writer.handleSync({ id, syncedBytes: scribe.writer.committedBytes, failure: 'EIO' })
  assert.equal(scribe.writer.segment, 2)
  scribe.writer.handleSync({ id, syncedBytes: 1, failure: 'EIO' }) // of the segment before: nothing to do
  assert.equal(scribe.writer.segment, 2)
  scribe.commit()
  follow()
  assert.deepEqual(seen, [1, 2, 3, 4])
  live.close()
  // nothing of the new segment was synced either
  scribe.writer.handleSync({ id: { ...id, segment: 2 }, syncedBytes: 1, failure: 'EIO' })
  assert.equal(scribe.writer.segment, 3)
  scribe.points([{ name: 'd', step: 5, value: 5 }]).commit()
  scribe.writer.close()
  truncateSync(join(folder, segmentName(1)), syncedBytes)
  truncateSync(join(folder, segmentName(2)), 0)
  for (let fromSeq = 0; fromSeq < scribe.items.length; fromSeq++) {
    const back = readBack(folder, { fromSeq })
    assert.deepEqual([assertHonest(back, scribe.items, fromSeq), back.corrupt], [[], []])
  }
})

test('a sync that fails after the writer was closed is made good too', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  const id: JournalSyncId = { writer: scribe.writer, segment: 1 }
  scribe.writer.close()
  scribe.writer.handleSync({ id, syncedBytes: scribe.writer.committedBytes, failure: 'EIO' })
  truncateSync(join(folder, segmentName(1)), 0)
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.corrupt], [[], []])
  assert.deepEqual(readdirSync(folder), [segmentName(1), segmentName(2)])
})

test('with the sync thread: appends are synced, segments and evicted descriptors closed after their sync', async (t) => {
  const syncer = new Syncer<JournalSyncId>({ intervalMs: 5 })
  const descriptors = new Descriptors(syncer, 2)
  const scribes = [0, 1, 2, 3].map(
    (i) => new Scribe(temporaryFolder(t), { runId: `run${i}`, segmentBytes: 2000, syncer, descriptors }),
  )
  for (let round = 0; round < 50; round++) {
    for (const scribe of scribes) scribe.points([{ name: 'a', step: round, value: round }]).commit()
    for (const report of syncer.poll()) {
      assert.equal(report.failure, '')
      report.id.writer.handleSync(report)
    }
  }
  for (const scribe of scribes) scribe.writer.close()
  const reports = syncer.drain(5000)
  assert.ok(reports.length > 0 && reports.every(({ failure }) => failure === ''))
  assert.equal(syncer.isBusy, false)
  syncer.stop()
  for (const scribe of scribes) {
    assert.deepEqual(assertHonest(readBack(scribe.folder), scribe.items), [])
    assert.ok(readdirSync(scribe.folder).length > 2)
  }
})

test('a folder that cannot be written is said at open', (t) => {
  const missing = join(temporaryFolder(t), 'missing')
  assert.throws(() => new Scribe(missing), { code: 'ERR_JOURNAL_WRITE' })
})

test('what is no record is refused before it is staged', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  assert.throws(() => scribe.writer.stageRecord(new Uint8Array(40)), TypeError)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  scribe.writer.close()
  assert.deepEqual(assertHonest(readBack(scribe.folder), scribe.items), [])
  assert.ok(readFileSync(join(scribe.folder, segmentName(1))).length > 0)
})
