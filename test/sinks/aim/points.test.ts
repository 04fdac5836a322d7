import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import type { Batch, RunInfo, RunRecord, Sink, SinkState } from '../../../src/core/types.ts'
import { AIM_OPTIONS, prepareOptions, runHashOf } from '../../../src/sinks/aim/options.ts'
import { aim } from '../../../src/sinks/aim/sink.ts'
import { type AimTree, isBranch } from '../../../src/sinks/aim/tree.ts'
import { FakeAim } from './fake-server.ts'
import { treeCall } from './fake-store.ts'
import { pointsOf } from './harness.ts'

interface Point {
  readonly name: string
  readonly value: number
}
type Row = readonly [step: number, points: readonly Point[]]

const RUN: RunInfo = {
  ...{ id: 'r', name: 'r', project: 'p', experiment: 'e', createdAt: 0, nonce: 'n', folder: '/nowhere' },
}
const signal = () => AbortSignal.timeout(10_000)

function batchOf(rows: readonly Row[]): Batch {
  const names = [...new Set(rows.flatMap(([, points]) => points.map(({ name }) => name)))]
  const flat = rows.flatMap(([step, points]) => points.map((point) => ({ ...point, step })))
  const starts = [0]
  for (const [, points] of rows) starts.push(starts.at(-1)! + points.length)
  return {
    length: flat.length,
    seq: 0,
    series: Uint32Array.from(flat, ({ name }) => names.indexOf(name)),
    step: Float64Array.from(flat, ({ step }) => step),
    time: Float64Array.from(flat, (_, at) => at),
    value: Float64Array.from(flat, ({ value }) => value),
    rows: Uint32Array.from(starts),
    describe: (id) => ({ id, name: names[id]!, context: '' }),
  }
}

async function scene(context: TestContext) {
  const fake = new FakeAim()
  const options = prepareOptions(resolveOptions(AIM_OPTIONS, { repo: await fake.listen() }, {}, 'aim'))
  const hash = runHashOf(options, RUN)
  let sink: Sink | undefined
  let state: SinkState
  const open = async () => {
    await sink?.close()
    sink = aim.create({ run: RUN, options, notice: () => {} })
    const opened = await sink.open(state, signal())
    assert.equal(opened.status, 'ready')
    return sink
  }
  context.after(async () => {
    await sink?.close()
    assert.deepEqual(fake.problems, [])
    await fake.stop()
  })
  return {
    fake,
    open,
    points: () => pointsOf(fake.runs.get(hash)!, hash),
    meta: (...path: string[]) =>
      treeCall(fake.runs.get(hash)!.meta, 'collect', [['meta', 'chunks', hash, ...path]]),
    values: (array: string, name: string) => {
      const tree = treeCall(fake.runs.get(hash)!.seqs, 'collect', [['seqs', 'v2', 'chunks', hash]])
      const [names] = Object.values(tree as Record<string, Record<string, Record<string, AimTree>>>)
      return Object.values(names![name]![array]!)
    },
    async write(to: Sink, record: RunRecord) {
      const answer = await to.writeRecord(record, 0, signal())
      assert.equal(answer.status, 'accepted')
      if ('state' in answer && answer.state !== undefined) state = answer.state
    },
  }
}

const wide = (step: number): Row => [
  step,
  Array.from({ length: 12 }, (_, series) => ({ name: `series ${series}`, value: step + series / 100 })),
]

test('series that begin with much are written whole, in messages that no server suffers from, and go on beside it', async (context) => {
  const { fake, open, points } = await scene(context)
  const sink = await open()
  const rows = Array.from({ length: 1_000 }, (_, step) => wide(step))
  assert.equal((await sink.write(batchOf(rows), signal())).status, 'accepted')
  const whole = fake.messages
  const more = Array.from({ length: 100 }, (_, at) => wide(1_000 + at))
  assert.equal((await sink.write(batchOf(more), signal())).status, 'accepted')
  const found = points()
  assert.equal(found.length, 12 * 1_100)
  for (const { key, step, value } of found) {
    assert.equal(value, step + Number(/\d+/.exec(key)![0]) / 100)
  }
  assert.ok(whole < 60, `${whole} messages for 12,000 values`)
})

test('what was begun and not acknowledged is not lost by what is written whole after it', async (context) => {
  const { fake, open, points } = await scene(context)
  let sink = await open()
  const rows = Array.from({ length: 60 }, (_, step) => wide(step))
  fake.failNext('lostAnswer', [...fake.runs.keys()][0]!)
  assert.equal((await sink.write(batchOf(rows), signal())).status, 'retry')
  sink = await open()
  assert.equal((await sink.write(batchOf(rows.slice(0, 30)), signal())).status, 'accepted')
  assert.equal((await sink.write(batchOf(rows.slice(30)), signal())).status, 'accepted')
  assert.equal(points().length, 12 * 60)
})

