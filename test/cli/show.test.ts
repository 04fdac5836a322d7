import assert from 'node:assert/strict'
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { seriesAxis } from '../../src/cli/show/axis.ts'
import { Curve } from '../../src/cli/show/curve.ts'
import { plotLines } from '../../src/cli/show/plot.ts'
import { width } from '../../src/cli/text.ts'
import { openRun, startLogging } from '../../src/index.ts'
import { Random, SEED } from '../random.ts'
import { temporaryFolder } from '../run/program.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { tracelet, traceletIntoClosedPipe } from './run-cli.ts'
import { finishedRun, HOSTILE_NAME, WIDE_NAME } from './runs.ts'
import { ESC, inTerminal } from './terminal.ts'

test('a run is shown with its series, parameters, notes and where it has been delivered', async (context) => {
  const root = temporaryFolder(context)
  const folder = await finishedRun(root, 'shown', {
    name: HOSTILE_NAME,
    project: WIDE_NAME,
    params: { lr: 0.1, [HOSTILE_NAME]: HOSTILE_NAME },
    tags: ['baseline'],
  })
  const { code, stdout } = await tracelet(root, 'show', 'shown')
  assert.equal(code, 0)
  assert.doesNotMatch(stdout, /[^\P{Cc}\n]|\u202e/u)
  assert.match(stdout, /^run shown {2}finished$/m)
  assert.match(stdout, /^ {2}name +evil name$/m)
  assert.match(stdout, /^ {2}project +学習率テスト$/m)
  assert.match(stdout, /^ {2}loss +50 +49 +0\.02 +0\.02 +1$/m)
  assert.match(stdout, /^ {2}acc +50 +49 +0\.98 +0 +0\.98$/m)
  // the last value is 49; NaN is passed over
  assert.match(stdout, /^ {2}hole +50 +49 +49 +1 +49$/m)
  assert.match(stdout, /^ {2}lr +0\.1$/m)
  assert.match(stdout, /^ {2}evil name +evil name$/m)
  assert.match(stdout, /^ {2}baseline/m)
  assert.match(stdout, /^ {2}local +15\d +0 +0 +0\n {2}local: \//m)
  assert.match(stdout, /[\u2801-\u28ff]/, 'there is a plot')
  const bare = await tracelet(root, 'show', folder, '--no-plots')
  assert.doesNotMatch(bare.stdout, /[\u2800-\u28ff]/)
})

test('a destination that is behind is shown with the age of what waits for it, rows and uploads', async (context) => {
  const root = temporaryFolder(context)
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const lagOf = async () => {
    const { stdout } = await tracelet(root, 'show', 'late', '--json')
    return JSON.parse(stdout).destinations[0].lagMs as number
  }
  const hour = 3_600_000
  const options = { dir: root, runId: 'late', backend: { mlflow: { uri: fake.uri } } } as never
  const run = startLogging(options)
  run.log({ loss: 1 }, { step: 0, time: Date.now() - 5 * hour })
  await run.finish()
  assert.equal(await lagOf(), 0)
  await fake.stop()
  const again = startLogging({ ...(options as object), resume: 'late', runId: undefined } as never)
  for (let step = 1; step < 9; step++) again.log({ loss: 1 }, { step, time: Date.now() - hour })
  await again.finish('finished', { deadlineMs: 200 })
  const lag = await lagOf()
  assert.ok(lag >= hour && lag < 2 * hour, `${lag}`)
  assert.match((await tracelet(root, 'show', 'late')).stdout, /^ {2}mlflow is 1 h 0\d min behind$/m)
})

test('definitions of metrics decide which summaries are shown', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'defined', backend: 'local' })
  run.defineMetric('val/*', { summary: ['best', 'mean'], goal: 'maximize' })
  run.defineMetric('val/loss', { summary: ['best'], goal: 'minimize' })
  for (const [step, value] of [3, 1, 2].entries()) {
    run.log({ 'val/acc': value, 'val/loss': value, other: value }, { step })
  }
  await run.finish()
  const { stdout } = await tracelet(root, 'show', 'defined', '--json')
  const { series } = JSON.parse(stdout)
  const about = { points: 3, lastStep: 2 }
  assert.deepEqual(series, [
    { name: 'val/acc', ...about, best: 3, mean: 2 },
    { name: 'val/loss', ...about, best: 1 },
    { name: 'other', ...about, last: 2, min: 1, max: 3 },
  ])
  const text = await tracelet(root, 'show', 'defined', '--no-plots')
  assert.match(text.stdout, /^ +points +last step +last +min +max +mean +best$/m)
})

