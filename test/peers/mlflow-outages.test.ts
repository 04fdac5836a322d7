/** A real MLflow server that fails in every way that a proxy before it can make it, and one whose run is deleted. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Issue, type Run, startLogging } from '../../src/index.ts'
import { FaultProxy, type ProxyFault } from '../faults/fault-proxy.ts'
import { SEED } from '../random.ts'
import { temporaryFolder } from '../run/program.ts'
import { startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { readRuns, type SeenPoint, seenPoint } from './read-mlflow.ts'

const EXPERIMENT = 'outages'
const KEYS = ['loss', 'acc', 'lr']
const STEPS = 2_000
const BEGAN = 1_700_000_000_000
const valueAt = (key: number, step: number) => Math.sin(step) * 2 ** key

const FAULTS: readonly ProxyFault[] = [
  { kind: 'reset' },
  { kind: 'lostAnswer' },
  { kind: 'cutAnswer' },
  { kind: 'shortAnswer' },
  { kind: 'answer', status: 500, body: '<h1>500</h1>' },
  { kind: 'answer', status: 503, headers: { 'retry-after': '0' } },
  { kind: 'answerInstead', status: 502, body: '<title>Bad Gateway</title>' },
  { kind: 'answer', status: 429 },
  { kind: 'answerInstead', status: 200, body: '<html>log in</html>' },
  { kind: 'slow', ms: 300 },
]

function log(run: Run, from: number, to: number): void {
  for (let step = from; step < to; step++) {
    const row = Object.fromEntries(KEYS.map((name, key) => [name, valueAt(key, step)]))
    run.log(row, { step, time: BEGAN + step })
  }
}

function truth(): Record<string, SeenPoint[]> {
  const points = (key: number) =>
    Array.from({ length: STEPS }, (_, step) => seenPoint(step, BEGAN + step, valueAt(key, step)))
  return Object.fromEntries(KEYS.map((name, key) => [name, points(key)]))
}

describe('a real MLflow server behind a proxy that fails', () => {
  it(`holds everything once when the faults are over, and when its run was deleted and restored (seed ${SEED})`, async (test) => {
    const python = await peerPython(test)
    if (python === undefined) return
    const server = await startMlflowServer(python)
    const proxy = await FaultProxy.start(server.uri)
    test.after(async () => {
      await proxy.stop()
      await server.stop()
    })
    const start = () => {
      const issues: Issue[] = []
      const run = startLogging({
        dir: temporaryFolder(test),
        backend: { mlflow: { uri: proxy.uri } },
        expName: EXPERIMENT,
        params: { lr: 0.1, batch: 32 },
        onIssue: (issue) => issues.push(issue),
      })
      return { run, issues, stats: () => run.stats().destinations.mlflow! }
    }
    const until = async (what: string, holds: () => boolean) => {
      const giveUpAt = performance.now() + 90_000
      for (; !holds(); await sleep(50)) assert.ok(performance.now() < giveUpAt, what)
    }

    proxy.storm({ seed: SEED, share: 0.4, faults: FAULTS })
    const stormy = start()
    for (let step = 0; step < STEPS; step += 100) {
      log(stormy.run, step, step + 100)
      await sleep(60)
    }
    stormy.run.logText('note', 'kept through the storm')
    await until('faults', () => {
      if (proxy.faults >= 5) return true
      // the storm may have spared so few requests: it has more to say
      stormy.run.setNotes(`kept through ${proxy.requestCount} requests`)
      return false
    })
    proxy.heal()
    const met = [...proxy.injected]

    const gone = start()
    log(gone.run, 0, STEPS / 2)
    await until('half', () => gone.stats().delivered === (STEPS / 2) * KEYS.length)
    const runId = /runs\/(\w+)$/.exec(gone.stats().url)![1]!
    const call = async (what: 'delete' | 'restore') => {
      const reply = await fetch(`${server.uri}/api/2.0/mlflow/runs/${what}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ run_id: runId }),
      })
      assert.equal(reply.status, 200)
    }
    await call('delete')
    log(gone.run, STEPS / 2, STEPS)
    const told = () => gone.issues.find(({ code }) => code === 'ERR_REMOTE_RUN_GONE')
    await until('told', () => told() !== undefined)
    assert.equal(told()!.severity, 'error')
    assert.match(told()!.message, /mlflow runs restore --run-id/)
    // a busy server's database may refuse for a moment before
    const others = gone.issues.filter(({ code }) => code !== 'ERR_REMOTE_RUN_GONE' && code !== 'ERR_SERVER')
    assert.deepEqual(others, [])
    // its sibling at the same server goes on
    const sibling = await stormy.run.finish('finished', { deadlineMs: 90_000 })
    assert.equal(sibling.destinations.mlflow!.pending + sibling.destinations.mlflow!.records.pending, 0)
    await call('restore')
    await until('all', () => gone.stats().pending === 0)
    const stats = await gone.run.finish('finished', { deadlineMs: 60_000 })
    assert.equal(stats.destinations.mlflow!.pending, 0)
    test.diagnostic(`met ${JSON.stringify(met)}`)

    const runs = [stormy.run.id, gone.run.id]
    const found = await readRuns(python, server.uri, {
      experiment: EXPERIMENT,
      tag: 'tracelet.run_id',
      values: runs,
    })
    assert.equal(found.length, 2, 'one each, whatever became of the answer to its making')
    for (const { status, history } of found) {
      assert.equal(status, 'FINISHED')
      assert.deepEqual(history, truth())
    }
  })
})
