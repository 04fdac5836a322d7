/** Disks that refuse, forget and lose files: what a reader finds is what was counted as journaled. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { segmentName } from '../../../src/pipeline/journal/format.ts'
import { openJournal } from '../../../src/pipeline/journal/reader.ts'
import { createWhole } from '../../../src/pipeline/journal/segment-start.ts'
import type { JournalSyncId } from '../../../src/pipeline/journal/writer.ts'
import { assertHonest, framesOf, readBack, Scribe, sibling, temporaryFolder } from './scribe.ts'

/** Takes what it is told and syncs nothing: the test is the sync thread. */
const NEVER_SYNCED = { dirty: () => {}, dirtyFolder: () => {}, closeAfterSync: closeSync }

const point = (step: number) => [{ name: 'a', step, value: step }]

test('K1 K2 what a file that may not grow took of a failed append is cut off, whether or not the disk recovers', (t) => {
  const child = sibling('limited-writer', import.meta.url)
  for (const end of ['recovers', 'stays full']) {
    const folder = temporaryFolder(t)
    const script = `ulimit -f 8 && exec "${process.execPath}" "${child}" "${folder}" "${end}"`
    const { stdout, stderr, status } = spawnSync('bash', ['-c', script], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    const { failures, committed } = JSON.parse(stdout) as Record<string, number>
    assert.ok(failures! > 0, 'the limit was met')
    const back = readBack(folder)
    assert.deepEqual(back.corrupt, [])
    assert.equal(back.end, committed, 'nothing is read that was counted as lost')
    const withPoints = new Set(framesOf(folder).flatMap(({ segment, count }) => (count > 0 ? [segment] : [])))
    const without = readdirSync(folder).length - withPoints.size
    assert.ok(without === 0 || (without === 1 && end === 'recovers'), 'only an end may stand alone')
  }
})

test('K2 a disk on which nothing can be made is not filled with beginnings', (t) => {
  const folder = temporaryFolder(t)
  const open = new Map<string, number>()
  let isReadOnly = false
  const acquire = (path: string) => {
    const key = `${isReadOnly} ${path}`
    if (!open.has(key)) open.set(key, openSync(path, isReadOnly ? 'r' : 'a'))
    return open.get(key)!
  }
  const scribe = new Scribe(folder, { descriptors: { acquire, close: () => {} } })
  scribe.points(point(1)).commit()
  isReadOnly = true
  for (let i = 0; i < 5; i++) {
    scribe.points(point(2))
    assert.throws(() => scribe.commit(), { code: 'ERR_JOURNAL_WRITE' })
    scribe.staged = []
  }
  assert.deepEqual(readdirSync(folder), [segmentName(1)])
  isReadOnly = false
  scribe.points(point(3)).commit()
  scribe.writer.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.carried.lost], [[], 5])
  for (const fd of open.values()) closeSync(fd)
})

test('after a failure the disk is left alone for a while, unless something must be tried', (t) => {
  const folder = temporaryFolder(t)
  let asked = 0
  const acquire = (): number => {
    asked++
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })
  }
  let fd = 0
  const descriptors = { acquire: (path: string) => (fd ||= openSync(path, 'a')), close: () => {} }
  const scribe = new Scribe(folder, { descriptors })
  const working = descriptors.acquire
  descriptors.acquire = acquire
  for (let now = 0; now < 10_000; now += 10) {
    scribe.points(point(now))
    assert.throws(() => scribe.writer.commit(now), { code: 'ERR_JOURNAL_WRITE', message: /EMFILE/ })
  }
  assert.ok(asked >= 8 && asked <= 25, `asked ${asked} times in 10 s`)
  scribe.staged = []
  descriptors.acquire = working
  scribe.points(point(1)).commit()
  scribe.writer.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.carried.lost], [[], 1000])
  closeSync(fd)
})

