/** The benches still run, and void themselves when what came out is not what was logged. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { answer, OUTCOME, type Question, type RawRecord } from '../../bench/harness.ts'
import { sustain } from '../../bench/pipeline.ts'
import { robustSlope, slope } from '../../bench/plot.ts'
import { IdentityStore, OffsetStore } from '../../bench/soak-counts.ts'
import { valueAt } from '../../bench/soak-wire.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'

function temporary(t: { after: (close: () => void) => void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** A question without figures, for what the harness makes of it. */
function question(run: Question['run']): Question {
  return { name: 'planted', title: 'Planted', method: [], bounds: [], run }
}

function largestSegment(folder: string): string {
  const segments = readdirSync(folder).filter((name) => name.endsWith('.tlj'))
  assert.ok(segments.length > 0)
  return join(folder, segments.sort()[0]!)
}

for (const name of ['ring-push', 'pipeline', 'mlflow', 'wandb', 'aim', 'durability']) {
  test(`the quick mode of '${name}' answers with a report and raw data`, async (t) => {
    const reports = temporary(t)
    const main = fileURLToPath(workerUrl('../../bench/main', import.meta.url))
    await promisify(execFile)(process.execPath, [main, '--quick', '--reports', reports, name])
    const major = process.versions.node.split('.')[0]
    const records = readFileSync(join(reports, 'data', `${name}-${major}.jsonl`), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RawRecord)
    const kinds = new Set(records.map(({ kind }) => kind))
    assert.deepEqual(kinds, new Set(['machine', 'samples', 'goal', 'law', 'end']))
    for (const record of records) {
      if (record.kind !== 'samples') continue
      assert.ok(record.samples.length > 0 && record.samples.every((sample) => sample > 0), record.name)
    }
    const report = readFileSync(join(reports, `${name}.md`), 'utf8')
    assert.match(report, /Quick mode/)
    assert.match(report, new RegExp(`npm run bench -- ${name}`))
  })
}

test('the quick mode of the soak draws what it saw', async (t) => {
  const reports = temporary(t)
  const main = fileURLToPath(workerUrl('../../bench/main', import.meta.url))
  await promisify(execFile)(process.execPath, [main, '--quick', '--reports', reports, 'soak'])
  const major = process.versions.node.split('.')[0]
  assert.match(readFileSync(join(reports, 'soak.md'), 'utf8'), new RegExp(`data/soak-${major}\\.svg`))
  const drawn = readFileSync(join(reports, 'data', `soak-${major}.svg`), 'utf8')
  assert.equal(drawn.match(/<polyline/g)?.length, 4)
  assert.doesNotMatch(drawn, /NaN|undefined/)
})

test('the growth over time is that of the line nearest to all samples', () => {
  const seconds = [1, 2, 3, 4]
  assert.equal(slope(seconds, [5, 7, 9, 11]), 2)
  assert.equal(slope(seconds, [8, 8, 8, 8]), 0)
  assert.equal(slope(seconds, [1, 3, 1, 3]), 0.4)
  assert.equal(slope([1], [1]), 0)
})

test('the growth by the median of slopes is not moved by a value that stands out', () => {
  assert.equal(robustSlope([1, 2, 3, 4, 5], [5, 7, 90, 11, 13]), 2)
  assert.equal(robustSlope([1, 2, 4], [8, 8, 8]), 0)
  assert.equal(robustSlope([1], [1]), 0)
})

test('a fake that counts takes a point once, however often and in whatever order it comes', () => {
  const columns = (...steps: number[]) => ({
    offset: 0,
    step: Float64Array.from(steps),
    value: Float64Array.from(steps, (step) => valueAt(3, step)),
    series: new Uint32Array(steps.length).fill(3),
    first: new Uint32Array(1),
  })
  const store = new IdentityStore()
  for (const steps of [
    [0, 1, 2],
    [6, 7],
    [1, 2, 3],
    [5, 9],
    [4, 8, 6],
  ])
    store.take(columns(...steps))
  assert.deepEqual(store.counts, { points: 10, again: 3, wrong: 0 })
  const wrong = columns(10)
  wrong.value[0] = 1
  store.take(wrong)
  assert.deepEqual(store.counts, { points: 10, again: 3, wrong: 1 })
})

test('a fake of a stream tells rows that came again from others in their place', () => {
  const rows = (offset: number, ...steps: number[]) => ({
    offset,
    step: Float64Array.from(steps),
    value: Float64Array.from(steps, (step) => valueAt(0, step)),
    series: new Uint32Array(steps.length),
    first: Uint32Array.from([...steps.keys(), steps.length]),
  })
  const store = new OffsetStore()
  store.take(rows(0, 0, 1, 2, 7, 8))
  assert.deepEqual(store.take(rows(3, 7, 8, 9)), { end: 6 })
  assert.deepEqual(store.counts, { points: 6, again: 2, wrong: 0 })
  store.take(rows(1, 2))
  assert.deepEqual(store.counts, { points: 6, again: 2, wrong: 1 })
})

const losses: [string, (segment: string) => void][] = [
  [
    'a damaged frame',
    (segment) => {
      const bytes = readFileSync(segment)
      bytes[bytes.length >> 1]! ^= 1
      writeFileSync(segment, bytes)
    },
  ],
  ['a cut end', (segment) => truncateSync(segment, readFileSync(segment).length - 1000)],
]
for (const [what, plant] of losses) {
  test(`a run that lost points to ${what} is void: no report, and an exit code of its own`, async (t) => {
    const reports = temporary(t)
    const planted = question(async (bench) => {
      await sustain(bench, undefined, 0.05, (folder) => plant(largestSegment(folder)))
    })
    assert.equal(await answer(planted, { quick: true, reportsFolder: reports }), OUTCOME.void)
    assert.deepEqual(readdirSync(reports), [])
  })
}

test('sums that differ by one point are void', async (t) => {
  const reports = temporary(t)
  const planted = question(async (bench) => bench.law('sums', { accepted: 1_000_000, journaled: 999_999 }))
  assert.equal(await answer(planted, { quick: true, reportsFolder: reports }), OUTCOME.void)
})

test('a missed goal is told by the exit code of a full run, not of a quick one', async (t) => {
  const reports = temporary(t)
  const missed = question(async (bench) => bench.goal('a call', 16, { atMost: 15 }, 'ns'))
  assert.equal(await answer(missed, { quick: false, reportsFolder: reports }), OUTCOME.goalMissed)
  assert.equal(await answer(missed, { quick: true, reportsFolder: reports }), OUTCOME.answered)
  assert.ok(existsSync(join(reports, 'planted.md')))
})
