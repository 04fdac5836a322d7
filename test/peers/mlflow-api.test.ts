import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { median } from '../../bench/statistics.ts'
import { openRun, startLogging } from '../../src/index.ts'
import { Random, SEED } from '../random.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { readRuns, type SeenPoint, seenPoint } from './read-mlflow.ts'
import { compareServerCost } from './server-cost.ts'
import { busyShare, WatchingProxy } from './watching-proxy.ts'

const STEPS = 1000
const KEYS = Array.from({ length: 100 }, (_, i) => `layer ${i}/norm`)
const EXPERIMENT = 'end to end'

describe('the public API into a real MLflow server', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-mlflow-api-'))
  let server: MlflowServer | undefined
  let proxy: WatchingProxy | undefined

  after(async () => {
    await proxy?.stop()
    await server?.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })

  async function prepare(test: TestContext) {
    const python = await peerPython(test)
    if (python === undefined) return undefined
    server ??= await startMlflowServer(python)
    proxy ??= await WatchingProxy.start(server.port)
    return { python, server, proxy }
  }
  function start(uri: string, more: Parameters<typeof startLogging>[0] = {}) {
    return startLogging({ backend: { mlflow: { uri } }, dir, expName: EXPERIMENT, ...more })
  }

  it(`lands 1,000 steps of 100 metrics bit by bit, none twice (seed ${SEED})`, async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const random = new Random()
    const truth: Record<string, SeenPoint[]> = {}
    for (const key of KEYS) truth[key] = []
    const began = Date.now()
    const parent = start(peers.proxy.uri, { name: 'sweep' })
    const run = start(peers.proxy.uri, {
      name: 'lr=1e-3',
      group: 'night',
      parent: parent.id,
      params: { lr: 1e-3, optimizer: { name: 'sgd', nesterov: true } },
      tags: { dataset: 'Ziffern 漢字' },
    })
    for (let step = 0; step < STEPS; step++) {
      const time = began + step + random.next()
      const row: Record<string, number> = {}
      for (const key of KEYS) {
        const value = random.double()
        row[key] = value
        truth[key]!.push(seenPoint(step, time, value))
      }
      run.log(row, { step, time })
    }
    run.log({ 'at the time of the call': 1 })
    const stats = await run.finish()
    await parent.finish('failed')

    const { delivered, superseded, rejected, filtered, corrupt, pending } = stats.destinations.mlflow!
    assert.deepEqual(
      { delivered, superseded, rejected, filtered, corrupt, pending },
      { delivered: 100_001, superseded: 0, rejected: 0, filtered: 0, corrupt: 0, pending: 0 },
    )
    const [seen, above, ...others] = await readRuns(peers.python, peers.server.uri, {
      experiment: EXPERIMENT,
      tag: 'tracelet.run_id',
      values: [run.id, parent.id],
    })
    assert.equal(others.length, 0)
    const { 'at the time of the call': stamped, ...history } = seen!.history
    assert.deepEqual(history, truth)
    const journaled = openRun(run.id, { dir }).history('at the time of the call')
    assert.deepEqual(stamped, [seenPoint(journaled.step[0]!, journaled.time[0]!, 1)])
    assert.ok(journaled.time[0]! >= began - 1 && journaled.time[0]! <= Date.now())
    assert.deepEqual(seen!.params, { lr: '0.001', 'optimizer.name': 'sgd', 'optimizer.nesterov': 'true' })
    assert.equal(seen!.tags.dataset, 'Ziffern 漢字')
    assert.equal(seen!.tags['mlflow.parentRunId'], above!.runId)
    assert.equal(seen!.name, 'lr=1e-3')
    assert.equal(seen!.status, 'FINISHED')
    assert.equal(above!.status, 'FAILED')
    for (const { startTime, endTime } of [seen!, above!]) {
      assert.ok(startTime >= began && endTime! >= startTime && endTime! <= Date.now())
    }

    const batches = peers.proxy.of(seen!.runId)
    const busy = busyShare(batches)
    const fill = batches.reduce((sum, { points }) => sum + points, 0) / (1000 * batches.length)
    test.diagnostic(
      `a request under way ${(busy * 100).toFixed(1)} % of the time, batches ${(fill * 100).toFixed(1)} % full`,
    )
    assert.ok(busy >= 0.95, `a request was under way ${busy} of the time`)
    assert.ok(fill >= 0.95, `batches were ${fill} full`)
  })

  it('costs the server what full requests in a plain loop cost it', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const { ours, raw } = await compareServerCost(peers.server, peers.server.uri, {
      dir,
      experiment: EXPERIMENT,
      rounds: 4,
      requests: 6,
      connections: [1],
    })
    const plain = raw.get(1)!.cpuUs
    const [our, its] = [median(ours.cpuUs), median(plain)]
    test.diagnostic(`server CPU per point: ${our.toFixed(0)} µs, plain loop ${its.toFixed(0)} µs`)
    // wide: that of single points is 60
    assert.ok(our < 1.5 * its, `µs of CPU a point: ${ours.cpuUs} against ${plain} of a plain loop`)
  })
})
