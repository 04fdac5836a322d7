/** A tracking server without room for files: what a whole run does about it, its threads and its connections real. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Issue, startLogging } from '../../../src/index.ts'
import { FakeMlflow } from '../../sinks/mlflow/fake-server.ts'

const LIMIT_MS = 60_000

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = performance.now() + LIMIT_MS
  while (!holds()) {
    assert.ok(performance.now() < end, `${what}: not within ${LIMIT_MS} ms`)
    await sleep(10)
  }
}

async function fullServer(context: TestContext): Promise<{ fake: FakeMlflow; dir: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-full-'))
  const fake = await FakeMlflow.start()
  context.after(async () => {
    await fake.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })
  fake.isFull = true
  return { fake, dir }
}

test('no room for files: scalars go on, it is told once, and the files follow when there is room', async (context) => {
  const { fake, dir } = await fullServer(context)
  const issues: Issue[] = []
  const backend = { mlflow: { uri: fake.uri } }
  const run = startLogging({ dir, backend, onIssue: (issue) => void issues.push(issue) })
  const there = () => run.stats().destinations.mlflow!
  const file = join(dir, 'file')
  writeFileSync(file, 'content')
  run.log({ loss: 1 }, { step: 0 })
  await run.logArtifact(file, { name: 'a' })
  await run.logArtifact(file, { name: 'b' })
  await until(() => issues.length > 0, 'the trouble is told')
  for (let step = 1; step <= 1_000; step++) run.log({ loss: 1 / step }, { step })
  await until(() => there().delivered === 1_001, 'scalars are delivered')
  assert.deepEqual([there().records.pending, there().state], [2, 'retrying'])
  assert.match(there().reason, /507|full|room|quota/i)
  assert.equal(issues.length, 1)
  assert.deepEqual(
    [issues[0]!.code, issues[0]!.severity, issues[0]!.destination],
    ['ERR_SERVER', 'warning', 'mlflow'],
  )

  fake.isFull = false
  const { destinations } = await run.finish()
  const { records, uploads, reason } = destinations.mlflow!
  assert.deepEqual([records.pending, records.rejected, reason], [0, 0, ''])
  assert.deepEqual(uploads.files, { sent: 2, known: 2 })
  assert.deepEqual(
    issues.slice(1).map(({ severity }) => severity),
    ['recovered'],
  )
  const stored = [...fake.artifacts.files.keys()].map((path) => path.replace(/^.*artifacts\//, ''))
  assert.deepEqual(stored.sort(), ['a/file', 'b/file'])
})

test('no room for files when the run ends: finish() says what is pending, and a second life of the run sends it', async (context) => {
  const { fake, dir } = await fullServer(context)
  const given = { dir, backend: { mlflow: { uri: fake.uri } }, runId: 'twice', onIssue: () => {} }
  const run = startLogging(given)
  const file = join(dir, 'file')
  writeFileSync(file, 'content')
  run.log({ loss: 1 }, { step: 0 })
  await run.logArtifact(file, { name: 'a' })
  const since = performance.now()
  const first = (await run.finish('finished', { deadlineMs: 2_000 })).destinations.mlflow!
  assert.ok(performance.now() - since < 3_000)
  assert.deepEqual([first.pending, first.records.pending, first.uploads.files.sent], [0, 1, 0])
  const [remote] = fake.store.runs.values()
  assert.equal(remote!.status, 'FINISHED')

  fake.isFull = false
  const again = startLogging(given)
  const second = (await again.finish()).destinations.mlflow!
  assert.deepEqual([second.records.pending, second.records.rejected, second.reason], [0, 0, ''])
  assert.equal(fake.store.runs.size, 1)
  assert.equal(fake.artifacts.files.size, 1)
})
