/** A run that is killed, closed, resumed and taken back, as MLflow's client and TensorBoard's readers see it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRun, type StartOptions, startLogging } from '../../src/index.ts'
import { closeDeadRun } from '../../src/pipeline/store/close-dead-run.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { startProgram, temporaryFolder } from '../run/program.ts'
import { startMlflowServer } from './mlflow-server.ts'
import { peerPython, runPeerScript } from './python.ts'
import { pointsOf, readRuns } from './read-mlflow.ts'
import { RunOnServer } from './tensorboard-reading.ts'
import { startTensorBoard } from './tensorboard-server.ts'

interface Scalars {
  readonly runs: Readonly<
    Record<
      string,
      {
        readonly classic: Readonly<Record<string, readonly (readonly [number, number, string])[]>>
        readonly provider: Readonly<Record<string, readonly (readonly [number, number, string])[]>>
        readonly text: Readonly<Record<string, readonly string[]>>
      }
    >
  >
}

test('killed, closed, resumed, taken back twice: one run, and at each step what its backend can show', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const dir = temporaryFolder(context)
  const server = await startMlflowServer(python)
  context.after(() => server.stop())
  const backend = { mlflow: { uri: server.uri }, tensorboard: {} }
  const seen = async () => {
    const runs = await readRuns(python, server.uri, {
      experiment: 'e',
      tag: 'tracelet.run_id',
      values: ['r'],
    })
    assert.equal(runs.length, 1)
    return runs[0]!
  }

  const killed = startProgram(
    dir,
    async ({ startLogging }, { args }) => {
      const run = startLogging({
        ...{ runId: 'r', expName: 'e', params: { lr: 1 } },
        backend: { mlflow: { uri: args[0] }, tensorboard: {} },
      })
      for (let step = 0; step < 10; step++) run.log({ loss: step, once: step }, { step })
      await run.flush()
      process.kill(process.pid, 'SIGKILL')
    },
    [server.uri],
  )
  assert.equal((await killed.ended).signal, 'SIGKILL')
  const folder = openRun('r', { dir }).info.folder
  assert.equal(closeDeadRun(folder), 'closed')
  const sync = () => syncRun(folder, { deadlineMs: 60_000, environment: {} })
  const synced = await sync()
  assert.ok(Object.values(synced.destinations).every(({ complete }) => complete))
  const lastTime = openRun(folder).history('loss').time.at(-1)!
  const dead = await seen()
  assert.deepEqual([dead.status, dead.endTime], ['KILLED', Math.floor(lastTime)])

  const resume = async (options: StartOptions, first: number, count: number, add: number) => {
    const run = startLogging({ dir, ...options })
    assert.deepEqual(Object.keys(run.stats().destinations), ['mlflow', 'tensorboard'])
    for (let step = first; step < first + count; step++) run.log({ loss: step + add }, { step })
    return await run.finish()
  }
  const resumed = await resume({ resume: 'r' }, 10, 5, 0)
  assert.equal(resumed.destinations.mlflow!.delivered, 25)
  const again = await seen()
  assert.deepEqual([again.runId, again.status], [dead.runId, 'FINISHED'])
  assert.ok(again.endTime! > dead.endTime!)

  await resume({ resume: { runId: 'r', fromStep: 12 } }, 12, 8, 100)
  const stats = await resume({ resume: { runId: 'r', fromStep: 5 }, backend }, 5, 4, 200)
  // of steps 12 to 14, and of 5 to 8, MLflow keeps the first values
  const { delivered, filtered, pending, records } = stats.destinations.mlflow!
  assert.deepEqual([delivered, filtered, pending, records.pending], [30, 7, 0, 0])

  const kept = [...Array(15).keys(), ...[15, 16, 17, 18, 19].map((step) => step + 100)]
  const final = await seen()
  const ofLoss = pointsOf(final).filter(({ key }) => key === 'loss')
  assert.deepEqual(
    ofLoss.map(({ step, value }) => [step, value]),
    kept.map((value, step) => [step, value]),
  )
  const marks = Object.entries(final.tags).filter(([key]) => key.startsWith('tracelet.rewind.'))
  assert.deepEqual(marks.map(([, value]) => /^back to step (-?\d+), \d{4}-.*Z$/.exec(value)?.[1]).sort(), [
    '12',
    '5',
  ])

  const left = [0, 1, 2, 3, 4, 205, 206, 207, 208]
  assert.deepEqual([...openRun(folder).history('loss').value], left)
  const scalars = (await runPeerScript(python, 'read_tensorboard.py', [`${dir}/default`])) as Scalars
  const { classic, provider, text } = scalars.runs.r!
  for (const tags of [classic, provider]) {
    const values = tags.loss!.map(([, , bits]) => Buffer.from(bits, 'hex').readFloatBE())
    assert.deepEqual(values, left)
    // a series that was not logged again ends there, too
    assert.deepEqual(
      tags.once!.map(([step]) => step),
      [0, 1, 2, 3, 4],
    )
  }
  assert.match(text['tracelet/rewind']!.at(-1)!, /back to step 5/)

  for (const loader of ['fast', 'slow'] as const) {
    const page = await startTensorBoard(python, `${dir}/default`, loader)
    context.after(() => page.stop())
    const onPage = new RunOnServer(page, 'r')
    await onPage.loaded()
    assert.deepEqual(
      (await onPage.scalars('loss')).map(([, value]) => value),
      left,
      loader,
    )
  }
  assert.ok(Object.values((await sync()).destinations).every(({ complete }) => complete))
})
