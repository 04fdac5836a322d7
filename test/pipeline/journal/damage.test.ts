import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { FRAME, FRAME_HEADER_BYTES, segmentName, writeHeader } from '../../../src/pipeline/journal/format.ts'
import { openJournal } from '../../../src/pipeline/journal/reader.ts'
import { listSegments } from '../../../src/pipeline/journal/segment-file.ts'
import { JournalWriter } from '../../../src/pipeline/journal/writer.ts'
import { Random, SEED } from '../../random.ts'
import { assertHonest, type Frame, framesOf, type Item, readBack, Scribe, temporaryFolder } from './scribe.ts'

/** Two sessions and a rotation in few bytes: every kind of frame. */
function smallJournal(folder: string): Item[] {
  const first = new Scribe(folder, { segmentBytes: 900 })
  first.record({ kind: 'params', params: { lr: 0.1, opt: 'adam' } })
  first.points(
    [
      { name: 'loss', step: 1, value: 0.5, row: 0 },
      { name: 'acc', context: 'val', step: 1, value: 0.25, row: 0 },
    ],
    { closed: [0], lane: 0, position: 2 },
  )
  first.commit()
  first.points([{ name: 'loss', step: 2, value: -0 }]).commit()
  first.record({ kind: 'tags', tags: { ü: '🚂' } }).points([{ name: 'späť', step: 3, value: 3 }])
  first.commit()
  first
    .points([{ name: 'loss', step: 4, value: 4 }])
    .commit()
    .writer.close()
  const second = new Scribe(folder, { nonce: 'second' }, first.items)
  second.points([
    { name: 'acc', context: 'val', step: 5, value: Number.NaN },
    { name: 'only here', step: 5, value: 7 },
  ])
  second.commit()
  second.record({ kind: 'state', state: 'finished', time: 5 }).commit()
  second.writer.close()
  return second.items
}

/** Sequence numbers of the frame that holds the byte. */
function hit(frames: readonly Frame[], segment: number, byte: number): number[] {
  const frame = frames.find((one) => one.segment === segment && byte >= one.from && byte < one.to)
  return Array.from({ length: frame?.count ?? 0 }, (_, i) => frame!.firstSeq + i)
}

function copyOf(t: TestContext, folder: string): string {
  const copy = temporaryFolder(t)
  cpSync(folder, copy, { recursive: true })
  return copy
}

test('J2 J3 J8 any flipped byte costs at most the records of its frame, and they are counted', (t) => {
  const folder = temporaryFolder(t)
  const items = smallJournal(folder)
  const frames = framesOf(folder)
  const random = new Random()
  let flips = 0
  let losses = 0
  for (const segment of listSegments(folder)) {
    const path = join(folder, segmentName(segment))
    const whole = readFileSync(path)
    for (let byte = 0; byte < whole.length; byte++) {
      const flipped = Buffer.from(whole)
      flipped[byte]! ^= byte % 2 === 0 ? 0xff : 1 << random.below(8)
      writeFileSync(path, flipped)
      const where = `byte ${byte} of segment ${segment}, seed ${SEED}`
      const expected = new Set(hit(frames, segment, byte))
      for (const fromSeq of [0, 1 + (byte % (items.length - 1))]) {
        const back = readBack(folder, { fromSeq })
        const missing = assertHonest(back, items, fromSeq)
        assert.ok(
          missing.every((seq) => expected.has(seq)),
          `${where}: lost ${missing}`,
        )
        losses += missing.length
      }
      flips++
    }
    writeFileSync(path, whole)
  }
  assert.ok(flips > 2000 && losses > 500, `${flips} flips, ${losses} losses`)
})

test('a writer continues a journal with any flipped byte: numbers go on, nothing gets another name', (t) => {
  const folder = temporaryFolder(t)
  const items = smallJournal(folder)
  const frames = framesOf(folder)
  const work = join(temporaryFolder(t), 'work')
  for (const segment of listSegments(folder)) {
    const whole = readFileSync(join(folder, segmentName(segment)))
    for (let byte = segment % 3; byte < whole.length; byte += 3) {
      rmSync(work, { recursive: true, force: true })
      cpSync(folder, work, { recursive: true })
      const flipped = Buffer.from(whole)
      flipped[byte]! ^= 0xff
      writeFileSync(join(work, segmentName(segment)), flipped)
      const scribe = new Scribe(work, { nonce: 'third' }, [...items])
      assert.equal(scribe.writer.seq, items.length, `byte ${byte} of segment ${segment}`)
      scribe.points([
        { name: 'loss', step: 9, value: 9 },
        { name: 'new', step: 9, value: 10 },
      ])
      scribe.commit().writer.close()
      const expected = new Set(hit(frames, segment, byte))
      const missing = assertHonest(readBack(work), scribe.items)
      assert.ok(
        missing.every((seq) => expected.has(seq)),
        `byte ${byte} of segment ${segment}: lost ${missing}`,
      )
    }
  }
})

