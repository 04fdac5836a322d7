/** What retention may remove, and what goes on meanwhile: readers, writers, runs that were finished long ago. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Cursor } from '../../src/core/types.ts'
import { emptySums } from '../../src/pipeline/delivery/item.ts'
import { segmentName } from '../../src/pipeline/journal/format.ts'
import { openJournal } from '../../src/pipeline/journal/reader.ts'
import { listSegments } from '../../src/pipeline/journal/segment-file.ts'
import { readTail } from '../../src/pipeline/journal/tail.ts'
import { applyRetention, removeDelivered, WHOLE_RUN } from '../../src/pipeline/retention.ts'
import { closeDeadRun } from '../../src/pipeline/store/close-dead-run.ts'
import { CursorStore } from '../../src/pipeline/store/cursor.ts'
import { type RunDestination, readRunFile, writeRunFile } from '../../src/pipeline/store/run-file.ts'
import { fakeModule } from './delivery/run-folder.ts'
import { syncRun } from './delivery/sync-run.ts'
import { readBack, Scribe, temporaryFolder } from './journal/scribe.ts'

const SEGMENT_BYTES = 300
const MLFLOW = { name: 'mlflow', kind: 'mlflow', options: {}, address: 'a', addedAt: 1, usedAt: 1 }

interface Small {
  readonly folder: string
  readonly scribe: Scribe
  /** Saves the cursor of a destination, and the copy beside it. */
  settle(seq: number, cursor?: Partial<Cursor>, address?: string): void
  grow(segments: number): void
}

function smallRun(t: TestContext, destinations: readonly RunDestination[] = [MLFLOW]): Small {
  const folder = temporaryFolder(t)
  const run = { id: 'run', name: 'run', project: 'p', experiment: 'e', createdAt: 1, nonce: 'n' }
  writeRunFile(folder, {
    tracelet: '0',
    run,
    openedAt: 1,
    state: 'running',
    destinations,
    retention: 'delivered',
  })
  const scribe = new Scribe(folder, { segmentBytes: SEGMENT_BYTES })
  scribe.record({ kind: 'state', state: 'running', time: 1 }).commit()
  const settle: Small['settle'] = (seq, cursor = {}, address = 'a') => {
    const store = new CursorStore(folder, destinations[0]!.name, () => {})
    store.load(address)
    const saved = { seq, back: seq, settled: { ...emptySums(), delivered: seq }, state: undefined, ...cursor }
    for (let copy = 0; copy < 2; copy++) store.save(saved)
  }
  const grow: Small['grow'] = (segments) => {
    const until = scribe.writer.segment + segments
    for (let step = scribe.items.length; scribe.writer.segment < until; step++)
      scribe.points([{ name: 'a', step, value: step }]).commit()
  }
  return { folder, scribe, settle, grow }
}

test('a reader that follows a run goes on where what it read, and what came after that, was removed', (t) => {
  const { folder, scribe, settle, grow } = smallRun(t)
  const live = openJournal(folder, { live: true })
  while (live.next());
  const read = live.seq
  grow(3)
  settle(scribe.items.length)
  assert.ok(removeDelivered(folder, scribe.writer.segment) > 0)
  assert.deepEqual(listSegments(folder), [4])
  const kinds: string[] = []
  for (let entry = live.next(); entry; entry = live.next()) kinds.push(entry.kind)
  assert.equal(live.seq, scribe.items.length)
  // of the segment that it had open it reads the rest
  assert.ok(live.seq > read && kinds.includes('gone'), `${kinds}`)
  grow(1)
  while (live.next());
  assert.equal(live.seq, scribe.items.length)
  live.close()
  scribe.writer.close()
})

test('what is removed between being listed and being opened is no fault of whoever reads or writes', (t) => {
  const { folder, scribe, grow } = smallRun(t)
  grow(3)
  scribe.writer.close()
  for (const number of [1, 2]) {
    const path = join(folder, segmentName(number))
    renameSync(path, `${path}.gone`)
    // listed, and not there
    symlinkSync(`${path}.nowhere`, path)
  }
  const back = readBack(folder)
  assert.equal(back.gone.length, 1)
  assert.equal(back.gone[0]!.points + back.gone[0]!.records + back.items.size, scribe.items.length)
  assert.equal(readTail(folder).points, scribe.items.length - 1)
  const next = new Scribe(folder, { nonce: 'next' }, scribe.items)
  next.points([{ name: 'a', step: 99, value: 99 }]).commit()
  next.writer.close()
  assert.equal(readBack(folder).end, scribe.items.length)
})

test('damage after a gap that retention left is damage', (t) => {
  const { folder, scribe, grow } = smallRun(t)
  grow(5)
  scribe.writer.close()
  for (const number of [1, 2, 4]) renameSync(join(folder, segmentName(number)), join(folder, `${number}`))
  const back = readBack(folder)
  assert.deepEqual([back.gone.length, back.corrupt.length], [1, 1])
  // who begins behind what was removed has seen nothing of that
  const later = readBack(folder, { fromSeq: back.gone[0]!.points + back.gone[0]!.records })
  assert.deepEqual([later.gone.length, later.corrupt.length], [0, 1])
})

