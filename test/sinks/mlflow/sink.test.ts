import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import type { RunInfo, Sink } from '../../../src/core/types.ts'
import { keyOf } from '../../../src/sinks/mlflow/keys.ts'
import { mlflow } from '../../../src/sinks/mlflow/sink.ts'
import { FakeMlflow, type FakeOptions, type FakeRequest } from './fake-server.ts'
import type { FakeRun } from './fake-store.ts'
import { batchOf, runInfo } from './points.ts'

const signal = new AbortController().signal
const on = (route: string) => (request: FakeRequest) => request.route === route
const points = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => ({
    name: 'loss',
    step: from + i,
    time: 1000 + from + i,
    value: (from + i) / 7,
  }))

describe('the MLflow sink', () => {
  let fake: FakeMlflow
  let sinks: Sink[] = []
  let notices: string[] = []

  beforeEach(async () => {
    fake = await FakeMlflow.start()
    notices = []
  })
  afterEach(async () => {
    for (const sink of sinks) await sink.close()
    sinks = []
    await fake.stop()
    assert.equal(fake.store.silentLosses + fake.store.oversize + fake.oversizeBodies, 0)
  })

  function sinkOf(run: RunInfo, more: Readonly<Record<string, unknown>> = {}): Sink {
    const options = mlflow.prepare!(resolveOptions(mlflow.options, { uri: fake.uri, ...more }, {}, 'test'))
    const sink = mlflow.create({ run, options, notice: (code, text) => notices.push(`${code} ${text}`) })
    sinks.push(sink)
    return sink
  }
  async function opened(run = runInfo()): Promise<Sink> {
    const sink = sinkOf(run)
    const { status } = await sink.open(undefined, signal)
    assert.equal(status, 'ready')
    return sink
  }
  async function restart(options: FakeOptions): Promise<void> {
    await fake.stop()
    fake = await FakeMlflow.start(options)
  }
  const only = (): FakeRun => {
    assert.equal(fake.store.runs.size, 1)
    return [...fake.store.runs.values()][0]!
  }

  describe('open', () => {
    it('creates experiment and run once, tells where to look, and finds them again', async () => {
      const run = runInfo({ group: 'sweep', name: 'lr=1e-3' })
      const first = await sinkOf(run).open(undefined, signal)
      const { runId, experimentId, name, tags, startTime } = only()
      const state = { runId, experimentId }
      const url = `${fake.uri}/#/experiments/${experimentId}/runs/${runId}`
      assert.deepEqual(first, { status: 'ready', state, url })
      assert.deepEqual([name, startTime], ['lr=1e-3', run.createdAt])
      assert.deepEqual(
        ['tracelet.run_id', 'tracelet.group', 'tracelet.project', 'mlflow.source.type'].map((tag) =>
          tags.get(tag),
        ),
        [run.id, 'sweep', 'vision', 'LOCAL'],
      )
      assert.deepEqual(await sinkOf(run).open(undefined, signal), first)
      assert.deepEqual(await sinkOf(run).open(state, signal), first)
      assert.equal(fake.requests.get('runs/create'), 1)
    })

    it('creates one run even when the answer to the create is lost', async () => {
      for (const kind of ['lostAnswer', 'cut'] as const) fake.failNext({ kind }, on('runs/create'))
      const sink = sinkOf(runInfo())
      assert.equal((await sink.open(undefined, signal)).status, 'retry')
      assert.equal((await sink.open(undefined, signal)).status, 'ready')
      only()
    })

    it('keeps one of two runs when a create that was given up is carried out late', async () => {
      const run = runInfo()
      const sink = sinkOf(run)
      fake.failNext({ kind: 'cut' }, on('runs/create'))
      assert.equal((await sink.open(undefined, signal)).status, 'retry')
      // The late one comes between the second look and the second create.
      let late = ''
      fake.failNext({ kind: 'cut' }, ({ route, body }) => {
        if (route === 'runs/create' && late === '') {
          const tags = body.tags as { key: string; value: string }[]
          late = fake.store.createRun(body.experiment_id, 'late', 0, tags).runId
        }
        return false
      })
      const result = await sink.open(undefined, signal)
      assert.ok(result.status === 'ready')
      const active = [...fake.store.runs.values()].filter(({ stage }) => stage === 'active')
      assert.deepEqual([fake.store.runs.size, active.length], [2, 1])
      assert.equal(result.state?.runId, active[0]!.runId)
      assert.deepEqual(await sinkOf(run).open(undefined, signal), result)
    })

    it('joins an experiment that another run makes at the same moment', async () => {
      fake.failNext({ kind: 'cut' }, ({ route, body }) => {
        if (route === 'experiments/create' && fake.store.experiments.size === 0)
          fake.store.createExperiment(body.name)
        return false
      })
      assert.equal((await sinkOf(runInfo()).open(undefined, signal)).status, 'ready')
      assert.equal(fake.store.experiments.size, 1)
    })

    it('says what to do about a deleted experiment or run', async () => {
      const run = runInfo()
      await opened(run)
      const remote = only()
      remote.stage = 'deleted'
      for (const state of [undefined, { runId: remote.runId }, { runId: 'f'.repeat(32) }]) {
        const result = await sinkOf(run).open(state, signal)
        assert.ok(result.status === 'blocked' && result.scope === 'run')
        assert.equal(result.code, 'ERR_REMOTE_RUN_GONE')
        assert.match(result.reason, /mlflow runs restore --run-id/)
      }
      fake.store.experiments.get('resnet')!.stage = 'deleted'
      const result = await sinkOf(run).open(undefined, signal)
      assert.ok(result.status === 'blocked' && /mlflow experiments restore -x 1/.test(result.reason))
    })

    it('nests a run below its parent, also when the parent comes later', async () => {
      const parent = runInfo()
      const early = await opened(runInfo({ parent: parent.id }))
      await opened(parent)
      const late = await opened(runInfo({ parent: parent.id }))
      const [earlyRun, parentRun, lateRun] = [...fake.store.runs.values()]
      assert.equal(lateRun!.tags.get('mlflow.parentRunId'), parentRun!.runId)
      assert.equal(earlyRun!.tags.get('mlflow.parentRunId'), undefined)
      for (const sink of [early, late])
        await sink.writeRecord({ kind: 'state', state: 'finished', time: 1 }, 0, signal)
      assert.equal(earlyRun!.tags.get('mlflow.parentRunId'), parentRun!.runId)
      const orphan = await opened(runInfo({ parent: `no'body"` }))
      await orphan.writeRecord({ kind: 'state', state: 'finished', time: 1 }, 0, signal)
      assert.deepEqual(notices, [
        `ERR_MAPPED MLflow has no run 'no'body"' in this experiment: the run is not shown below it`,
      ])
    })

    it('shows the way when the server is there but does not want us', async () => {
      const blocked = async (sink: Sink) => {
        const result = await sink.open(undefined, signal)
        assert.ok(result.status === 'blocked' && result.scope === 'account', result.status)
        return `${result.code} ${result.reason}`
      }
      const body = 'Invalid Host header - possible DNS rebinding attack detected'
      fake.failNext({ kind: 'answer', status: 403, body }, on('experiments/get-by-name'))
      assert.match(await blocked(sinkOf(runInfo())), /^ERR_AUTH .*--allowed-hosts '127.0.0.1:\d+'$/)
      assert.match(
        await blocked(sinkOf(runInfo(), { uri: `${fake.uri}/wrong` })),
        /^ERR_SERVER no MLflow API at .*\/wrong/,
      )
      assert.match(await blocked(sinkOf(runInfo(), { caFile: '/nowhere' })), /^ERR_OPTION .*'\/nowhere'/)
      await restart({ basicAuth: 'ann:secret-one' })
      assert.match(await blocked(sinkOf(runInfo(), { username: 'ann', password: 'secret-two' })), /^ERR_AUTH/)
    })

    it('signs in with credentials from options or from within the address', async () => {
      await restart({ basicAuth: 'ann:p@ss' })
      const inAddress = fake.uri.replace('//', '//ann:p%40ss@')
      for (const given of [{ username: 'ann', password: 'p@ss' }, { uri: inAddress }]) {
        assert.equal((await sinkOf(runInfo(), given).open(undefined, signal)).status, 'ready')
      }
    })

    it('is answered when the server is down, and works once it is up', async () => {
      const sink = sinkOf(runInfo())
      await fake.stop()
      const result = await sink.open(undefined, signal)
      assert.ok(result.status === 'retry' && /ECONNREFUSED/.test(result.reason))
      await fake.listen()
      assert.equal((await sink.open(undefined, signal)).status, 'ready')
    })
  })

  describe('points', () => {
    it('stores each once, whatever is sent again', async () => {
      const sink = await opened()
      const batch = batchOf(points(1000))
      for (let i = 0; i < 3; i++) assert.equal((await sink.write(batch, signal)).status, 'accepted')
      await sink.write(batchOf(points(1000, 500), 500), signal)
      assert.equal(fake.store.points, 1500)
    })

    it('rejects by index what MLflow cannot hold, and stores the rest', async () => {
      const sink = await opened()
      const mixed = points(5).map((point, i) =>
        i === 2 ? { ...point, step: 0.5 } : i === 4 ? { ...point, time: -1 } : point,
      )
      const result = await sink.write(batchOf(mixed), signal)
      assert.ok(result.status === 'partial')
      assert.deepEqual(
        result.rejected.map(({ index }) => index),
        [2, 4],
      )
      assert.equal(fake.store.points, 3)
      const nothing = await sink.write(batchOf([{ name: 'loss', step: 0.5, time: 1, value: 1 }]), signal)
      assert.equal(nothing.status, 'partial')
      assert.equal((await sink.write(batchOf([]), signal)).status, 'accepted')
    })

    it('remembers in tags what a mapped key stands for, and says so once', async () => {
      const sink = await opened()
      const names = Array.from({ length: 150 }, (_, i) => `a@${i}`)
      const batch = batchOf(names.map((name, step) => ({ name, context: 'val', step, time: 1, value: step })))
      for (let i = 0; i < 2; i++) assert.equal((await sink.write(batch, signal)).status, 'accepted')
      const { tags, metrics } = only()
      for (const name of names) {
        const { key, hash } = keyOf(name, 'val')
        assert.equal(tags.get(`tracelet.key.${hash}`), JSON.stringify([name, 'val']))
        assert.equal(metrics.get(key)?.value.length, 1)
      }
      assert.deepEqual([fake.requests.get('runs/log-batch'), notices.length], [4, 1])
    })

    it('stores what a double can be, and says what MLflow changes', async () => {
      const sink = await opened()
      const values = [Number.NaN, Infinity, -Infinity, -0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]
      const batch = batchOf(values.map((value, step) => ({ name: 'x', step, time: 1, value })))
      assert.equal((await sink.write(batch, signal)).status, 'accepted')
      const max = Number.MAX_VALUE
      assert.deepEqual(only().metrics.get('x')!.value, [Number.NaN, max, -max, 0, 5e-324, max, 0.1 + 0.2])
      assert.deepEqual(notices, [
        "ERR_MAPPED MLflow stores ±Infinity as ±1.7976931348623157e308 (first in 'x')",
      ])
    })

    it('knows after a lost answer whether the batch is there', async () => {
      const sink = await opened()
      const batch = batchOf([...points(8), { name: 'x', step: 9, time: 9, value: Number.NaN }])
      const write = on('runs/log-batch')
      assert.equal(await sink.stored!(batch, signal), false)
      fake.failNext({ kind: 'cut' }, write)
      assert.equal((await sink.write(batch, signal)).status, 'retry')
      assert.equal(await sink.stored!(batch, signal), false)
      fake.failNext({ kind: 'lostAnswer' }, write)
      assert.equal((await sink.write(batch, signal)).status, 'retry')
      // Another batch from the same place on is not known to be stored as a whole, even where its ends are.
      await sink.write(batchOf(points(7, 20), 20), signal)
      const gap = batchOf([...points(6), ...points(1, 10), ...points(7, 20)])
      assert.equal(await sink.stored!(gap, signal), false)
      assert.equal(await sink.stored!(batch, signal), true)
      const partly = batchOf(
        [...points(1, 50), { name: 'x', step: 0.5, time: 9, value: 1 }, ...points(2, 51)],
        50,
      )
      fake.failNext({ kind: 'lostAnswer' }, write)
      assert.equal((await sink.write(partly, signal)).status, 'retry')
      assert.equal(await sink.stored!(partly, signal), false)
    })

    it('asks for a split when the server refuses, and blocks when the run is deleted meanwhile', async () => {
      await restart({ refuseKey: /^odd$/ })
      const sink = await opened()
      const batch = batchOf([...points(2), { name: 'odd', step: 1, time: 1, value: 1 }])
      assert.equal((await sink.write(batch, signal)).status, 'split')
      fake.failNext({ kind: 'answer', status: 413, body: '' }, on('runs/log-batch'))
      assert.equal((await sink.write(batch, signal)).status, 'split')
      only().stage = 'deleted'
      const result = await sink.write(batch, signal)
      assert.ok(
        result.status === 'blocked' && result.scope === 'run' && result.code === 'ERR_REMOTE_RUN_GONE',
      )
    })
  })

  describe('records', () => {
    it('sends params as texts, 100 at a time, the same again without harm', async () => {
      const sink = await opened()
      const many = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`p${i}`, i]))
      const params = { ...many, lr: 1e-3, on: true, none: null, empty: '', 'a@b': 'x', __proto: 'y' }
      for (let i = 0; i < 2; i++) {
        assert.deepEqual(await sink.writeRecord({ kind: 'params', params }, 1, signal), {
          status: 'accepted',
        })
      }
      const held = only().params
      assert.deepEqual(
        ['p249', 'lr', 'on', 'none', 'empty', keyOf('a@b').key].map((key) => held.get(key)),
        ['249', '0.001', 'true', 'null', '', 'x'],
      )
      assert.equal(held.size, 256)
    })

    it('lets a changed param cost itself only', async () => {
      const sink = await opened()
      await sink.writeRecord({ kind: 'params', params: { lr: 0.1, depth: 3 } }, 1, signal)
      const many = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`p${i}`, i]))
      const params = { a: 1, lr: 0.2, ...many, depth: 3, width: 5 }
      const reason = "MLflow holds '0.1' for the parameter 'lr' and never changes one"
      assert.deepEqual(await sink.writeRecord({ kind: 'params', params }, 2, signal), {
        status: 'partial',
        rejected: [{ index: 1, code: 'ERR_PARAM_CONFLICT', reason }],
      })
      assert.equal(only().params.size, 154)
    })

    it('does not take a fault of the database for a bad item', async () => {
      const sink = await opened()
      const answer = async (message: string) => {
        const body = JSON.stringify({ error_code: 'BAD_REQUEST', message })
        fake.failNext({ kind: 'answer', status: 400, body }, on('runs/log-batch'))
        return (await sink.write(batchOf(points(2)), signal)).status
      }
      assert.equal(await answer('QueuePool limit of size 5 overflow 10 reached'), 'retry')
      assert.equal(await answer('(pymysql.err.DataError) (1366, "Incorrect string value")'), 'split')
    })

    it('finds the one param or tag that the server refuses', async () => {
      await restart({ refuseKey: /^odd/ })
      const sink = await opened()
      const values = { a: '1', odd1: '2', b: '3', odd2: '4', c: '5' }
      for (const record of [
        { kind: 'params', params: values } as const,
        { kind: 'tags', tags: values } as const,
      ]) {
        const result = await sink.writeRecord(record, 1, signal)
        assert.ok(result.status === 'partial')
        assert.deepEqual(
          result.rejected.map(({ index, code }) => [index, code]),
          [
            [1, 'ERR_REFUSED'],
            [3, 'ERR_REFUSED'],
          ],
        )
      }
      assert.deepEqual([...only().params.keys()], ['a', 'b', 'c'])
      assert.equal(only().tags.get('c'), '5')
    })

    it('cuts texts that MLflow would cut in silence, and says so', async () => {
      const sink = await opened()
      const text = 'ü'.repeat(9000)
      await sink.writeRecord({ kind: 'params', params: { text } }, 1, signal)
      await sink.writeRecord({ kind: 'tags', tags: { text, 'odd@': 'a\0\ud800' } }, 2, signal)
      assert.equal(only().params.get('text'), text.slice(0, 6000))
      assert.equal(only().tags.get('text'), text.slice(0, 8000))
      assert.match(
        notices.join('\n'),
        /6000 characters of the parameter 'text'[\s\S]*8000 characters of the tag 'text'/,
      )
    })

    it('tells how the run ended, and that it runs again', async () => {
      const sink = await opened()
      const told = async (state: 'running' | 'finished' | 'failed' | 'killed') => {
        await sink.writeRecord({ kind: 'state', state, time: 5.5 }, 1, signal)
        return [only().status, only().endTime]
      }
      assert.deepEqual(await told('running'), ['RUNNING', undefined])
      assert.deepEqual(await told('failed'), ['FAILED', 5])
      assert.deepEqual(await told('killed'), ['KILLED', 5])
      assert.deepEqual(await told('running'), ['RUNNING', 5])
      assert.deepEqual(await told('finished'), ['FINISHED', 5])
    })

    it('answers every fault of the server, whichever call meets it', async () => {
      const sink = await opened()
      const records = [
        { kind: 'params', params: { a: 1 } },
        { kind: 'tags', tags: { a: '1' } },
        { kind: 'state', state: 'finished', time: 1 },
      ] as const
      const answers = [
        [{ kind: 'cut' }, 'retry'],
        [{ kind: 'lostAnswer' }, 'retry'],
        [{ kind: 'answer', status: 503, body: '' }, 'retry'],
        [{ kind: 'answer', status: 200, body: '<h1>Sign in</h1>' }, 'retry'],
        [{ kind: 'answer', status: 200, body: '{"error_code":"INTERNAL_ERROR"}' }, 'retry'],
        [{ kind: 'answer', status: 401, body: '' }, 'blocked'],
      ] as const
      for (const record of records) {
        for (const [fault, expected] of answers) {
          fake.failNext(fault, ({ route }) => route === 'runs/log-batch' || route === 'runs/update')
          assert.equal(
            (await sink.writeRecord(record, 1, signal)).status,
            expected,
            `${record.kind} ${fault.kind}`,
          )
        }
        assert.equal((await sink.writeRecord(record, 1, signal)).status, 'accepted')
      }
    })
  })
})