test('bytes of zero or noise over several frames cost those frames only', (t) => {
  const folder = temporaryFolder(t)
  const items = smallJournal(folder)
  const frames = framesOf(folder)
  const random = new Random()
  for (let round = 0; round < 300; round++) {
    const copy = copyOf(t, folder)
    const segment = random.pick(listSegments(folder))
    const path = join(copy, segmentName(segment))
    const bytes = readFileSync(path)
    const from = random.below(bytes.length)
    const to = Math.min(bytes.length, from + 1 + random.below(300))
    for (let i = from; i < to; i++) bytes[i] = round % 2 === 0 ? 0 : random.below(256)
    writeFileSync(path, bytes)
    const touched = frames.filter((one) => one.segment === segment && one.from < to && one.to > from)
    const hasEnd = !touched.some(({ type }) => type === FRAME.end)
    const definitions = touched.filter(({ type }) => type === FRAME.series)
    const back = readBack(copy)
    if (!hasEnd || definitions.length > 1) {
      for (const [seq, item] of back.items) assert.deepStrictEqual(item, items[seq], `seed ${SEED}`)
      continue
    }
    const expected = new Set(touched.flatMap(({ from: at }) => hit(frames, segment, at)))
    const missing = assertHonest(back, items)
    assert.ok(
      missing.every((seq) => expected.has(seq)),
      `seed ${SEED}, round ${round}`,
    )
  }
})

test('J8 a torn end at any length is no damage: whole frames before it are read, a writer goes on after them', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.record({ kind: 'params', params: { a: 1 } }).commit()
  for (let step = 0; step < 4; step++) scribe.points([{ name: `s${step}`, step, value: step }]).commit()
  const frames = framesOf(folder)
  const path = join(folder, segmentName(1))
  const whole = readFileSync(path)
  const work = temporaryFolder(t)
  for (let length = 0; length <= whole.length; length++) {
    const torn = join(work, String(length))
    mkdirSync(torn)
    writeFileSync(join(torn, segmentName(1)), whole.subarray(0, length))
    const kept = frames.filter(({ to }) => to <= length).reduce((sum, { count }) => sum + count, 0)
    const items = scribe.items.slice(0, kept)
    const back = readBack(torn)
    assert.deepEqual([assertHonest(back, items), back.corrupt], [[], []], `length ${length}`)
    const next = new Scribe(torn, { nonce: 'second' }, items)
    next.points([{ name: 'after', step: 1, value: length }]).commit()
    next.writer.close()
    const after = readBack(torn)
    assert.deepEqual([assertHonest(after, next.items), after.corrupt], [[], []], `length ${length}`)
    assert.equal(after.sessions.at(-1)!.seq, kept)
  }
  scribe.writer.close()
})

test('a sealed segment that lost its end is damage, counted to the number', (t) => {
  const folder = temporaryFolder(t)
  const items = smallJournal(folder)
  const last = framesOf(folder)
    .filter(({ segment, count }) => segment === 1 && count > 0)
    .at(-1)!
  truncateSync(join(folder, segmentName(1)), last.from + 30)
  const back = readBack(folder)
  assert.deepEqual(assertHonest(back, items), hit([last], 1, last.from))
})

test('a segment that is gone from the middle is damage; one gone from the beginning is history', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder, { segmentBytes: 1 })
  for (let step = 0; step < 5; step++) {
    scribe
      .points([{ name: 'a', step, value: step }])
      .record({ kind: 'tags', tags: {} })
      .commit()
  }
  scribe.writer.close()
  const copyWithout = (...numbers: number[]) => {
    const copy = copyOf(t, folder)
    for (const number of numbers) rmSync(join(copy, segmentName(number)))
    return copy
  }
  assert.deepEqual(readBack(copyWithout(3)).corrupt, [{ seq: 4, points: 1, records: 1 }])
  assert.deepEqual(readBack(copyWithout(3, 4)).corrupt, [{ seq: 4, points: 2, records: 2 }])
  const shortened = copyWithout(1, 2)
  for (const [fromSeq, pointsBelow] of [
    [0, 0],
    [3, 2],
  ] as const) {
    const back = readBack(shortened, { fromSeq, pointsBelow })
    const points = 2 - pointsBelow
    assert.deepEqual(back.gone, [{ seq: fromSeq, points, records: 4 - fromSeq - points }])
    assert.deepEqual([back.corrupt, back.sessions.length > 0], [[], true])
    assert.equal(assertHonest(back, scribe.items, fromSeq).length, 4 - fromSeq)
  }
  for (const fromSeq of [4, 5, 6, 9]) {
    assert.deepEqual(assertHonest(readBack(shortened, { fromSeq }), scribe.items, fromSeq), [])
  }
})