test('--metric chooses series, and with --json gives their points as they were logged', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'chosen')
  const { stdout } = await tracelet(root, 'show', 'chosen', '--metric', 'lo*', '--json')
  const { series } = JSON.parse(stdout)
  assert.deepEqual(
    series.map(({ name }: { name: string }) => name),
    ['loss'],
  )
  const { step, value } = openRun('chosen', { dir: root }).history('loss')
  assert.deepEqual(series[0].history.step, Array.from(step))
  assert.deepEqual(series[0].history.value, Array.from(value))
  const wrong = await tracelet(root, 'show', 'chosen', '--metric', 'lss')
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /no series 'lss'/)
  const none = await tracelet(root, 'show')
  assert.equal(none.code, 2)
  const other = await tracelet(root, 'show', 'chosn')
  assert.equal(other.code, 1)
  assert.match(other.stderr, /did you mean 'chosen'/)
})

test('what else was logged stands there by kind, with sizes', async (context) => {
  const root = temporaryFolder(context)
  const file = join(root, 'weights.bin')
  writeFileSync(file, Buffer.alloc(3000, 7))
  const run = startLogging({ dir: root, runId: 'rich', backend: 'local' })
  run.setNotes('# What\n\x1b[31mthis\x1b[0m is')
  run.logText('sample', 'hello\nworld', { step: 3 })
  run.logTable('worst', [{ a: 1, b: 2 }])
  run.logImage('x', { data: new Uint8Array(64 * 48), shape: [48, 64] }, { step: 1 })
  run.logImage('x', { data: new Uint8Array(64 * 48).fill(9), shape: [48, 64] }, { step: 2 })
  await run.logArtifact(file, { type: 'weights', alias: 'best' })
  await run.logFile(file, { as: 'deep/er.bin' })
  run.useArtifact('data:v2', { type: 'dataset' })
  run.alert('loss is NaN', 'epoch 3\nlr 0.1', { level: 'error' })
  await run.finish()
  const { stdout } = await tracelet(root, 'show', 'rich')
  assert.match(stdout, /^notes\n {2}# What\n {2}this is$/m)
  assert.match(stdout, /^ {2}text +sample +hello +step 3 +11 B$/m)
  assert.match(stdout, /^ {2}table +worst +1 rows, 2 columns .* B$/m)
  assert.match(stdout, /^ {2}images +x +1 image, 64 × 48 +2 × +step 2 +/m)
  assert.match(stdout, /^ {2}artifact +weights\.bin +weights, 1 file \(best\) .* 2\.9 KiB$/m)
  assert.match(stdout, /^ {2}files +deep\/er\.bin +1 file .* 2\.9 KiB$/m)
  assert.match(stdout, /^ {2}input +data:v2 +dataset/m)
  assert.match(stdout, /^ {2}alert +loss is NaN +error: epoch 3/m)
  const { items } = JSON.parse((await tracelet(root, 'show', 'rich', '--json')).stdout)
  assert.equal(items.find(({ kind }: { kind: string }) => kind === 'artifact').bytes, 3000)
})

test('in a terminal lines fit, headings are bold, and head ends it quietly', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'shown', { name: WIDE_NAME.repeat(20), params: { long: 'x'.repeat(500) } })
  assert.deepEqual(await traceletIntoClosedPipe(root, 'show', 'shown'), { code: 0, stderr: '' })
  for (const columns of [40, 120]) {
    const shown = await inTerminal(context, root, ['show', 'shown'], { columns })
    if (shown === undefined) return
    assert.equal(shown.code, 0)
    assert.ok(shown.screen.includes(`${ESC}[1mrun shown`))
    // an address is there to be copied: it is never cut
    const cut = shown.lines.filter((line) => !line.startsWith('  local: '))
    assert.equal(cut.length, shown.lines.length - 1)
    for (const line of cut) assert.ok(width(line) <= columns, `${columns}: ${line}`)
  }
})

test('a run that was copied is shown where it lies now', async (context) => {
  const root = temporaryFolder(context)
  const logDir = join(root, 'logs')
  const backend = { tensorboard: {}, 'tensorboard:logs': { logDir } }
  const folder = await finishedRun(root, 'first', { backend })
  const copy = join(root, 'default', 'moved')
  cpSync(folder, copy, { recursive: true })
  const { stdout } = await tracelet(root, 'show', copy, '--no-plots')
  assert.ok(stdout.includes(`\n  tensorboard: ${copy}\n`), stdout)
  assert.match(stdout, new RegExp(`^ {2}tensorboard:logs: ${logDir}`, 'm'))
  const { destinations } = JSON.parse((await tracelet(root, 'show', copy, '--json')).stdout)
  assert.equal(destinations[0].url, copy)
})

