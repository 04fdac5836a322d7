/** What people are to be told of, and what a run reads, as a run keeps it. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { type Issue, openRun, startLogging } from '../../src/index.ts'
import { tracelet } from '../cli/run-cli.ts'
import { temporaryFolder } from './program.ts'

function newRun(context: TestContext, more: { readonly laneSlots?: number } = {}) {
  const issues: Issue[] = []
  const dir = temporaryFolder(context)
  const run = startLogging({ dir, backend: 'local', onIssue: (issue) => issues.push(issue), ...more })
  context.after(() => run.finish())
  const codes = () => issues.map(({ code }) => code)
  return { dir, run, issues, codes, stored: () => openRun(run.info.folder) }
}

test('an alert is kept with its level and wait, by default as information', async (context) => {
  const { run, stored, codes } = newRun(context)
  const before = Date.now()
  run.alert('loss is NaN', 'epoch *3*', { level: 'error', waitMs: 0.5 })
  run.alert('half way')
  await run.finish()
  const [first, second] = stored().alerts()
  const { time, ...rest } = first!
  assert.ok(time >= before && time <= Date.now())
  assert.deepEqual(rest, { title: 'loss is NaN', text: 'epoch *3*', level: 'error', waitMs: 0.5 })
  assert.deepEqual({ ...second!, time: 0 }, { title: 'half way', text: '', level: 'info', time: 0 })
  assert.deepEqual(codes(), [])
})

test('what is no alert and no name of an artifact costs itself only', async (context) => {
  const { run, stored, codes } = newRun(context)
  run.alert(7 as never, 'x')
  run.alert('  ', 'x')
  run.alert('a', new Error('b') as never)
  run.alert('a', 'b', { level: 'fatal' as never })
  for (const waitMs of [-1, Number.NaN, Infinity, '5' as never]) run.alert('a', 'b', { waitMs })
  run.alert('a', 'b', null as never)
  assert.deepEqual(codes(), Array(9).fill('ERR_VALUE'))
  run.useArtifact('')
  run.useArtifact(7 as never)
  run.useArtifact('a', { type: '' })
  assert.deepEqual(codes().slice(9), ['ERR_NAME', 'ERR_NAME', 'ERR_NAME'])
  run.useArtifact('team/lab/data:v3', { type: 'dataset' })
  run.useArtifact('data')
  const stats = await run.finish()
  assert.deepEqual(stored().alerts(), [])
  assert.deepEqual(
    stored()
      .inputs()
      .map(({ time: _, ...input }) => input),
    [{ artifact: 'team/lab/data:v3', type: 'dataset' }, { artifact: 'data' }],
  )
  assert.equal(stats.records.accepted, stats.records.journaled)
})

test('what is too long is cut and said so, where the lane is small too, and no secret is cut in half', async (context) => {
  const { run, stored, codes } = newRun(context, { laneSlots: 256 })
  const key = `AKIA${'IOSFODNN7EXAMPLE'}`
  run.alert('t'.repeat(300), 'x'.repeat(100_000))
  run.alert(`key ${key}`, `${'x'.repeat(16_380)} ${key}`)
  run.alert('ends in a pair', `${'x'.repeat(16_382)}😀😀`)
  await run.finish()
  const alerts = stored().alerts()
  assert.equal(alerts.length, 3)
  const [long, secret, pair] = alerts
  assert.deepEqual([long!.title, long!.text], [`${'t'.repeat(249)}…`, `${'x'.repeat(16_383)}…`])
  assert.equal(pair!.text, `${'x'.repeat(16_382)}…`)
  assert.match(secret!.title, /^key \[REDACTED:/)
  assert.doesNotMatch(secret!.text, /AKIA/)
  assert.deepEqual(codes(), ['ERR_VALUE_TOO_LONG', 'ERR_VALUE_TOO_LONG', 'ERR_VALUE_TOO_LONG'])
})

test('a thread that joins a run, and a child of one, have the same calls', async (context) => {
  const { run, stored } = newRun(context)
  const url = new URL('../../src/index.js', import.meta.url)
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads')
    import(${JSON.stringify(url.href)}).then(async ({ attachRun }) => {
      const run = attachRun(workerData)
      run.alert('from a thread', 'x')
      run.useArtifact('thread:v1')
      await run.logFile(${JSON.stringify(new URL(import.meta.url).pathname)}, { as: 'thread.js' })
      await run.flush()
    })`,
    { eval: true, workerData: run.handle() },
  )
  await new Promise((resolve) => worker.once('exit', resolve))
  const child = startLogging({ parent: run })
  child.alert('from a child', 'x')
  await child.finish()
  await run.finish()
  assert.deepEqual(
    [stored().alerts()[0]!.title, stored().inputs()[0]!.artifact, stored().files()[0]!.path],
    ['from a thread', 'thread:v1', 'thread.js'],
  )
  assert.equal(openRun(child.info.folder).alerts()[0]!.title, 'from a child')
})

test('tail tells alerts, inputs and files as they come', async (context) => {
  const { dir, run } = newRun(context)
  run.alert('loss is NaN', 'epoch 3\nlr 0.1', { level: 'warn' })
  run.useArtifact('data:v2', { type: 'dataset' })
  await run.logFile(new URL(import.meta.url), { as: 'own.js' })
  await run.finish()
  const { stdout } = await tracelet(dir, 'tail', run.id, '--from-start')
  assert.match(stdout, /^alert {2}loss is NaN {2}warn: epoch 3$/m)
  assert.match(stdout, /^input {2}data:v2 {2}dataset$/m)
  assert.match(stdout, /^files {2}own\.js {2}1 file {2}[\d.]+ KiB$/m)
})
