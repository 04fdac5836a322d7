import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { resolveOptions } from '../../src/core/options.ts'
import type { RunInfo, Sink } from '../../src/core/types.ts'
import { keyOf } from '../../src/sinks/mlflow/keys.ts'
import { mlflow } from '../../src/sinks/mlflow/sink.ts'
import { Random, SEED } from '../random.ts'
import { batchOf, runInfo, type TestPoint } from '../sinks/mlflow/points.ts'
import { CuttingProxy } from './cutting-proxy.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython, runPeerScript } from './python.ts'
import { bitsOf, readRuns } from './read-mlflow.ts'

const signal = new AbortController().signal

describe('a real MLflow server, read back by its own client', () => {
  let server: MlflowServer | undefined
  const open: Sink[] = []
  const notices: string[] = []

  after(async () => {
    for (const sink of open) await sink.close()
    await server?.stop()
  })

  /** The server of these tests, started by the first that needs it; undefined when there is no Python. */
  async function prepare(test: TestContext): Promise<{ python: string; server: MlflowServer } | undefined> {
    const python = await peerPython(test)
    if (python === undefined) return undefined
    server ??= await startMlflowServer(python)
    return { python, server }
  }
  function sinkOf(run: RunInfo, given: Readonly<Record<string, unknown>>): Sink {
    const options = mlflow.prepare!(resolveOptions(mlflow.options, given, {}, 'test'))
    const sink = mlflow.create({ run, options, notice: (_code, text) => notices.push(text) })
    open.push(sink)
    return sink
  }
  async function opened(run: RunInfo, given: Readonly<Record<string, unknown>>): Promise<Sink> {
    const sink = sinkOf(run, given)
    const result = await sink.open(undefined, signal)
    assert.equal(result.status, 'ready', JSON.stringify(result))
    return sink
  }
  async function seen(
    python: string,
    uri: string,
    env: Readonly<Record<string, string>>,
    ...runs: RunInfo[]
  ) {
    const values = runs.map(({ nonce }) => nonce)
    const found = await readRuns(python, uri, { experiment: 'resnet', tag: 'tracelet.nonce', values, env })
    assert.equal(found.length, runs.length)
    return found
  }

  it(`holds 100 steps of 100 metrics bit by bit, none twice (seed ${SEED})`, async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const random = new Random()
    const run = runInfo()
    const sink = await opened(run, { uri: peers.server.uri })
    const points: TestPoint[] = []
    for (let step = 0; step < 100; step++) {
      for (let i = 0; i < 100; i++) {
        points.push({ name: `layer ${i}/norm`, step, time: run.createdAt + step, value: random.double() })
      }
    }
    let next = 0
    const sendAll = async () => {
      while (next < points.length) {
        const from = next
        next += 1000
        const result = await sink.write(batchOf(points.slice(from, from + 1000), from), signal)
        assert.deepEqual(result, { status: 'accepted', superseded: 0 })
      }
    }
    await Promise.all([sendAll(), sendAll()])
    // What was stored already and comes again is not stored twice.
    const again = batchOf(points.slice(9_000), 9_000)
    assert.equal((await sink.write(again, signal)).status, 'accepted')
    const [found] = await seen(peers.python, peers.server.uri, {}, run)
    const expected: Record<string, unknown[]> = {}
    for (const { name, step, time, value } of points) {
      expected[name] ??= []
      expected[name].push([step, time, bitsOf(value + 0)])
    }
    assert.deepEqual(found!.history, expected)
  })

  it('holds run, nesting, params, tags and outcome as they were told', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const { uri } = peers.server
    const parent = runInfo({ name: 'Eltern 漢字', group: 'sweep' })
    const child = runInfo({ parent: parent.id })
    const sink = await opened(parent, { uri })
    const below = await opened(child, { uri })
    const many = Object.fromEntries(Array.from({ length: 240 }, (_, i) => [`layer.${i}`, i]))
    const params = {
      ...many,
      lr: 1e-3,
      on: true,
      none: null,
      empty: '',
      'a@b': 'ü😀',
      nul: 'a\0b\ud800',
      long: '漢'.repeat(9000),
    }
    for (let i = 0; i < 2; i++) {
      assert.deepEqual(await sink.writeRecord({ kind: 'params', params }, 0, signal), { status: 'accepted' })
    }
    const changed = await sink.writeRecord(
      { kind: 'params', params: { first: 1, lr: 2, last: 'x' } },
      0,
      signal,
    )
    assert.ok(changed.status === 'partial')
    assert.deepEqual(
      changed.rejected.map(({ index, code }) => [index, code]),
      [[1, 'ERR_PARAM_CONFLICT']],
    )
    const tags = { team: 'blue', empty: '', 'odd@': '"\\\n', long: 'é'.repeat(9000) }
    assert.deepEqual(await sink.writeRecord({ kind: 'tags', tags }, 0, signal), { status: 'accepted' })
    await sink.writeRecord({ kind: 'state', state: 'finished', time: 1795420528867.5 }, 0, signal)
    await below.writeRecord({ kind: 'state', state: 'killed', time: 1795420528868 }, 0, signal)
    await sink.writeRecord({ kind: 'state', state: 'running', time: 1795420529000 }, 0, signal)
    const [first, second] = await seen(peers.python, uri, {}, parent, child)
    assert.deepEqual(
      [first!.name, first!.status, first!.startTime],
      ['Eltern 漢字', 'RUNNING', parent.createdAt],
    )
    assert.deepEqual([second!.status, second!.endTime], ['KILLED', 1795420528868])
    assert.equal(second!.tags['mlflow.parentRunId'], first!.runId)
    const texts = Object.fromEntries(
      Object.entries({ ...params, first: 1, last: 'x' }).map(([key, value]) => [
        keyOf(key).key,
        String(value),
      ]),
    )
    assert.deepEqual(first!.params, { ...texts, nul: 'a\uFFFDb\uFFFD', long: '漢'.repeat(6000) })
    const { tags: held } = first!
    assert.deepEqual(
      ['team', 'empty', keyOf('odd@').key, 'tracelet.group', 'tracelet.run_id', 'mlflow.runName'].map(
        (tag) => held[tag],
      ),
      ['blue', '', '"\\\n', 'sweep', parent.id, 'Eltern 漢字'],
    )
    assert.equal(held.long, 'é'.repeat(8000))
    assert.equal(held[`tracelet.key.${keyOf('a@b').hash}`], '["a@b",""]')
  })

  it('holds odd numbers, steps and names as documented', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const { uri } = peers.server
    const run = runInfo()
    const sink = await opened(run, { uri })
    const max = Number.MAX_VALUE
    const values = [
      Number.NaN,
      Infinity,
      -Infinity,
      -0,
      5e-324,
      -max,
      0.1 + 0.2,
      2 ** 70,
      123456789012345680000,
    ]
    const steps = [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 7, 3]
    const names = [
      '損失/訓練',
      'a b:c',
      'x'.repeat(250),
      'x'.repeat(300),
      '__proto__',
      'a@b',
      '//',
      '..',
      'हिन्दी',
      '😀',
      'q"\\\n',
    ]
    const time = 1795420526942
    const points: TestPoint[] = [
      ...values.map((value, step) => ({ name: 'values', step, time, value })),
      ...steps.map((step, i) => ({ name: 'steps', step, time: time + i, value: 1 })),
      ...names.map((name) => ({ name, context: 'val', step: 1, time, value: 0.5 })),
      ...names.map((name) => ({ name, step: 1, time, value: 0.25 })),
    ]
    assert.deepEqual(await sink.write(batchOf(points), signal), { status: 'accepted', superseded: 0 })
    const bad = [{ step: 0.5 }, { step: 2 ** 53 }, { time: -1 }].map((fault) => ({
      name: 'bad',
      step: 1,
      time,
      value: 1,
      ...fault,
    }))
    const good = { name: 'bad', step: 2, time, value: 9 }
    const result = await sink.write(batchOf([...bad, good]), signal)
    assert.ok(result.status === 'partial')
    assert.deepEqual(
      result.rejected.map(({ index }) => index),
      [0, 1, 2],
    )
    const [found] = await seen(peers.python, uri, {}, run)
    const { history } = found!
    const stored = [Number.NaN, max, -max, 0, 5e-324, -max, 0.1 + 0.2, 2 ** 70, 123456789012345680000]
    assert.deepEqual(
      history.values,
      stored.map((value, step) => [step, time, bitsOf(value)]),
    )
    assert.deepEqual(
      history.steps,
      steps.map((step, i) => [step, time + i, bitsOf(1)]),
    )
    assert.deepEqual(history.bad, [[2, time, bitsOf(9)]])
    for (const name of names) {
      assert.deepEqual(history[keyOf(name).key], [[1, time, bitsOf(0.25)]], name)
      assert.deepEqual(history[keyOf(name, 'val').key], [[1, time, bitsOf(0.5)]], name)
    }
    assert.equal(Object.keys(history).length, 3 + 2 * names.length)
  })

  it('has one run and each point once when answers are lost', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const proxy = await CuttingProxy.start(peers.server.port)
    try {
      const run = runInfo()
      const sink = sinkOf(run, { uri: proxy.uri })
      for (const route of ['experiments/create', 'runs/create']) proxy.loseNext(`/${route} HTTP`)
      const results: string[] = []
      do results.push((await sink.open(undefined, signal)).status)
      while (results.at(-1) === 'retry' && results.length < 5)
      assert.equal(results.at(-1), 'ready')
      const batch = batchOf(
        Array.from({ length: 500 }, (_, step) => ({
          name: 'loss',
          step,
          time: 1000 + step,
          value: step / 3,
        })),
      )
      proxy.loseNext('/runs/log-batch HTTP')
      assert.equal((await sink.write(batch, signal)).status, 'retry')
      assert.equal(await sink.stored!(batch, signal), true)
      assert.equal((await sink.write(batch, signal)).status, 'accepted')
      assert.ok(proxy.lost >= 2)
      const [found] = await seen(peers.python, peers.server.uri, {}, run)
      assert.equal(found!.history.loss!.length, 500)
    } finally {
      await proxy.stop()
    }
  })

  it('is told when the run is deleted', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const run = runInfo()
    const sink = await opened(run, { uri: peers.server.uri })
    const [found] = await seen(peers.python, peers.server.uri, {}, run)
    await fetch(`${peers.server.uri}/api/2.0/mlflow/runs/delete`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ run_id: found!.runId }),
    })
    const answers = [
      await sink.write(batchOf([{ name: 'a', step: 1, time: 1, value: 1 }]), signal),
      await sink.writeRecord({ kind: 'params', params: { a: 1 } }, 0, signal),
      await sink.writeRecord({ kind: 'state', state: 'finished', time: 1 }, 0, signal),
      await sinkOf(run, { uri: peers.server.uri }).open({ runId: found!.runId }, signal),
      await sinkOf(run, { uri: peers.server.uri }).open(undefined, signal),
    ]
    for (const answer of answers) {
      assert.ok(answer.status === 'blocked' && answer.code === 'ERR_REMOTE_RUN_GONE', JSON.stringify(answer))
    }
  })

  it('is spoken to over TLS with a certificate of its own', async (test) => {
    const python = await peerPython(test)
    if (python === undefined) return
    const folder = mkdtempSync(join(tmpdir(), 'tracelet-tls-'))
    const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') }
    let secure: MlflowServer | undefined
    try {
      await runPeerScript(python, 'make_certificate.py', [tls.certFile, tls.keyFile])
      secure = await startMlflowServer(python, { tls })
      const { uri } = secure
      const refused = await sinkOf(runInfo(), { uri }).open(undefined, signal)
      assert.ok(refused.status === 'blocked' && /not trusted/.test(refused.reason), JSON.stringify(refused))
      const run = runInfo()
      const sink = await opened(run, { uri, caFile: tls.certFile })
      await sink.write(batchOf([{ name: 'a', step: 1, time: 1, value: 0.5 }]), signal)
      await opened(runInfo(), { uri, insecureTls: true })
      const [found] = await seen(python, uri, { MLFLOW_TRACKING_SERVER_CERT_PATH: tls.certFile }, run)
      assert.deepEqual(found!.history, { a: [[1, 1, bitsOf(0.5)]] })
    } finally {
      await secure?.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