test('K3 a sync that fails for a segment that was ended writes it again, with all after it', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder, { segmentBytes: 300, syncer: NEVER_SYNCED })
  const live = openJournal(folder, { live: true, limitSeq: () => scribe.writer.seq })
  const seen: number[] = []
  const follow = () => {
    for (let entry = live.next(); entry; entry = live.next()) {
      assert.ok(entry.kind === 'points' || entry.kind === 'session')
      if (entry.kind === 'points') seen.push(...entry.points.value)
    }
  }
  const id = (segment: number): JournalSyncId => ({ writer: scribe.writer, segment })
  let step = 0
  const until = (segment: number) => {
    while (scribe.writer.segment < segment) scribe.points(point(step++)).commit()
  }
  until(2)
  const safeBytes = statSync(join(folder, segmentName(1))).size
  scribe.writer.handleSync({ id: id(1), syncedBytes: safeBytes, failure: '' })
  assert.equal(scribe.writer.isUnsafe, false)
  const committed = scribe.writer.committedBytes
  scribe.writer.handleSync({ id: id(2), syncedBytes: committed, failure: '' })
  until(4)
  follow()
  assert.equal(scribe.writer.isUnsafe, true)
  const safeOfThird = framesOf(folder).find(({ segment, count }) => segment === 3 && count > 0)!.to
  scribe.writer.handleSync({ id: id(3), syncedBytes: safeOfThird, failure: '' })
  scribe.writer.handleSync({ id: id(2), syncedBytes: safeBytes, failure: 'EIO' })
  assert.equal(scribe.writer.segment, 5)
  assert.equal(scribe.writer.isUnsafe, false)
  scribe.writer.handleSync({ id: id(3), syncedBytes: 1, failure: 'EIO' }) // written again with the one before
  assert.equal(scribe.writer.segment, 5)
  scribe.points(point(step++)).commit()
  follow()
  assert.deepEqual(
    seen,
    Array.from({ length: step }, (_, i) => i),
  )
  live.close()
  scribe.writer.close()
  // what a power cut may leave of them
  truncateSync(join(folder, segmentName(2)), committed)
  truncateSync(join(folder, segmentName(3)), safeOfThird)
  truncateSync(join(folder, segmentName(4)), 100)
  for (let fromSeq = 0; fromSeq < scribe.items.length; fromSeq++) {
    const back = readBack(folder, { fromSeq })
    assert.deepEqual([assertHonest(back, scribe.items, fromSeq), back.corrupt], [[], []])
  }
})

test('K3 what cannot be written again at once is before anything else is', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder, { syncer: NEVER_SYNCED })
  scribe.points(point(1)).commit()
  const id: JournalSyncId = { writer: scribe.writer, segment: 1 }
  const away = `${folder}-away`
  mkdirSync(join(folder, segmentName(2)))
  const failing = { id, syncedBytes: scribe.writer.committedBytes, failure: 'EIO' }
  assert.throws(() => scribe.writer.handleSync(failing), { code: 'ERR_JOURNAL_WRITE' })
  assert.equal(scribe.writer.isUnsafe, true)
  scribe.points(point(2))
  assert.throws(() => scribe.commit(), { code: 'ERR_JOURNAL_WRITE' })
  scribe.staged = []
  rmSync(join(folder, segmentName(2)), { recursive: true })
  scribe.points(point(3)).commit()
  assert.deepEqual([scribe.writer.isUnsafe, scribe.writer.segment, existsSync(away)], [false, 2, false])
  scribe.writer.close()
  truncateSync(join(folder, segmentName(1)), 0)
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.corrupt, back.carried.lost], [[], [], 1])
})

test('K3 a file system that can sync nothing is not filled with copies', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder, { segmentBytes: 2000, syncer: NEVER_SYNCED })
  for (let step = 0; step < 200; step++) {
    scribe.points(point(step)).commit()
    const id: JournalSyncId = { writer: scribe.writer, segment: scribe.writer.segment }
    scribe.writer.handleSync({ id, syncedBytes: scribe.writer.committedBytes, failure: 'EINVAL' })
  }
  assert.ok(scribe.writer.segment <= 5, `${scribe.writer.segment} segments`)
  assert.equal(scribe.writer.isUnsafe, true)
  scribe.writer.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.corrupt], [[], []])
})

