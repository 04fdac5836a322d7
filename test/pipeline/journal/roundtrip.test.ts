import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FRAME_HEADER_BYTES, FRAME_MAGIC, segmentName } from '../../../src/pipeline/journal/format.ts'
import { openJournal } from '../../../src/pipeline/journal/reader.ts'
import { JournalWriter } from '../../../src/pipeline/journal/writer.ts'
import { assertHonest, framesOf, readBack, Scribe, temporaryFolder } from './scribe.ts'

const ODD_VALUES = [
  0,
  -0,
  1 / 3,
  Number.NaN,
  Infinity,
  -Infinity,
  Number.MIN_VALUE,
  -Number.MAX_VALUE,
  2 ** 53 - 1,
]
const ODD_TEXTS = [
  '',
  'a',
  'é/ü',
  '損失',
  '🚂',
  'x'.repeat(70_000),
  '__proto__',
  'constructor',
  'a\0b\n',
  'ﬀ',
]

test('every value, step and time comes back bit by bit, under its series name and context', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  for (const [i, value] of ODD_VALUES.entries()) {
    for (const step of [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 7]) {
      scribe.points([
        {
          name: ODD_TEXTS[i % ODD_TEXTS.length]!,
          context: 'val',
          step,
          time: step / 3,
          value,
          row: 2 ** 32 - 1,
        },
        { name: 'loss', context: ODD_TEXTS[i % ODD_TEXTS.length]!, step, value },
      ])
    }
  }
  scribe.commit().writer.close()
  assert.deepEqual(assertHonest(readBack(scribe.folder), scribe.items), [])
  assert.deepEqual(readBack(scribe.folder).corrupt, [])
})

test('records keep their order, names, texts and the JavaScript type of each value', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  const params = Object.fromEntries([
    ...ODD_VALUES.map((value, i) => [`n${i}`, value] as const),
    ...ODD_TEXTS.map((text) => [text, text] as const),
    ['yes', true] as const,
    ['no', false] as const,
    ['nothing', null] as const,
  ])
  scribe
    .record({ kind: 'params', params })
    .record({ kind: 'params', params: {} })
    .points([{ name: 'loss', step: 1, value: 1 }])
    .record({ kind: 'tags', tags: Object.fromEntries(ODD_TEXTS.map((text) => [text, text])) })
    .commit()
    .record({ kind: 'state', state: 'running', time: 1_700_000_000_000.25 })
    .record({ kind: 'state', state: 'finished', time: 0 })
    .record({ kind: 'state', state: 'failed', time: 1 })
    .record({ kind: 'state', state: 'killed', time: 2 })
    .commit()
    .writer.close()
  const back = readBack(scribe.folder)
  assert.deepEqual(assertHonest(back, scribe.items), [])
  const read = back.items.get(0)
  assert.ok(read && 'params' in read)
  assert.deepEqual(Object.keys(read.params), Object.keys(params))
  assert.ok(Object.hasOwn(read.params, '__proto__'))
})

test('close marks, coalesced and lost counts travel with the points', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  scribe.points([{ name: 'a', step: 1, value: 1 }], { closed: [], coalesced: 5 }).commit()
  scribe.points([], { closed: [0, 2 ** 32 - 1] }).commit()
  scribe.writer.countLost(3, 2)
  scribe.points([{ name: 'a', step: 2, value: 1 }], { closed: [1], coalesced: 2 ** 40 }).commit()
  scribe.writer.countLost(10, 0)
  scribe.writer.close()
  const back = readBack(scribe.folder)
  assert.deepEqual(back.closed, [
    { seq: 1, row: 0 },
    { seq: 1, row: 2 ** 32 - 1 },
    { seq: 2, row: 1 },
  ])
  assert.deepEqual(back.carried, { coalesced: 2 ** 40 + 5, lost: 13, lostRecords: 2 })
})

test('entries are the caller’s to keep', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  for (let i = 0; i < 20; i++) scribe.points([{ name: 'a', step: i, value: i }], { closed: [i] }).commit()
  const reader = openJournal(scribe.folder, { live: false })
  const kept = []
  for (let entry = reader.next(); entry; entry = reader.next()) if (entry.kind === 'points') kept.push(entry)
  reader.close()
  assert.deepEqual(
    kept.map((entry) => [entry.points.value[0], entry.points.step[0], entry.closed[0]]),
    Array.from({ length: 20 }, (_, i) => [i, i, i]),
  )
  scribe.writer.close()
})

test('reading begins at any sequence number, also within a frame', (t) => {
  const scribe = new Scribe(temporaryFolder(t), { segmentBytes: 600 })
  for (let i = 0; i < 20; i++) {
    const points = Array.from({ length: 1 + (i % 4) }, (_, k) => ({
      name: `s${k}`,
      step: i,
      value: i + k / 8,
    }))
    scribe.points(points)
    if (i % 3 === 0) scribe.record({ kind: 'tags', tags: { i: String(i) } })
    scribe.commit()
  }
  scribe.writer.close()
  assert.ok(readdirSync(scribe.folder).length > 3, 'several segments')
  for (let fromSeq = 0; fromSeq <= scribe.items.length; fromSeq++) {
    const back = readBack(scribe.folder, { fromSeq })
    assert.deepEqual(assertHonest(back, scribe.items, fromSeq), [], `from ${fromSeq}`)
    assert.equal(back.items.size, scribe.items.length - fromSeq)
    assert.deepEqual(
      back.sessions.map(({ session }) => session),
      fromSeq === 0 ? [1] : [],
    )
  }
})

