import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { type Run, type Stats, startLogging } from '../../src/index.ts'
import { freePort, startMlflowServer } from '../peers/mlflow-server.ts'
import { peerPython } from '../peers/python.ts'
import { readRuns, type SeenPoint, seenPoint } from '../peers/read-mlflow.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { type PacedResult, paced } from './paced-loop.ts'

const KEYS = Array.from({ length: 10 }, (_, i) => `train/metric ${i}`)
const isLong = process.env.TRACELET_TEST_LONG === '1'
const MIB = 2 ** 20
/** rss may grow by this much, and in the second half of an outage by a fifth of it. */
const MAX_GROWTH_BYTES = 250 * MIB
const EXPERIMENT = 'outage'

/** What is logged: a function of row and key, so that nobody has to remember it. */
const valueAt = (row: number, key: number) => Math.sin(row) * 2 ** (key - 5)
const timeAt = (began: number, row: number) => began + row / 8

describe('MLflow is down from the start', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-outage-'))
  after(() => rmSync(dir, { recursive: true, force: true, maxRetries: 3 }))

  function start(uri: string): Run {
    return startLogging({ backend: { mlflow: { uri }, tensorboard: {} }, dir, expName: EXPERIMENT })
  }

  it('holds up neither the loop nor TensorBoard at 100,000 points/s, and gets everything once when it is up', async (test) => {
    const fake = await FakeMlflow.start()
    test.after(() => fake.stop())
    await fake.stop()
    const outage = loop(start(fake.uri), 10_000, 10_000)
    test.diagnostic(outage.text)
    outage.check()
    await tensorboardIsComplete(outage.run, outage.points)

    await fake.listen()
    const stats = await outage.run.finish('finished', { deadlineMs: 90_000 })
    assertAllDelivered(stats, outage.points)
    const [stored, ...others] = fake.store.runs.values()
    assert.equal(others.length, 0)
    assert.equal(stored!.status, 'FINISHED')
    assert.equal(fake.store.points, outage.points)
    assert.equal(fake.store.silentLosses, 0)
    const rows = outage.points / KEYS.length
    for (const [key, name] of KEYS.entries()) {
      const history = stored!.metrics.get(name)!
      assert.equal(history.step.length, rows)
      const seen = new Set<number>()
      for (let i = 0; i < rows; i++) {
        const row = history.step[i]!
        seen.add(row)
        if (
          history.value[i] === valueAt(row, key) &&
          history.timestamp[i] === Math.floor(timeAt(outage.began, row))
        )
          continue
        assert.fail(`${name} at ${row}: ${history.value[i]} at ${history.timestamp[i]}`)
      }
      assert.equal(seen.size, rows)
    }
  })

  it(`gets ${isLong ? 60 : 8} s at 3,000 points/s once when the real server is up`, async (test) => {
    const python = await peerPython(test)
    if (python === undefined) return
    const port = await freePort()
    const outage = loop(start(`http://127.0.0.1:${port}`), 300, isLong ? 60_000 : 8_000)
    test.diagnostic(outage.text)
    outage.check()
    await tensorboardIsComplete(outage.run, outage.points)

    const server = await startMlflowServer(python, { port })
    test.after(() => server.stop())
    const stats = await outage.run.finish('finished', { deadlineMs: 180_000 })
    assertAllDelivered(stats, outage.points)
    const [seen, ...others] = await readRuns(python, server.uri, {
      experiment: EXPERIMENT,
      tag: 'tracelet.run_id',
      values: [outage.run.id],
    })
    assert.equal(others.length, 0)
    assert.equal(seen!.status, 'FINISHED')
    const truth: Record<string, SeenPoint[]> = {}
    for (const [key, name] of KEYS.entries()) {
      truth[name] = Array.from({ length: outage.points / KEYS.length }, (_, row) =>
        seenPoint(row, timeAt(outage.began, row), valueAt(row, key)),
      )
    }
    assert.deepEqual(seen!.history, truth)
  })
})