test('K3 a process that is killed while it writes again leaves what it had journaled', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder, { syncer: NEVER_SYNCED })
  for (let step = 0; step < 20; step++) scribe.points(point(step)).commit()
  const saved = readdirSync(folder)
  const before = saved.map((name) => readFileSync(join(folder, name)))
  const id: JournalSyncId = { writer: scribe.writer, segment: 1 }
  scribe.writer.handleSync({ id, syncedBytes: scribe.writer.committedBytes, failure: 'EIO' })
  assert.deepEqual(readdirSync(folder), [segmentName(1), segmentName(2)])
  scribe.writer.close()
  // as far as it may have got: a file that is not whole has no segment's name
  const whole = readFileSync(join(folder, segmentName(2)))
  const cut = temporaryFolder(t)
  writeFileSync(join(cut, segmentName(1)), before[0]!)
  const beside = `${segmentName(2)}.0a1b.tmp`
  writeFileSync(join(cut, beside), whole.subarray(0, whole.length / 2))
  const back = readBack(cut)
  assert.deepEqual([assertHonest(back, scribe.items), back.corrupt], [[], []])
  const next = new Scribe(cut, { nonce: 'next' }, scribe.items)
  assert.ok(!existsSync(join(cut, beside)))
  next.points(point(20)).commit()
  next.writer.close()
  assert.deepEqual(assertHonest(readBack(cut), next.items), [])
})

test('K3 a new segment has its name only when all is in it that it takes the place of', (t) => {
  const folder = temporaryFolder(t)
  const seen: string[][] = []
  const parts = function* () {
    yield Buffer.from('one')
    seen.push(readdirSync(folder))
    yield Buffer.from('two')
  }
  const path = join(folder, segmentName(1))
  const { fd, bytes } = createWhole(path, parts())
  writeSync(fd, 'three')
  closeSync(fd)
  assert.deepEqual([bytes, readFileSync(path, 'utf8')], [6, 'onetwothree'])
  assert.ok(
    seen[0]!.every((name) => name.endsWith('.tmp')),
    `${seen}`,
  )
  assert.deepEqual(readdirSync(folder), [segmentName(1)])
  // of two writers only one gets it
  assert.throws(() => createWhole(path, [Buffer.from('other')]), { code: 'EEXIST' })
  assert.deepEqual(readdirSync(folder), [segmentName(1)])
})

test('K2 a segment whose descriptor is lost as soon as it is made holds what was counted', (t) => {
  const folder = temporaryFolder(t)
  const open: number[] = []
  let isOut = false
  const acquire = (path: string) => {
    if (isOut) throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })
    const fd = openSync(path, 'a')
    open.push(fd)
    return fd
  }
  const scribe = new Scribe(folder, {
    segmentBytes: 1,
    syncer: NEVER_SYNCED,
    descriptors: { acquire, close: () => {} },
  })
  scribe.points(point(1)).commit()
  isOut = true
  scribe.points(point(2)).commit()
  isOut = false
  scribe.points(point(3)).commit()
  scribe.writer.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.corrupt, back.carried.lost], [[], [], 0])
  for (const fd of open) closeSync(fd)
})

test('K4 a folder that is deleted under the writer is made again with what the descriptor still holds', (t) => {
  const folder = temporaryFolder(t)
  let made = 0
  const onMissingFolder = () => {
    made++
    mkdirSync(folder, { recursive: true })
  }
  const scribe = new Scribe(folder, { onMissingFolder })
  const live = openJournal(folder, { live: true, limitSeq: () => scribe.writer.seq })
  const seen: number[] = []
  const follow = () => {
    for (let entry = live.next(); entry; entry = live.next())
      if (entry.kind === 'points') seen.push(...entry.points.value)
  }
  scribe.points(point(1)).commit()
  assert.equal(scribe.writer.putBack(), false)
  follow()
  rmSync(folder, { recursive: true })
  scribe.points(point(2)).commit()
  assert.equal(scribe.writer.putBack(), true)
  assert.deepEqual([made, scribe.writer.putBack()], [1, false])
  scribe.points(point(3)).commit()
  follow()
  assert.deepEqual(seen, [1, 2, 3])
  live.close()
  const back = readBack(folder)
  assert.deepEqual([assertHonest(back, scribe.items), back.corrupt, back.gone], [[], [], []])
  scribe.writer.close()
})

test('K4 a segment that cannot be begun for want of its folder is, once the folder is there', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder, {
    segmentBytes: 1,
    onMissingFolder: () => mkdirSync(folder, { recursive: true }),
  })
  scribe.points(point(1)).commit()
  rmSync(folder, { recursive: true })
  scribe.points(point(2)).commit()
  scribe.writer.close()
  const back = readBack(folder)
  assert.deepEqual(back.gone, [{ seq: 0, points: 1, records: 0 }])
  assert.deepEqual(assertHonest(back, scribe.items), [0])
})