test('of two values of one step the later counts, wherever they stand, and is told', async (context) => {
  const { open, points } = await scene(context)
  const sink = await open()
  const row = (step: number, value: number): Row => [step, [{ name: 'a', value }]]
  const answer = await sink.write(batchOf([row(1, 1), row(3, 2), row(2, 3), row(3, 4)]), signal())
  assert.deepEqual(answer, { status: 'accepted', superseded: 1 })
  await sink.write(batchOf([row(1, 5)]), signal())
  assert.deepEqual(
    points().map(({ step, value }) => [step, value]),
    [
      [1, 5],
      [3, 4],
      [2, 3],
    ],
  )
})

test('the series `epoch` is the epoch of its row, null where there is none', async (context) => {
  const { open, values } = await scene(context)
  const sink = await open()
  const rows: Row[] = [
    [
      0,
      [
        { name: 'a', value: 1 },
        { name: 'epoch', value: 3 },
      ],
    ],
    [1, [{ name: 'a', value: 1 }]],
    [
      2,
      [
        { name: 'epoch', value: 0.5 },
        { name: 'a', value: 1 },
      ],
    ],
  ]
  await sink.write(batchOf(rows), signal())
  assert.deepEqual(values('epoch', 'a'), [3n, null, 0.5])
  assert.deepEqual(values('val', 'epoch'), [3, 0.5])
})

test('the bookkeeping goes on where another client, or we before a restart, left it', async (context) => {
  const { open, meta } = await scene(context)
  const trace = () => {
    const [names] = Object.values(meta('traces') as Record<string, Record<string, AimTree>>)
    const { first, last, last_step, min, max } = names!.a as Record<string, AimTree>
    return { first, last, last_step, min, max }
  }
  let sink = await open()
  const row = (step: number, value: number): Row => [step, [{ name: 'a', value }]]
  await sink.write(batchOf([row(5, 2), row(6, Number.NaN), row(7, 8)]), signal())
  assert.deepEqual(trace(), { first: 2, last: 8, last_step: 7n, min: 2, max: 8 })
  sink = await open()
  await sink.write(batchOf([row(1, 4)]), signal())
  assert.deepEqual(trace(), { first: 2, last: 8, last_step: 7n, min: 2, max: 8 }, 'a late step')
  await sink.write(batchOf([row(9, -1)]), signal())
  assert.deepEqual(trace(), { first: 2, last: -1, last_step: 9n, min: -1, max: 8 })
})

test('params nest at their dots unless something else stands there; nothing beside them is touched', async (context) => {
  const { open, write, meta } = await scene(context)
  let sink = await open()
  await write(sink, { kind: 'params', params: { 'a.b': 1, 'a.c': 0.5, x: 'text', 'odd..name': true } })
  sink = await open()
  await write(sink, { kind: 'params', params: { 'a.b': 2, a: 'a value where members are', 'x.y': null } })
  const { tracelet: _, ...params } = meta('attrs') as Record<string, AimTree>
  // neither a value where members are, nor members where a value is, has a place of its own
  assert.deepEqual(params, {
    a: { b: 2n, c: 0.5 },
    'a (value)': 'a value where members are',
    x: 'text',
    'odd..name': true,
    'x.y': null,
  })
})

test('a tag that changes takes its old word away, also after a restart', async (context) => {
  const { fake, open, write } = await scene(context)
  let sink = await open()
  const words = () => [...[...fake.runs.values()][0]!.tags]
  await write(sink, { kind: 'tags', tags: { team: 'vision', fast: '' } })
  sink = await open()
  await write(sink, { kind: 'tags', tags: { team: 'audio' } })
  assert.deepEqual(words(), ['fast', 'team:audio'])
})

test('lines of the console are numbered on, again or not', async (context) => {
  const { fake, open, write } = await scene(context)
  const sink = await open()
  const line = (text: string): RunRecord => ({ kind: 'console', stream: 'stdout', text, time: 1 })
  await write(sink, line('one\ntwo'))
  await write(await open(), line('three'))
  const [hash, run] = [...fake.runs][0]!
  const tree = treeCall(run.seqs, 'collect', [['seqs', 'chunks', hash]])
  const [names] = Object.values(tree as Record<string, Record<string, Record<string, AimTree>>>)
  assert.deepEqual(Object.keys(names!.logs!.val!), ['0', '1', '2'])
  assert.ok(isBranch(names!.logs!.val!))
})
