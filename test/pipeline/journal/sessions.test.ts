import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FRAME, segmentName } from '../../../src/pipeline/journal/format.ts'
import { openJournal } from '../../../src/pipeline/journal/reader.ts'
import { JournalWriter } from '../../../src/pipeline/journal/writer.ts'
import { assertHonest, framesOf, readBack, Scribe, sibling, temporaryFolder } from './scribe.ts'

test('J7 each session begins a segment, is told to readers, and goes on with numbers, rows and series', (t) => {
  const folder = temporaryFolder(t)
  const first = new Scribe(folder)
  const rows = [first.writer.takeRow(), first.writer.takeRow()]
  first.points([{ name: 'a', step: 1, value: 1, row: rows[1]! }]).commit()
  // killed: no close
  const second = new Scribe(folder, { nonce: 'second' }, first.items)
  assert.equal(second.writer.takeRow(), 2)
  assert.equal(second.writer.series('a', ''), 0)
  assert.equal(second.writer.series('a', 'b'), 1)
  assert.equal(second.writer.series('ab', ''), 2)
  second.points([{ name: 'ab', step: 2, value: 2 }]).commit()
  second.writer.close()
  const third = new Scribe(folder, { nonce: 'third' }, first.items)
  third.writer.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, second.items), back.corrupt], [[], []])
  assert.deepEqual(back.sessions, [
    { seq: 0, session: 1 },
    { seq: 1, session: 2 },
    { seq: 2, session: 3 },
  ])
  assert.deepEqual(readBack(folder, { fromSeq: 1 }).sessions, back.sessions.slice(1))
  first.writer.close()
})

test('a restarted drain thread finds how far each lane of its process is journaled', (t) => {
  const folder = temporaryFolder(t)
  const first = new Scribe(folder, { segmentBytes: 400 })
  for (let i = 1; i <= 5; i++) {
    first.points([{ name: 'a', step: i, value: i }], { lane: 0, position: i * 10 })
    first.record({ kind: 'tags', tags: {} }, 3, i)
    first.commit()
  }
  first.points([{ name: 'a', step: 9, value: 9 }], { lane: 7, position: 1 }) // never committed
  const second = new Scribe(folder, { session: 'drain' }, first.items)
  assert.deepEqual([...second.writer.lanePositions].sort(), [
    [0, 50],
    [3, 5],
  ])
  assert.deepEqual([second.writer.sessionPoints, second.writer.sessionRecords], [5, 5])
  second.points([{ name: 'a', step: 6, value: 6 }], { lane: 0, position: 60 }).commit()
  const third = new Scribe(folder, { session: 'drain' }, first.items)
  assert.equal(third.writer.lanePositions.get(0), 60)
  assert.equal(third.writer.lanePositions.get(3), 5)
  assert.equal(third.writer.sessionPoints, 6)
  third.writer.close()
  assert.deepEqual(assertHonest(readBack(folder), first.items), [])
  assert.throws(() => first.writer.close())
})

test('lane positions of another process are nobody else’s', (t) => {
  const folder = temporaryFolder(t)
  const first = new Scribe(folder)
  first.points([{ name: 'a', step: 1, value: 1 }], { lane: 0, position: 500 }).commit()
  for (const session of ['drain', 'process'] as const) {
    const next = JournalWriter.open({ folder, runId: 'run', session, nonce: 'other' })
    assert.equal(next.lanePositions.size, 0, session)
    assert.equal(next.sessionPoints, 0)
    assert.equal(next.pointsBefore, 1)
    next.close()
  }
  first.writer.close()
})

test('J6 what a writer that was taken for dead appends late is never read, wherever reading began', (t) => {
  const folder = temporaryFolder(t)
  const stuck = new Scribe(folder)
  stuck.points([{ name: 'a', step: 1, value: 1 }]).commit()
  let published = 1
  const live = openJournal(folder, { live: true, limitSeq: () => published })
  const seen: number[] = []
  const follow = () => {
    for (let entry = live.next(); entry; entry = live.next()) {
      assert.notEqual(entry.kind, 'corrupt')
      if (entry.kind === 'points') seen.push(...entry.points.value)
    }
  }
  follow()
  const items = [...stuck.items]
  const next = new Scribe(folder, { session: 'drain' }, items)
  stuck.points([{ name: 'a', step: 2, value: 666 }], { closed: [666] }).commit() // late, the same numbers
  follow()
  stuck.points([{ name: 'a', step: 3, value: 666 }]).commit()
  next.points([{ name: 'a', step: 2, value: 2 }]).commit()
  published = 2
  follow()
  stuck.points([{ name: 'a', step: 4, value: 666 }]).commit()
  next.points([{ name: 'a', step: 3, value: 3 }]).commit()
  published = 3
  follow()
  assert.deepEqual(seen, [1, 2, 3])
  next.writer.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, items), back.corrupt, back.closed], [[], [], []])
  assert.deepEqual(assertHonest(readBack(folder, { fromSeq: 1 }), items, 1), [])
  live.close()
  stuck.writer.close()
  assert.deepEqual(assertHonest(readBack(folder), items), [])
})

