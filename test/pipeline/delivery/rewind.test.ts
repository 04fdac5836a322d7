/** A run that goes back, between journal and sink: nothing overtakes it, and what is left out follows from the journal. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CursorRewind, JournalReader } from '../../../src/core/types.ts'
import { KeepFirst } from '../../../src/pipeline/delivery/rewind-filter.ts'
import { Random, SEED } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage } from './stage.ts'

const RECORDS = ['params', 'tags', 'state', 'rewind'] as const
const rewind = (fromStep: number) => ({ kind: 'rewind', fromStep, time: 5 }) as const
const turnOfLoop = () => new Promise((resolve) => setImmediate(resolve))

test('nothing is under way beside a rewind, however many writes may be, and whatever becomes of it', async () => {
  const journal = new MemoryJournal().scalars('a', 43).record(rewind(10)).scalars('a', 40, 100, 10)
  const stage = new Stage(journal, {
    limits: { inFlight: 4, maxItems: 5 },
    capabilities: { rewind: 'purge', records: RECORDS },
  })
  stage.waitsForSink = true
  let underWay = 0
  const beside: number[] = []
  const before: number[] = []
  let refusals = 2
  let writes = 0
  stage.sink.rule = async (item) => {
    const others = underWay++
    // each as long as another
    for (let turns = (writes++ % 4) * 4 + 1; turns > 0; turns--) await turnOfLoop()
    if ('kind' in item) {
      beside.push(others, underWay - 1)
      before.push(stage.sink.points.length)
    }
    underWay--
    return 'kind' in item && refusals-- > 0 ? { status: 'retry', reason: 'not yet' } : undefined
  }
  await stage.finish()
  assert.deepEqual(beside, [0, 0, 0, 0, 0, 0])
  assert.deepEqual(before, [43, 43, 43])
  assert.ok(stage.sink.mostUnderWay > 1)
  assert.deepEqual(stage.sink.points.length, 83)
  // before it and behind it writes may overtake each other, but never it
  const steps = stage.sink.points.map(({ step }) => step)
  assert.deepEqual([Math.min(...steps.slice(43)), Math.max(...steps.slice(0, 43))], [10, 42])
})

test('that values are left out is said once for each rewind, also over restarts', async () => {
  const journal = new MemoryJournal().scalars('a', 20)
  const options = { capabilities: { rewind: 'keep-first', records: RECORDS } } as const
  const zeroth = new Stage(journal, options)
  await zeroth.finish()
  journal.record(rewind(10)).scalars('a', 5, 100, 10)
  const first = new Stage(journal, { ...options, cursor: zeroth.cursor })
  await first.finish()
  const told = (stage: Stage) => stage.issues.filter(({ severity }) => severity === 'notice')
  assert.deepEqual(
    told(first).map(({ code }) => code),
    ['ERR_MAPPED'],
  )
  assert.match(told(first)[0]!.message, /back to step 10.*Scripted cannot replace/)
  assert.deepEqual(first.cursor.rewinds, [{ seq: 20, fromStep: 10 }])
  assert.deepEqual([first.cursor.settled.delivered, first.cursor.settled.filtered], [20, 5])
  journal.scalars('a', 10, 100, 15)
  const second = new Stage(journal, { ...options, cursor: first.cursor })
  await second.finish()
  assert.deepEqual(told(second), [])
  assert.deepEqual(
    second.sink.points.map(({ step }) => step),
    [20, 21, 22, 23, 24],
  )
  assert.deepEqual([second.cursor.settled.delivered, second.cursor.settled.filtered], [25, 10])
})

test('a destination that joins a run later than its rewinds gets the values that count, whatever crash comes between', async () => {
  const journal = new MemoryJournal().scalars('a', 20).record(rewind(10)).scalars('a', 5, 100, 10)
  const options = { capabilities: { rewind: 'keep-first', records: RECORDS } } as const
  const first = new Stage(journal, options)
  let answer: (() => void) | undefined
  first.sink.rule = () => {
    // before the first write, which the process does not outlive
    assert.deepEqual(first.cursor.rewinds, [{ seq: 20, fromStep: 10, isAhead: true }])
    return new Promise((resolve) => {
      answer = () => resolve(undefined)
    })
  }
  first.publish()
  await first.play(() => answer !== undefined)
  const { cursor } = first
  assert.equal(cursor.seq, 0)
  // then the run goes back once more: from step 3 on the first values may be there
  journal.record(rewind(3)).scalars('a', 20, 100, 3)
  const second = new Stage(journal, { ...options, cursor })
  await second.finish()
  const values = second.sink.points.map(({ step, value }) => [step, value])
  const expected = [
    ...Array.from({ length: 10 }, (_, step) => [step, step / 2]),
    ...Array.from({ length: 5 }, (_, index) => [10 + index, index / 2]),
    ...Array.from({ length: 8 }, (_, index) => [15 + index, (12 + index) / 2]),
  ]
  assert.deepEqual(values, expected)
  assert.deepEqual([second.cursor.settled.delivered, second.cursor.settled.filtered], [23, 22])
  first.sink.rule = () => undefined
  answer!()
  await first.finish()
})

test('a run that never goes back is not read twice', async () => {
  const journal = new MemoryJournal().scalars('a', 20)
  let readers = 0
  const filter = new KeepFirst({
    known: [],
    openReader: (from) => {
      readers++
      return journal.reader(from)
    },
    onRewind: () => {},
  })
  for (const entry of journal.entries) {
    if (entry.kind !== 'points') continue
    assert.equal(filter.isReady(entry), true)
    const kept = new Uint8Array(entry.points.length).fill(1)
    filter.mask(entry, kept)
    assert.ok(kept.every((one) => one === 1))
  }
  assert.equal(readers, 0)
})

test(`what is left out is the same wherever reading begins, and however often it is cut short (seed ${SEED})`, () => {
  const random = new Random(SEED)
  for (let round = 0; round < 60; round++) {
    const journal = new MemoryJournal()
    const ahead = random.below(4)
    for (let part = 0; part < 12; part++) {
      if (random.next() < 0.4) journal.session().record(rewind(random.below(60) - 5))
      const frame = Array.from({ length: 1 + random.below(30) }, (_, index) => {
        return [index, random.below(60) - 5, random.pick(['a', 'b', 'c']), random.next()] as const
      })
      journal.frame(frame)
      if (random.next() < 0.1) journal.corrupt(random.below(5) + 1, 1)
    }
    const all: CursorRewind[] = []
    for (const { kind, seq, ...entry } of journal.entries)
      if (kind === 'record' && 'record' in entry && entry.record.kind === 'rewind')
        all.push({ seq, fromStep: entry.record.fromStep })
    const rewinds = all.map((one, index) => (index < ahead ? { ...one, isAhead: true as const } : one))
    const expected = byDefinition(journal, rewinds)
    for (const isSlow of round % 6 === 0 ? [false, true] : [false]) {
      const from = random.below(journal.seq)
      const known = rewinds.filter(({ seq, isAhead }) => isAhead || seq < from)
      const seen = pass(journal, from, known, isSlow, random)
      for (const [seq, kept] of seen)
        assert.equal(kept, expected.get(seq), `round ${round}, from ${from}, ${seq}`)
    }
  }
})

/** By F5, read literally: for each point by its sequence number, whether it is kept. */
function byDefinition(journal: MemoryJournal, rewinds: readonly CursorRewind[]): Map<number, boolean> {
  const points: { seq: number; series: number; step: number }[] = []
  for (const entry of journal.entries) {
    if (entry.kind !== 'points') continue
    for (let i = 0; i < entry.points.length; i++)
      points.push({ seq: entry.seq + i, series: entry.points.series[i]!, step: entry.points.step[i]! })
  }
  const isSuperseded = ({ seq, step }: (typeof points)[number]) =>
    rewinds.some((one) => one.isAhead && one.seq > seq && step >= one.fromStep)
  const counted = points.filter((point) => !isSuperseded(point))
  const isOut = ({ seq, series, step }: (typeof points)[number]) =>
    rewinds.some((one) => {
      const before = counted.filter((other) => other.seq < one.seq && other.series === series)
      const isBehind = !one.isAhead && one.seq < seq
      return isBehind && step >= one.fromStep && before.some((other) => other.step >= step)
    })
  return new Map(points.map((point) => [point.seq, !isSuperseded(point) && !isOut(point)]))
}

