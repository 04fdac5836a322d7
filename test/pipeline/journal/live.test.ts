import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FRAME_HEADER_BYTES, segmentName } from '../../../src/pipeline/journal/format.ts'
import { type JournalFileReader, openJournal } from '../../../src/pipeline/journal/reader.ts'
import { Random, SEED } from '../../random.ts'
import { framesOf, Scribe, temporaryFolder } from './scribe.ts'

/** Takes what can be read now; damage is a failure. Returns the values, -1 for a record. */
function take(reader: JournalFileReader): number[] {
  const values: number[] = []
  for (let entry = reader.next(); entry; entry = reader.next()) {
    assert.notEqual(entry.kind, 'corrupt', `seed ${SEED}`)
    if (entry.kind === 'points') values.push(...entry.points.value)
    if (entry.kind === 'record') values.push(-1)
  }
  return values
}

test('a live journal is followed over segments and sessions, from before it begins', (t) => {
  const folder = temporaryFolder(t)
  let published = 0
  const reader = openJournal(folder, { live: true, limitSeq: () => published })
  assert.equal(reader.next(), undefined)
  const scribe = new Scribe(folder, { segmentBytes: 3000 })
  const seen: number[] = []
  for (let i = 0; i < 200; i++) {
    scribe.points([{ name: `s${i % 5}`, step: i, value: i }])
    if (i % 10 === 0) scribe.record({ kind: 'tags', tags: {} })
    if (i % 3 === 0) scribe.commit()
    if (i % 7 === 0) published = scribe.writer.seq
    if (i % 4 === 0) seen.push(...take(reader))
    assert.ok(reader.seq <= published)
    if (i % 50 === 49) {
      scribe.commit().writer.close()
      scribe.writer = new Scribe(folder, { nonce: String(i), segmentBytes: 3000 }).writer
    }
  }
  scribe.commit()
  published = scribe.writer.seq
  seen.push(...take(reader))
  assert.deepEqual(
    seen,
    scribe.items.map((item) => ('value' in item ? item.value : -1)),
  )
  assert.ok(scribe.writer.segment > 5)
  reader.close()
  scribe.writer.close()
})

test('close marks without points are met at once by a live reader', (t) => {
  const folder = temporaryFolder(t)
  const scribe = new Scribe(folder)
  scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
  const reader = openJournal(folder, { live: true, limitSeq: () => scribe.writer.seq })
  take(reader)
  scribe.points([], { closed: [0] }).commit()
  const entry = reader.next()
  assert.ok(entry?.kind === 'points' && entry.points.length === 0)
  assert.deepEqual([...entry.closed], [0])
  assert.equal(reader.next(), undefined)
  reader.close()
  scribe.writer.close()
})

test('bytes that arrive in pieces of any size are never damage to a live reader', (t) => {
  const whole = temporaryFolder(t)
  const scribe = new Scribe(whole, { segmentBytes: 2000 })
  for (let i = 0; i < 60; i++) {
    scribe.points([{ name: `s${i % 9}`, step: i, value: i }], { closed: [i] })
    if (i % 8 === 0) scribe.points([], { closed: [i] })
    scribe.commit()
  }
  scribe.writer.close()
  const frames = framesOf(whole)
  const random = new Random()
  for (let round = 0; round < 20; round++) {
    const folder = join(temporaryFolder(t), 'growing')
    mkdirSync(folder)
    let published = 0
    const hasLimit = round % 2 === 0
    const reader = openJournal(folder, {
      live: true,
      ...(hasLimit ? { limitSeq: () => published } : {}),
    })
    const seen: number[] = []
    for (let segment = 1; segment <= frames.at(-1)!.segment; segment++) {
      const path = join(folder, segmentName(segment))
      const bytes = readFileSync(join(whole, segmentName(segment)))
      writeFileSync(path, '')
      for (let at = 0; at < bytes.length; ) {
        const to = Math.min(bytes.length, at + 1 + random.below(round < 10 ? 40 : 700))
        appendFileSync(path, bytes.subarray(at, to))
        at = to
        for (const frame of frames) {
          if (frame.segment === segment && frame.to <= at) {
            published = Math.max(published, frame.firstSeq + frame.count)
          }
        }
        seen.push(...take(reader))
        assert.equal(reader.seq, published, `seed ${SEED}: all that is whole is read`)
      }
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 60 }, (_, i) => i),
    )
    reader.close()
  }
})

test('damage in a live journal is told as soon as its size is known', (t) => {
  for (const offset of [0, 10, 30, 80]) {
    const folder = temporaryFolder(t)
    const scribe = new Scribe(folder)
    const reader = openJournal(folder, { live: true, limitSeq: () => scribe.writer.seq })
    scribe.points([{ name: 'a', step: 1, value: 1 }]).commit()
    assert.deepEqual(take(reader), [1])
    const from = scribe.writer.committedBytes
    scribe.points([{ name: 'a', step: 2, value: 2 }]).commit()
    const path = join(folder, segmentName(1))
    const bytes = readFileSync(path)
    bytes[from + offset]! ^= 0xff
    writeFileSync(path, bytes)
    if (offset < FRAME_HEADER_BYTES) {
      assert.equal(reader.next(), undefined, 'its number of records is not known yet')
    }
    scribe.points([{ name: 'a', step: 3, value: 3 }]).commit()
    assert.deepEqual(reader.next(), { kind: 'corrupt', seq: 1, points: 1, records: 0 })
    assert.deepEqual(take(reader), [3])
    reader.close()
    scribe.writer.close()
  }
})