test('a writer that was taken for dead cannot begin a segment', (t) => {
  const folder = temporaryFolder(t)
  const stuck = new Scribe(folder, { segmentBytes: 1 })
  stuck.points([{ name: 'a', step: 1, value: 1 }]).commit()
  const next = new Scribe(folder, { session: 'drain' }, [...stuck.items])
  assert.throws(() => stuck.points([{ name: 'a', step: 2, value: 666 }]).commit(), {
    code: 'ERR_JOURNAL_WRITE',
    message: /another writer/,
  })
  next.points([{ name: 'a', step: 2, value: 2 }]).commit()
  next.writer.close()
  assert.deepEqual(assertHonest(readBack(folder), next.items), [])
  assert.throws(() => stuck.writer.close(), { code: 'ERR_JOURNAL_WRITE' })
})

test('numbers that a destination has settled are not used again after a power cut took them', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  const length = statSync(join(folder, segmentName(1))).size
  scribe
    .points([{ name: 'a', step: 2, value: 2 }])
    .record({ kind: 'tags', tags: {} })
    .commit()
  truncateSync(join(folder, segmentName(1)), length)
  const next = new Scribe(folder, { nonce: 'second', floor: { seq: 3, points: 2 } }, scribe.items)
  assert.deepEqual([next.writer.seq, next.writer.sessionPoints, next.writer.pointsBefore], [3, 0, 2])
  next.points([{ name: 'a', step: 3, value: 3 }]).commit()
  next.writer.close()
  const back = readBack(folder)
  assert.deepEqual(assertHonest(back, next.items), [1, 2])
  assert.deepEqual(back.corrupt, [{ seq: 1, points: 1, records: 1 }])
  assert.deepEqual(assertHonest(readBack(folder, { fromSeq: 3 }), next.items, 3), [])
  scribe.writer.close()
})

test('a segment that died while it was made is passed over', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  const whole = readFileSync(join(folder, segmentName(1)))
  for (const [i, length] of [0, 10, 72, 100].entries()) {
    writeFileSync(join(folder, segmentName(2 + i * 2)), whole.subarray(0, length))
    const back = readBack(folder)
    assert.deepEqual([assertHonest(back, scribe.items), back.corrupt], [[], []])
    const live = openJournal(folder, { live: true, fromSeq: scribe.items.length })
    assert.equal(live.next(), undefined)
    const next = new Scribe(folder, { nonce: `n${i}` }, scribe.items)
    assert.equal(next.writer.segment, 3 + i * 2)
    next.points([{ name: 'b', step: i, value: i }]).commit()
    assert.equal(live.next()?.kind, 'session')
    assert.equal(live.next()?.kind, 'points')
    live.close()
    next.writer.close()
  }
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.corrupt], [[], []])
  scribe.writer.close()
})

test('a series that only the beginning of a segment defined keeps its number after a crash', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder, { segmentBytes: 1 })
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  scribe.points([{ name: 'a', step: 2, value: 2 }])
  scribe.points([{ name: 'b', step: 3, value: 3 }]).commit()
  // the append that began the second segment was cut after its first frame of points, staged before b was known
  const cut = framesOf(folder).find(({ segment, type }) => segment === 2 && type === FRAME.points)!
  assert.equal(cut.nextSeries, 1)
  truncateSync(join(folder, segmentName(2)), cut.to)
  const next = new Scribe(folder, { nonce: 'second' }, scribe.items.slice(0, 2))
  next.points([{ name: 'c', step: 3, value: 3 }]).commit()
  next.writer.close()
  assert.deepEqual(assertHonest(readBack(folder), next.items), [])
})

test('garbage after the last whole frame is sealed off', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  appendFileSync(join(folder, segmentName(1)), Buffer.alloc(4096))
  assert.deepEqual(readBack(folder).corrupt, [])
  const next = new Scribe(folder, { nonce: 'second' }, scribe.items)
  next.points([{ name: 'a', step: 2, value: 2 }]).commit()
  next.writer.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, next.items), back.corrupt], [[], []])
  scribe.writer.close()
})

test('kill -9 between and within appends: what was acknowledged is read, in order, and the next session goes on', (t) => {
  const folder = temporaryFolder(t)
  const child = sibling('killed-writer', import.meta.url)
  let read = 0
  for (let round = 0; round < 6; round++) {
    const { stdout, signal, stderr } = spawnSync(process.execPath, [child, folder, String(3 + round * 17)], {
      encoding: 'utf8',
    })
    assert.equal(signal, 'SIGKILL', stderr)
    const acknowledged = Number(stdout.trim().split('\n').at(-1))
    const back = readBack(folder)
    assert.deepEqual(back.corrupt, [])
    assert.ok(back.end >= acknowledged && acknowledged > read, `${read} < ${acknowledged} <= ${back.end}`)
    for (let seq = 0; seq < back.end; seq++) {
      const item = back.items.get(seq)
      assert.ok(item && 'value' in item && item.value === seq)
    }
    read = back.end
  }
  assert.equal(readBack(folder).sessions.length, 6)
  assert.ok(framesOf(folder).every(({ type }) => type !== FRAME.end))
})