/** Logs rows of 10 keys while nothing listens, after the same loop without logging. */
function loop(run: Run, rowsPerSecond: number, durationMs: number) {
  const began = Date.now()
  const rowOf = (row: number) => {
    const values: Record<string, number> = {}
    for (let key = 0; key < KEYS.length; key++) values[KEYS[key]!] = valueAt(row, key)
    return values
  }
  let checksum = 0
  const control = paced(rowsPerSecond, durationMs, (row) => {
    checksum += rowOf(row)[KEYS[0]!]!
  })
  assert.ok(Number.isFinite(checksum))
  const before = process.memoryUsage.rss()
  const memory: { readonly at: number; readonly grown: number }[] = []
  const lags: number[] = []
  const logging = paced(
    rowsPerSecond,
    durationMs,
    (row) => run.log(rowOf(row), { step: row, time: timeAt(began, row) }),
    (at) => {
      if (at < (memory.length + 1) * 100) return
      memory.push({ at, grown: process.memoryUsage.rss() - before })
      lags.push(run.stats().destinations.tensorboard!.pending)
    },
  )
  const points = logging.calls * KEYS.length
  const most = Math.max(...memory.map(({ grown }) => grown))
  const later = memory.filter(({ at }) => at > durationMs / 2)
  const creep =
    Math.max(...later.slice(later.length >> 1).map(({ grown }) => grown)) -
    Math.max(...later.slice(0, later.length >> 1).map(({ grown }) => grown))
  const lag = Math.max(...lags)
  const text =
    `${points} points; calls above 10 ms: ${shown(logging)}, in the control loop ${shown(control)}; ` +
    `memory grew by at most ${mib(most)}, late by ${mib(creep)}; TensorBoard at most ${lag} points behind`
  const check = () => {
    const { accepted, lost, refused, destinations } = run.stats()
    assert.deepEqual(
      { accepted, lost, refused },
      { accepted: points, lost: { laneFull: 0, disk: 0 }, refused: 0 },
    )
    assert.equal(destinations.mlflow!.delivered, 0)
    assert.ok(logging.slowAtMs.length <= control.slowAtMs.length + 1, text)
    assert.ok(most < MAX_GROWTH_BYTES && creep < MAX_GROWTH_BYTES / 5, text)
    // it keeps up: what it has to write is never more than two seconds old
    assert.ok(lag <= 2 * rowsPerSecond * KEYS.length, text)
  }
  return { run, began, points, text, check }
}

function shown({ slowAtMs, longestMs }: PacedResult): string {
  const when = slowAtMs.map((at) => `, at ${at.toFixed(0)} ms`).join('')
  return `${slowAtMs.length} (longest ${longestMs.toFixed(1)} ms${when})`
}
function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(0)} MiB`
}

/** While MLflow has nothing. */
async function tensorboardIsComplete(run: Run, points: number): Promise<void> {
  await run.flush()
  const giveUpAt = performance.now() + 10_000
  while (run.stats().destinations.tensorboard!.delivered < points) {
    assert.ok(performance.now() < giveUpAt, JSON.stringify(run.stats()))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { mlflow, tensorboard } = run.stats().destinations
  assert.equal(tensorboard!.pending, 0)
  assert.equal(mlflow!.delivered, 0)
  assert.equal(mlflow!.state, 'retrying')
}

function assertAllDelivered(stats: Stats, points: number): void {
  for (const name of ['mlflow', 'tensorboard']) {
    const { delivered, superseded, filtered, rejected, corrupt, pending } = stats.destinations[name]!
    assert.deepEqual(
      { delivered, superseded, filtered, rejected, corrupt, pending },
      { delivered: points, superseded: 0, filtered: 0, rejected: 0, corrupt: 0, pending: 0 },
      name,
    )
  }
}