test('a plot goes from the first to the last step and from the least to the greatest value', () => {
  const curve = new Curve('rising', '')
  for (let step = 0; step <= 1000; step++) curve.add(step, step * 2)
  const lines = plotLines(curve.buckets, { columns: 50, rows: 4 })
  assert.equal(lines.length, 5)
  assert.match(lines[0]!, /^2000 ┤ +[\u2801-\u28ff]+$/)
  assert.match(lines[3]!, /^ {3}0 ┤[\u2801-\u28ff]+ *$/)
  assert.match(lines[4]!, /^ +step 0 +1,000$/)
  for (const line of lines) assert.ok(width(line) <= 50)
  assert.deepEqual(plotLines([], { columns: 50, rows: 4 }), [])
  const flat = new Curve('flat', '')
  flat.add(5, 3)
  assert.match(plotLines(flat.buckets, { columns: 20, rows: 3 })[0]!, /^3 ┤/)
  const huge = new Curve('huge', '')
  for (const [step, value] of [-1.7e308, 1.7e308, Infinity, Number.NaN].entries()) huge.add(step, value)
  assert.doesNotMatch(plotLines(huge.buckets, { columns: 40, rows: 3 }).join(''), /NaN|Infinity/)
})

test('a plot honours the axis that was defined, in the context of the series', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'axes', backend: 'local' })
  run.defineMetric('val/*', { axis: 'epoch' })
  run.defineMetric('lost', { axis: 'never-logged' })
  for (let step = 0; step < 100; step++) {
    if (step === 5) run.log({ 'val/acc': 1000 }, { step: 1 })
    // the axis may stand behind what it is the axis of
    if (step % 10 === 9) run.log({ 'val/acc': step, epoch: (step + 1) / 40 }, { step })
    run.log({ lost: step }, { step })
  }
  run.log({ 'val/acc': 3, epoch: 100 }, { step: 1, context: 'test' })
  run.log({ 'val/acc': 4, epoch: 200 }, { step: 2, context: 'test' })
  await run.finish()
  const { stdout } = await tracelet(root, 'show', 'axes')
  const plot = (title: string) => stdout.split(`\n  ${title}\n`)[1]!.split('\n').slice(0, 7)
  assert.match(plot('val/acc').at(-1)!, /^ +epoch 0\.25 +2\.5$/)
  // what came before the axis had a value has no place on it
  assert.match(plot('val/acc')[0]!, /^ +99 ┤/)
  assert.match(plot('val/acc [test]').at(-1)!, /^ +epoch 100 +200$/)
  assert.match(plot('epoch').at(-1)!, /^ +step 9 +99$/)
  assert.match(plot('lost').at(-1)!, /^ +step 0 +99$/)
  const { series } = JSON.parse((await tracelet(root, 'show', 'axes', '--json')).stdout)
  assert.equal(series.find(({ name }: { name: string }) => name === 'val/acc').axis, 'epoch')
})

test('an axis says at each step what its series had by then', () => {
  const step = Float64Array.from([5, 1, 5, 9, 7])
  const axis = seriesAxis('x', { step, value: Float64Array.from([50, 10, 51, Number.NaN, 70]) })
  assert.deepEqual(
    [0, 1, 4, 5, 6, 7, 9, 100].map((at) => axis.at(at)),
    [undefined, 10, 10, 51, 51, 70, 70, 70],
  )
})

test('a curve of any length is sketched in bounded memory, no extreme left out', (context) => {
  context.diagnostic(`seed ${SEED}`)
  const random = new Random()
  const values = Array.from({ length: 100_003 }, () => random.next() * 10 - 5)
  const curve = new Curve('noise', '')
  for (const [step, value] of values.entries()) curve.add(step, value)
  assert.ok(curve.buckets.length <= 512 && curve.buckets.length >= 128)
  assert.equal(
    Math.min(...curve.buckets.map(({ min }) => min)),
    values.reduce((a, b) => Math.min(a, b)),
  )
  assert.equal(
    Math.max(...curve.buckets.map(({ max }) => max)),
    values.reduce((a, b) => Math.max(a, b)),
  )
  assert.equal(curve.buckets.at(-1)!.lastX, values.length - 1)
  for (const [at, bucket] of curve.buckets.entries()) {
    if (at > 0) assert.equal(bucket.firstX, curve.buckets[at - 1]!.lastX + 1)
  }
})
