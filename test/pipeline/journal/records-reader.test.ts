import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RunRecord } from '../../../src/core/types.ts'
import { FRAME, FRAME_HEADER_BYTES, segmentName } from '../../../src/pipeline/journal/format.ts'
import {
  type OpenJournalOptions,
  openJournal,
  openRecords,
  type RecordsReader,
} from '../../../src/pipeline/journal/reader.ts'
import { listSegments } from '../../../src/pipeline/journal/segment-file.ts'
import { Random, SEED } from '../../random.ts'
import { type Frame, framesOf, isPoint, readBack, Scribe, temporaryFolder } from './scribe.ts'

interface Taken {
  readonly records: [seq: number, record: unknown][]
  points: number
  corrupt: number
}

/** Takes what can be read now, and checks that the entries leave no sequence number out. */
function take(reader: RecordsReader, taken: Taken = { records: [], points: 0, corrupt: 0 }): Taken {
  let { seq } = reader
  for (let entry = reader.next(); entry; entry = reader.next()) {
    assert.equal(entry.seq, seq, `seed ${SEED}`)
    if (entry.kind === 'record') taken.records.push([entry.seq, entry.record])
    else if (entry.kind === 'skipped') taken.points += entry.points
    else if (entry.kind === 'corrupt') {
      taken.points += entry.points
      taken.corrupt += entry.records
    }
    ;({ seq } = reader)
  }
  return taken
}

function takeAll(folder: string, options: Partial<OpenJournalOptions> = {}): Taken {
  const reader = openRecords(folder, { live: false, ...options })
  try {
    return take(reader)
  } finally {
    reader.close()
  }
}

const params = (value: number): RunRecord => ({ kind: 'params', params: { value } })

/** Frames of points and records at random, in several segments and two sessions. */
function written(folder: string): Scribe {
  const random = new Random()
  let scribe = new Scribe(folder, { segmentBytes: 4_000 })
  for (let i = 0; i < 300; i++) {
    if (i === 150) {
      scribe.commit().writer.close()
      scribe = new Scribe(folder, { nonce: 'second', segmentBytes: 4_000 }, scribe.items)
    }
    if (random.next() < 0.2) scribe.record(params(i))
    else {
      const count = 1 + random.below(20)
      scribe.points(Array.from({ length: count }, (_, at) => ({ name: `s${at % 3}`, step: i, value: at })))
    }
    if (random.next() < 0.5) scribe.commit()
  }
  scribe.commit().writer.close()
  return scribe
}

test('records are read as they are read with the points, which are only counted, from anywhere', (t) => {
  const folder = temporaryFolder(t)
  const { items } = written(folder)
  const expected = (from: number): Taken => ({
    records: [...items.entries()].slice(from).filter(([, item]) => !isPoint(item)),
    points: items.slice(from).filter(isPoint).length,
    corrupt: 0,
  })
  for (let from = 0; from <= items.length; from += 1 + (from % 37)) {
    assert.deepEqual(takeAll(folder, { fromSeq: from }), expected(from), `seed ${SEED} from ${from}`)
  }
})

test('a live journal is followed up to what is published', (t) => {
  const folder = temporaryFolder(t)
  let published = 0
  const reader = openRecords(folder, { live: true, limitSeq: () => published })
  const taken: Taken = { records: [], points: 0, corrupt: 0 }
  const scribe = new Scribe(folder, { segmentBytes: 2_000 })
  for (let i = 0; i < 200; i++) {
    if (i % 9 === 0) scribe.record(params(i))
    else scribe.points([{ name: 'a', step: i, value: i }], { closed: [i] })
    if (i % 3 === 0) scribe.commit()
    if (i % 7 === 0) published = scribe.writer.seq
    take(reader, taken)
    assert.ok(reader.seq <= published)
  }
  scribe.commit()
  published = scribe.writer.seq
  take(reader, taken)
  assert.equal(reader.seq, 200)
  assert.deepEqual(
    taken.records.map(([seq]) => seq),
    Array.from({ length: 23 }, (_, index) => index * 9),
  )
  assert.equal(taken.points, 177)
  reader.close()
  scribe.writer.close()
})

test('damaged points go unnoticed, damaged records and headers do not', (t) => {
  const folder = temporaryFolder(t)
  const { items } = written(folder)
  const frames = framesOf(folder)
  const records = items.filter((item) => !isPoint(item)).length
  const spoil = (frame: Frame, offset: number) => {
    const path = join(folder, segmentName(frame.segment))
    const bytes = readFileSync(path)
    bytes[frame.from + offset]! ^= 0xff
    writeFileSync(path, bytes)
  }
  const [first, second] = frames.filter(({ type }) => type === FRAME.points).slice(3)
  spoil(first!, FRAME_HEADER_BYTES + 9)
  assert.deepEqual(takeAll(folder), { ...takeAll(folder), corrupt: 0, points: items.length - records })
  assert.equal(readBack(folder).corrupt.length, 1)
  const record = frames.find(({ type }) => type === FRAME.record)!
  spoil(record, FRAME_HEADER_BYTES + 9)
  spoil(second!, 20)
  const taken = takeAll(folder)
  assert.equal(taken.records.length, records - 1)
  assert.equal(taken.corrupt, 1)
  assert.equal(taken.points, items.length - records)
})

test(`both readers count the same, whatever is damaged and wherever they begin (seed ${SEED})`, (t) => {
  const random = new Random()
  let corrupt = 0
  for (let round = 0; round < 40; round++) {
    const folder = temporaryFolder(t)
    written(folder)
    const total = takeAll(folder)
    for (const segment of listSegments(folder)) {
      const path = join(folder, segmentName(segment))
      const bytes = readFileSync(path)
      for (let hits = random.below(4); hits > 0; hits--)
        bytes[random.below(bytes.length)]! ^= 1 + random.below(255)
      if (random.next() < 0.1) bytes.fill(0, random.below(bytes.length))
      writeFileSync(path, bytes)
    }
    const fromSeq = random.below(total.points + total.records.length)
    for (const from of [0, fromSeq]) {
      const full = openJournal(folder, { live: false, fromSeq: from })
      const expected: Taken = { records: [], points: 0, corrupt: 0 }
      for (let entry = full.next(); entry; entry = full.next()) {
        if (entry.kind === 'record') expected.records.push([entry.seq, entry.record])
        else if (entry.kind === 'points') expected.points += entry.points.length
        else if (entry.kind === 'corrupt') {
          expected.points += entry.points
          expected.corrupt += entry.records
        }
      }
      full.close()
      corrupt += expected.corrupt
      assert.deepEqual(
        takeAll(folder, { fromSeq: from }),
        expected,
        `seed ${SEED}, round ${round}, from ${from}`,
      )
    }
  }
  assert.ok(corrupt > 0, `seed ${SEED}: no record was damaged`)
})

test('of frames of points only the headers are read', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  const many = Array.from({ length: 50_000 }, (_, step) => ({ name: 'a', step, value: step }))
  for (let frame = 0; frame < 8; frame++) scribe.points(many).commit()
  scribe.record(params(1)).commit().writer.close()
  const time = (read: () => unknown): number => {
    const start = performance.now()
    read()
    return performance.now() - start
  }
  assert.equal(takeAll(folder).records.length, 1)
  const reading = time(() => readBack(folder))
  for (const live of [false, true]) {
    const skipping = Math.min(...[1, 2, 3, 4, 5].map(() => time(() => takeAll(folder, { live }))))
    assert.ok(skipping < reading / 20, `${skipping} ms against ${reading} ms`)
  }
})