test('reading from beyond the end gives nothing until the journal gets there', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  const reader = openJournal(scribe.folder, { live: true, fromSeq: 2 })
  assert.equal(reader.next(), undefined)
  scribe.points([{ name: 'a', step: 2, value: 2 }]).commit()
  assert.equal(reader.next(), undefined)
  scribe.points([{ name: 'a', step: 3, value: 3 }]).commit()
  const entry = reader.next()
  assert.ok(entry?.kind === 'points' && entry.seq === 2 && entry.points.value[0] === 3)
  reader.close()
  scribe.writer.close()
})

test('J3 J4 a segment begins with what it takes to read it alone, twice; later series come ahead of their use', (t) => {
  const scribe = new Scribe(temporaryFolder(t), { segmentBytes: 1 })
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  scribe.points([{ name: 'b', step: 2, value: 2 }]).commit()
  scribe.writer.close()
  const types = framesOf(scribe.folder).map(({ segment, type }) => `${segment}:${type}`)
  assert.deepEqual(types, [
    '1:1',
    '1:1',
    '1:2',
    '1:2',
    '1:3',
    '2:1',
    '2:1',
    '2:2',
    '2:2',
    '2:2',
    '2:2',
    '2:3',
    '3:1',
    '3:1',
    '3:2',
    '3:2',
    '3:5',
  ])
})

test('J1 J2 headers number points and records densely and tell how many were points', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  scribe
    .points([
      { name: 'a', step: 1, value: 1 },
      { name: 'b', step: 1, value: 1 },
    ])
    .record({ kind: 'tags', tags: {} })
    .commit()
    .points([{ name: 'a', step: 2, value: 1 }])
    .commit()
    .writer.close()
  assert.equal(FRAME_HEADER_BYTES % 8, 0)
  assert.equal(FRAME_MAGIC, Buffer.from('TLJF').readUInt32LE())
  assert.deepEqual(
    framesOf(scribe.folder)
      .filter(({ type }) => type > 2)
      .map(({ firstSeq, count, pointsBefore }) => [firstSeq, count, pointsBefore]),
    [
      [0, 2, 0],
      [2, 1, 2],
      [3, 1, 2],
      [4, 0, 3],
    ],
  )
})

test('many series are defined in frames of bounded size', (t) => {
  const scribe = new Scribe(temporaryFolder(t), { segmentBytes: 100_000 })
  for (let step = 0; step < 4; step++) {
    scribe
      .points(Array.from({ length: 3000 }, (_, i) => ({ name: `layer/${i}/weight`, step, value: i })))
      .commit()
  }
  scribe.writer.close()
  assert.deepEqual(assertHonest(readBack(scribe.folder), scribe.items), [])
  assert.deepEqual(assertHonest(readBack(scribe.folder, { fromSeq: 9001 }), scribe.items, 9001), [])
  const definitions = framesOf(scribe.folder).filter(({ type }) => type === 2)
  assert.ok(definitions.length > 8)
  assert.ok(definitions.every(({ payloadBytes }) => payloadBytes < 65_536))
})

test('frames larger than the reader’s window are read', (t) => {
  const scribe = new Scribe(temporaryFolder(t))
  scribe.points(Array.from({ length: 200_000 }, (_, i) => ({ name: 'a', step: i, value: i })))
  scribe.record({ kind: 'tags', tags: { long: 'é'.repeat(2_000_000) } }).commit()
  scribe.points([{ name: 'b', step: 1, value: 1 }]).commit()
  scribe.writer.close()
  assert.deepEqual(assertHonest(readBack(scribe.folder), scribe.items), [])
})

test('several writers stage into the same memory at once and each commits its own', (t) => {
  const scribes = [0, 1, 2].map((i) => new Scribe(temporaryFolder(t), { runId: `run${i}` }))
  for (let round = 0; round < 30; round++) {
    for (const [i, scribe] of scribes.entries()) {
      scribe.points([{ name: `s${i}`, step: round, value: round * i }])
    }
    for (const scribe of scribes) scribe.record({ kind: 'tags', tags: { round: String(round) } })
    scribes[round % 3]!.commit()
  }
  for (const scribe of scribes) {
    scribe.commit().writer.close()
    assert.equal(scribe.items.length, 60)
    assert.deepEqual(assertHonest(readBack(scribe.folder), scribe.items), [])
  }
})

test('files are private to the user', { skip: process.platform === 'win32' }, (t) => {
  const folder = temporaryFolder(t)
  JournalWriter.open({ folder, runId: 'run', session: 'process', nonce: 'n' }).close()
  assert.equal(statSync(join(folder, segmentName(1))).mode & 0o777, 0o600)
})