test('only segments that are what their name says are removed, up to a beginning that can be believed', (t) => {
  const { folder, scribe, settle, grow } = smallRun(t)
  grow(4)
  scribe.writer.close()
  const firsts = new Map<number, number>()
  for (const number of listSegments(folder)) firsts.set(number, firstSeq(folder, number))
  settle(firsts.get(3)!)
  const [one, five] = [join(folder, segmentName(1)), join(folder, segmentName(5))]
  // the last one was copied to the front by hand
  renameSync(one, `${one}.kept`)
  copyFileSync(five, one)
  assert.equal(removeDelivered(folder, 5), 0)
  renameSync(`${one}.kept`, one)
  assert.ok(removeDelivered(folder, 5) > 0)
  assert.deepEqual(listSegments(folder), [3, 4, 5])
})

test('a run that was finished is not taken for one whose process died when its last word was delivered', (t) => {
  const { folder, scribe, settle, grow } = smallRun(t)
  grow(2)
  scribe.record({ kind: 'state', state: 'finished', time: 5 }).commit()
  // points that came late
  grow(2)
  scribe.writer.close()
  settle(scribe.items.length)
  applyRetention(folder)
  const left = listSegments(folder)
  assert.ok(left[0]! > 1 && left.length < 5, `${left}`)
  assert.equal(closeDeadRun(folder), 'ended')
})

test('a sink whose place only its module knows has begun there when a cursor was saved since', (t) => {
  const usedAt = Date.now()
  const module = fakeModule('offset')
  const { folder, scribe, settle, grow } = smallRun(t, [
    { name: 'offset', kind: 'offset', module, options: {}, address: '', addedAt: 1, usedAt },
  ])
  grow(3)
  scribe.writer.close()
  settle(scribe.items.length, {}, 'the old place')
  const before = new Date(usedAt - 60_000)
  const cursors = join(folder, 'cursors')
  for (const name of readdirSync(cursors)) utimesSync(join(cursors, name), before, before)
  assert.equal(removeDelivered(folder, 4), 0)
  settle(0, {}, 'the new place')
  assert.equal(removeDelivered(folder, 4), 0)
  settle(scribe.items.length, {}, 'the new place')
  assert.ok(removeDelivered(folder, WHOLE_RUN - 1) > 0)
})

test('what the cursors of another run say, whose files were copied here, removes nothing', (t) => {
  const { folder, scribe, settle, grow } = smallRun(t)
  const other = smallRun(t)
  const file = readRunFile(other.folder)
  writeRunFile(other.folder, { ...file, run: { ...file.run, nonce: 'another' } })
  grow(3)
  other.settle(scribe.items.length)
  cpSync(join(other.folder, 'cursors'), join(folder, 'cursors'), { recursive: true })
  assert.equal(removeDelivered(folder, scribe.writer.segment), 0)
  settle(scribe.items.length)
  assert.ok(removeDelivered(folder, scribe.writer.segment) > 0)
  scribe.writer.close()
  other.scribe.writer.close()
})

test('a segment that is full is ended ahead of the next commit, once, and can be removed', (t) => {
  const { folder, scribe, settle } = smallRun(t)
  const points = Array.from({ length: 50 }, (_, step) => ({ name: 'a', step, value: step }))
  scribe.points(points).commit()
  settle(scribe.items.length)
  assert.equal(removeDelivered(folder, scribe.writer.segment), 0)
  for (let i = 0; i < 3; i++) scribe.writer.turnOver()
  assert.equal(scribe.writer.segment, 2)
  assert.ok(removeDelivered(folder, scribe.writer.segment) > 0)
  scribe.points(points).commit()
  scribe.writer.close()
  assert.equal(readBack(folder).end, scribe.items.length)
})

test('a sync leaves what it delivered to nobody', async (t) => {
  const files = temporaryFolder(t)
  const { folder, scribe, grow } = smallRun(t, [
    {
      name: 'append',
      kind: 'append',
      module: fakeModule('append'),
      options: { folder: files },
      address: '',
      addedAt: 1,
      usedAt: 1,
    },
  ])
  grow(5)
  scribe.record({ kind: 'state', state: 'finished', time: 5 }).commit()
  scribe.writer.close()
  const first = await syncRun(folder, { deadlineMs: 60_000, environment: {} })
  assert.ok(first.destinations.append!.complete)
  // what the cursor's copy of before would need may stay until the next
  await syncRun(folder, { deadlineMs: 60_000, environment: {} })
  assert.ok(listSegments(folder)[0]! > 1, `${listSegments(folder)}`)
  const again = await syncRun(folder, { deadlineMs: 60_000, environment: {} })
  const { delivered, rejected, pending } = again.destinations.append!
  assert.deepEqual([delivered, rejected, pending], [again.journaled, 0, 0])
})

test('a run that is to keep everything keeps it', (t) => {
  const { folder, scribe, settle, grow } = smallRun(t)
  grow(3)
  scribe.record({ kind: 'state', state: 'finished', time: 5 }).commit()
  scribe.writer.close()
  settle(scribe.items.length)
  const file = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8'))
  const { format: _, version: __, crc: ___, retention: ____, ...rest } = file
  writeRunFile(folder, rest)
  applyRetention(folder)
  assert.ok(existsSync(join(folder, segmentName(1))))
})

/** As its first header says. */
function firstSeq(folder: string, number: number): number {
  return readFileSync(join(folder, segmentName(number))).readUInt32LE(24)
}
