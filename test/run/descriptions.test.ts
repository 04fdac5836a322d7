/** Notes, metric definitions, datasets: what is kept, and what becomes of bad input. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { openRun, type Run, startLogging } from '../../src/index.ts'
import { temporaryFolder } from './program.ts'

function newRun(context: TestContext): { run: Run; codes: string[] } {
  const codes: string[] = []
  const run = startLogging({
    dir: temporaryFolder(context),
    backend: 'local',
    onIssue: ({ code }) => codes.push(code),
  })
  context.after(() => run.finish())
  return { run, codes }
}

test('later notes replace earlier ones; tokens in them are hidden', async (context) => {
  const { run, codes } = newRun(context)
  const stored = openRun(run.info.folder)
  await run.flush()
  assert.equal(stored.notes(), undefined)
  run.setNotes('# first')
  run.setNotes(`# second ü\nkey AKIA${'A'.repeat(16)}`)
  await run.flush()
  assert.equal(stored.notes(), '# second ü\nkey [REDACTED:aws-key]')
  assert.deepEqual(codes, [])
})

test('notes that no record takes, or that are no text, cost themselves only', async (context) => {
  const { run, codes } = newRun(context)
  run.setNotes('kept')
  run.setNotes('x'.repeat(10_000_000))
  run.setNotes(7 as never)
  run.setNotes(undefined as never)
  await run.flush()
  assert.deepEqual(codes, ['ERR_VALUE_TOO_LONG', 'ERR_VALUE', 'ERR_VALUE'])
  assert.equal(openRun(run.info.folder).notes(), 'kept')
})

test('a definition is kept as it was given; a later one of its name replaces it', async (context) => {
  const { run, codes } = newRun(context)
  run.defineMetric('loss', { summary: ['min', 'mean'], goal: 'minimize' })
  run.defineMetric('val/*', { axis: 'epoch', summary: 'best', goal: 'maximize' })
  run.defineMetric('plain')
  run.defineMetric('loss', { summary: 'last' })
  await run.flush()
  assert.deepEqual(codes, [])
  assert.deepEqual(openRun(run.info.folder).metricDefinitions(), [
    { name: 'loss', summary: ['last'] },
    { name: 'val/*', axis: 'epoch', summary: ['best'], goal: 'maximize' },
    { name: 'plain' },
  ])
})

test('a definition with a bad word is refused whole, with a code', async (context) => {
  const { run, codes } = newRun(context)
  run.defineMetric('')
  run.defineMetric(null as never)
  run.defineMetric('a', { axis: '' })
  run.defineMetric('a', { summary: 'median' as never })
  run.defineMetric('a', { summary: 3 as never })
  run.defineMetric('a', { goal: 'up' as never })
  run.defineMetric('a', { summary: ['best'] })
  await run.flush()
  assert.deepEqual(codes, [...Array(3).fill('ERR_NAME'), ...Array(4).fill('ERR_VALUE')])
  assert.deepEqual(openRun(run.info.folder).metricDefinitions(), [])
})

test('a dataset is kept with its schema as JSON, its type read off its address, and no secret', async (context) => {
  const { run, codes } = newRun(context)
  run.logDataset({
    name: 'mnist',
    digest: 'd'.repeat(36),
    source: 'https://me:secret@example.org/mnist.zip?token=abc',
    schema: { columns: [{ name: 'pixel', type: 'uint8' }], rows: 10n, password: 'hidden' },
    profile: '{"rows":60000}',
    context: 'training',
  })
  run.logDataset({ name: 'local', digest: '1', source: '/data/x.csv' })
  run.logDataset({ name: 'hub', digest: '2', source: 'hf://datasets/x', sourceType: 'mine' })
  run.logDataset({ name: 'bucket', digest: '3', source: 's3://bucket/x' })
  await run.flush()
  assert.deepEqual(codes, [])
  assert.deepEqual(openRun(run.info.folder).datasets(), [
    {
      name: 'mnist',
      digest: 'd'.repeat(36),
      source: 'https://[REDACTED:url]@example.org/mnist.zip?token=[REDACTED:assignment]',
      sourceType: 'http',
      schema: '{"columns":[{"name":"pixel","type":"uint8"}],"rows":"10","password":"[REDACTED:name]"}',
      profile: '{"rows":60000}',
      context: 'training',
    },
    { name: 'local', digest: '1', source: '/data/x.csv', sourceType: 'local' },
    { name: 'hub', digest: '2', source: 'hf://datasets/x', sourceType: 'mine' },
    { name: 'bucket', digest: '3', source: 's3://bucket/x', sourceType: 's3' },
  ])
})

test('a dataset without what it needs is refused with a code', async (context) => {
  const { run, codes } = newRun(context)
  const circular: { self?: unknown } = {}
  circular.self = circular
  const good = { name: 'a', digest: 'd', source: 's' }
  for (const bad of [
    null,
    'mnist',
    { ...good, name: '' },
    { ...good, digest: undefined },
    { ...good, digest: 'd'.repeat(37) },
    { ...good, source: 7 },
    { ...good, context: '' },
    { ...good, schema: circular },
    { ...good, profile: 'x'.repeat(10_000_000) },
  ])
    run.logDataset(bad as never)
  await run.flush()
  assert.deepEqual(codes, [
    ...['ERR_VALUE', 'ERR_VALUE', 'ERR_NAME', 'ERR_VALUE', 'ERR_VALUE_TOO_LONG'],
    ...['ERR_VALUE', 'ERR_VALUE', 'ERR_VALUE', 'ERR_VALUE_TOO_LONG'],
  ])
  assert.deepEqual(openRun(run.info.folder).datasets(), [])
})

test('a context tells rows of one name apart, beside handles and rows without one', async (context) => {
  const { run, codes } = newRun(context)
  for (let step = 0; step < 50; step++) {
    run.log({ loss: step, acc: -step }, { step })
    run.log({ loss: step + 0.5 }, { step, context: 'val' })
    run.log({ acc: step / 4, loss: step + 0.25 }, { step, context: 'test' })
    run.metric('loss', 'val').log(step + 100, step)
    run.log({ loss: step }, { step: step + 100, context: '' })
  }
  run.log({ loss: 1, acc: 2 }, { context: 5 as never })
  run.log({ loss: 1 }, { context: 'a\0b' })
  await run.flush()
  assert.deepEqual(codes, ['ERR_NAME', 'ERR_NAME'])
  assert.equal(run.stats().refused, 3)
  const stored = openRun(run.info.folder)
  const lengths = stored.series().map(({ name, context, points }) => `${name} [${context}] ${points}`)
  assert.deepEqual(lengths.sort(), [
    ...['acc [] 50', 'acc [test] 50', 'loss [] 100', 'loss [test] 50', 'loss [val] 100'],
  ])
  const { step, value } = stored.history('loss', 'test')
  assert.deepEqual(
    [...value],
    [...step].map((at) => at + 0.25),
  )
})
