/** `finish()` keeps to its deadline, and nothing of ours keeps the process alive after it. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { median } from '../../bench/statistics.ts'
import { freePort } from '../peers/mlflow-server.ts'
import { runProgram, temporaryFolder } from '../run/program.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'

const CHILDREN = 10
const DEADLINE_MS = 500
/** What `finish()` may take above its deadline: the last cursors and answers. */
const GRACE_MS = 500

interface Ending {
  readonly finishMs: number
  /** From the end of `finish()` to the end of the process. */
  readonly exitMs: number
  readonly pending: number
}

async function endings(context: TestContext, uri: string, deadlineMs: number): Promise<Ending[]> {
  const found: Ending[] = []
  for (let child = 0; child < CHILDREN; child++) {
    const ended = await runProgram(
      temporaryFolder(context),
      async ({ startLogging }, { args: [uri, deadlineMs] }) => {
        const run = startLogging({ backend: { mlflow: { uri }, tensorboard: {} }, params: { lr: 0.1 } })
        for (let step = 0; step < 2000; step++) run.log({ loss: step / 3, acc: step }, { step })
        const begin = performance.now()
        const stats = await run.finish('finished', { deadlineMs: Number(deadlineMs) })
        const finishMs = performance.now() - begin
        const { pending } = stats.destinations.mlflow!
        console.log(JSON.stringify({ finishMs, at: Date.now(), pending }))
      },
      [uri, String(deadlineMs)],
    )
    const endedAt = Date.now()
    assert.equal(ended.code, 0, ended.stderr)
    const { finishMs, at, pending } = JSON.parse(ended.stdout) as {
      finishMs: number
      at: number
      pending: number
    }
    found.push({ finishMs, exitMs: endedAt - at, pending })
  }
  const figures = (of: (ending: Ending) => number) =>
    `median ${median(found.map(of)).toFixed(0)} ms, longest ${Math.max(...found.map(of)).toFixed(0)}`
  context.diagnostic(
    `finish(): ${figures(({ finishMs }) => finishMs)}; then the process: ${figures(({ exitMs }) => exitMs)}`,
  )
  return found
}

test('the process ends within 1 s after finish() with MLflow and TensorBoard', async (context) => {
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const found = await endings(context, fake.uri, 30_000)
  assert.ok(median(found.map(({ exitMs }) => exitMs)) <= 1000)
  assert.ok(found.every(({ pending }) => pending === 0))
  assert.equal(fake.store.points, CHILDREN * 4000)
})

test('the process ends within 1 s after finish() when MLflow does not answer, which takes no longer than it may', async (context) => {
  const uri = `http://127.0.0.1:${await freePort()}`
  const found = await endings(context, uri, DEADLINE_MS)
  assert.ok(median(found.map(({ exitMs }) => exitMs)) <= 1000)
  assert.ok(median(found.map(({ finishMs }) => finishMs)) <= DEADLINE_MS + GRACE_MS)
  assert.ok(found.every(({ pending }) => pending === 4000))
})

test('the process ends within 1 s after finish() when MLflow takes connections and never answers', async (context) => {
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  for (let child = 0; child < CHILDREN; child++)
    fake.failNext({ kind: 'hang' }, ({ route }) => route === 'experiments/get-by-name')
  const found = await endings(context, fake.uri, DEADLINE_MS)
  assert.ok(median(found.map(({ exitMs }) => exitMs)) <= 1000)
  assert.ok(median(found.map(({ finishMs }) => finishMs)) <= DEADLINE_MS + GRACE_MS)
  assert.ok(found.every(({ pending }) => pending === 4000))
})