test('a frame of a type that a later version adds is counted as unknown records, not as damage', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.record({ kind: 'tags', tags: { a: 'b' } }).commit()
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  scribe.writer.close()
  rewriteFrame(folder, ({ type }) => type === FRAME.record, { type: 900 })
  const back = readBack(folder)
  assert.deepEqual(back.items.get(0), { kind: 'unknown' })
  assert.deepEqual(back.items.get(1), scribe.items[1])
  assert.deepEqual(back.corrupt, [])
})

test('J10 a newer version is refused by reader and writer; a damaged version number is just damage', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  scribe.writer.close()
  rewriteFrame(folder, ({ type }) => type === FRAME.segment, { version: 2 })
  const refused = { code: 'ERR_JOURNAL_FORMAT', message: /format version 2/ }
  assert.throws(() => readBack(folder), refused)
  assert.throws(() => JournalWriter.open({ folder, runId: 'run', session: 'process', nonce: 'n' }), refused)
})

test('frames of another process copied into a segment are not believed', (t) => {
  const foreign = temporaryFolder(t)
  const other = new Scribe(foreign, { nonce: 'other' })
  other.points(Array.from({ length: 9 }, (_, i) => ({ name: 'x', step: i, value: 666 }))).commit()
  const otherFrame = framesOf(foreign).at(-1)!
  const bytes = readFileSync(join(foreign, segmentName(1))).subarray(otherFrame.from, otherFrame.to)
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  scribe.record({ kind: 'tags', tags: { text: 'x'.repeat(bytes.length + 200) } }).commit()
  scribe.points([{ name: 'a', step: 2, value: 2 }]).commit()
  scribe.writer.close()
  // a record whose text holds a whole frame, and whose own header is damaged
  const record = framesOf(folder).find(({ type }) => type === FRAME.record)!
  const path = join(folder, segmentName(1))
  const whole = readFileSync(path)
  whole[record.from]! ^= 1
  bytes.copy(whole, Math.ceil((record.from + FRAME_HEADER_BYTES + 80) / 8) * 8)
  writeFileSync(path, whole)
  assert.deepEqual(assertHonest(readBack(folder), scribe.items), [1])
  other.writer.close()
})

test('a payload that lies about its lengths under a valid CRC is damage, never a crash', (t) => {
  const folder = temporaryFolder(t)
  const items = smallJournal(folder)
  const random = new Random()
  const path = join(folder, segmentName(1))
  const whole = readFileSync(path)
  const frames = framesOf(folder).filter(({ segment }) => segment === 1)
  for (let round = 0; round < 2000; round++) {
    writeFileSync(path, whole)
    const frame = random.pick(frames.filter(({ payloadBytes }) => payloadBytes > 0))
    const at = frame.from + FRAME_HEADER_BYTES + random.below(frame.payloadBytes)
    rewriteFrame(
      folder,
      (one) => one.segment === 1 && one.from === frame.from,
      {},
      (bytes) => {
        bytes[at]! = random.below(256)
      },
    )
    const reader = openJournal(folder, { live: false })
    let last = 0
    for (let entry = reader.next(); entry; entry = reader.next()) last = entry.seq
    assert.ok(last <= items.length, `seed ${SEED}`)
    reader.close()
  }
})

test('fragments that are not exactly the points of their frame are damage', (t) => {
  for (const change of [-1, 1, 2 ** 31]) {
    const folder = temporaryFolder(t)
    const scribe = new Scribe(folder)
    const step = 1
    scribe.points([
      { name: 'a', step, value: 1, row: 0 },
      { name: 'b', step, value: 2, row: 0 },
    ])
    scribe.commit().points([{ name: 'a', step, value: 3 }])
    scribe.commit().writer.close()
    const first = framesOf(folder).find(({ type }) => type === FRAME.points)!
    rewriteFrame(
      folder,
      ({ from }) => from === first.from,
      {},
      (bytes) => {
        const count = first.from + FRAME_HEADER_BYTES + 100
        assert.equal(bytes.readUInt32LE(count), 2)
        bytes.writeUInt32LE(2 + change, count)
      },
    )
    const back = readBack(folder)
    assert.deepEqual(assertHonest(back, scribe.items), [0, 1])
    assert.deepEqual(back.corrupt, [{ seq: 0, points: 2, records: 0 }])
  }
})

/** Changes frames and makes their CRCs right again. */
function rewriteFrame(
  folder: string,
  which: (frame: Frame) => boolean,
  change: Partial<Frame>,
  edit: (bytes: Buffer) => void = () => {},
): void {
  for (const frame of framesOf(folder).filter(which)) {
    const path = join(folder, segmentName(frame.segment))
    const bytes = readFileSync(path)
    edit(bytes)
    const from = frame.from + FRAME_HEADER_BYTES
    const payloadCrc = crc32(bytes.subarray(from, from + frame.payloadBytes))
    writeHeader(bytes, new DataView(bytes.buffer, bytes.byteOffset), frame.from, {
      ...frame,
      payloadCrc,
      ...change,
    })
    writeFileSync(path, bytes)
  }
}