/** @param isSlow its second reading is closed and begun anew at random */
function pass(
  journal: MemoryJournal,
  from: number,
  known: readonly CursorRewind[],
  isSlow: boolean,
  random: Random,
): Map<number, boolean> {
  const seen = new Map<number, boolean>()
  const filter = new KeepFirst({
    known,
    openReader: (start) => (isSlow ? slowed(journal.reader(start)) : journal.reader(start)),
    onRewind: () => {},
  })
  const reader = journal.reader(from)
  for (let entry = reader.next(); entry; entry = reader.next()) {
    if (entry.kind === 'record') filter.met(entry.seq, entry.record)
    if (entry.kind !== 'points') continue
    for (let asked = 1; !filter.isReady(entry); asked++) {
      assert.ok(asked < 1000, 'it is never ready')
      if (random.next() < 0.1) filter.close()
    }
    const kept = new Uint8Array(entry.points.length).fill(1)
    filter.mask(entry, kept)
    for (let i = 0; i < kept.length; i++) seen.set(entry.seq + i, kept[i] === 1)
  }
  return seen
}

/** Each entry takes longer than a slice. */
function slowed(reader: JournalReader): JournalReader {
  return {
    get seq() {
      return reader.seq
    },
    next() {
      const until = performance.now() + 3.5
      while (performance.now() < until);
      return reader.next()
    },
    series: (id) => reader.series(id),
    close: () => reader.close(),
  }
}
