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
  readonly context?: string
}
type Row = readonly [step: number, points: readonly Point[]]

const RUN: RunInfo = {
  ...{ id: 'r', name: 'r', project: 'p', experiment: 'e', createdAt: 0, nonce: 'n', folder: '/nowhere' },
}
const signal = () => AbortSignal.timeout(10_000)

function batchOf(rows: readonly Row[]): Batch {
  const keyOf = ({ name, context = '' }: Point) => `${name}\0${context}`
  const keys = [...new Set(rows.flatMap(([, points]) => points.map(keyOf)))]
  const flat = rows.flatMap(([step, points]) => points.map((point) => ({ ...point, step })))
  const starts = [0]
  for (const [, points] of rows) starts.push(starts.at(-1)! + points.length)
  return {
    length: flat.length,
    seq: 0,
    series: Uint32Array.from(flat, (point) => keys.indexOf(keyOf(point))),
    step: Float64Array.from(flat, ({ step }) => step),
    time: Float64Array.from(flat, (_, at) => at),
    value: Float64Array.from(flat, ({ value }) => value),
    rows: Uint32Array.from(starts),
    describe: (id) => {
      const [name, context] = keys[id]!.split('\0')
      return { id, name: name!, context: context! }
    },
  }
}

async function scene(context: TestContext, given: Readonly<Record<string, unknown>> = {}) {
  const fake = new FakeAim()
  const repo = await fake.listen()
  const options = prepareOptions(resolveOptions(AIM_OPTIONS, { repo, ...given }, {}, 'aim'))
  const notices: string[] = []
  const hash = runHashOf(options, RUN)
  let sink: Sink | undefined
  let state: SinkState
  const open = async () => {
    await sink?.close()
    sink = aim.create({ run: RUN, options, notice: (_, message) => notices.push(message) })
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
    options,
    notices,
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

const many = (from: number, to: number, context: string): Row[] =>
  Array.from({ length: to - from }, (_, at) => [from + at, [{ name: 'loss', value: from + at, context }]])

test('two series that are one to Aim are written as one: neither takes the place of the other', async (context) => {
  const { open, points } = await scene(context)
  const sink = await open()
  const rows = [...many(0, 20, 'val'), ...many(20, 40, 'subset=val'), ...many(19, 20, 'subset=val')]
  assert.deepEqual(await sink.write(batchOf(rows), signal()), { status: 'accepted', superseded: 1 })
  const steps = points().map(({ step }) => step)
  assert.deepEqual(
    steps.sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, step) => step),
  )
})

test('in a run that somebody chose, what another writes of the same series stays', async (context) => {
  const { open, options, points } = await scene(context, { runHash: 'a'.repeat(24) })
  const other = aim.create({ run: { ...RUN, nonce: 'another' }, options, notice: () => {} })
  context.after(() => other.close())
  const sink = await open()
  assert.equal((await other.open(undefined, signal())).status, 'ready')
  assert.equal((await sink.write(batchOf(many(0, 20, '')), signal())).status, 'accepted')
  assert.equal((await other.write(batchOf(many(20, 40, '')), signal())).status, 'accepted')
  assert.equal(points().length, 40)
})

test('numbers never go into a sequence of texts: they stand beside it, also after a restart, and the user is told', async (context) => {
  const { open, write, meta, notices, points } = await scene(context)
  let sink = await open()
  await write(sink, { kind: 'text', name: 'loss', text: 'low', step: 1, time: 1 })
  await sink.write(batchOf(many(0, 3, '')), signal())
  sink = await open()
  await sink.write(batchOf(many(3, 6, '')), signal())
  const [names] = Object.values(meta('traces') as Record<string, Record<string, Record<string, AimTree>>>)
  assert.deepEqual(
    Object.entries(names!).map(([name, { dtype, last_step: lastStep }]) => [name, dtype, lastStep]),
    [
      ['loss', 'aim.text', 1n],
      ['loss (metric)', 'float', 5n],
    ],
  )
  assert.equal(points().length, 6)
  assert.match(notices[0]!, /'loss \(metric\)'/)
})

test('a series keeps its name when a text comes under it; none has the name of the console', async (context) => {
  const { open, write, meta, points } = await scene(context)
  const sink = await open()
  const row = (step: number): Row => [
    step,
    [
      { name: 'loss', value: 5 - step },
      { name: 'logs', value: step },
      { name: 'logs', value: step, context: 'val' },
    ],
  ]
  await sink.write(batchOf([row(0)]), signal())
  await write(sink, { kind: 'text', name: 'loss', text: 'low', step: 9, time: 1 })
  await write(sink, { kind: 'console', stream: 'stdout', text: 'a line', time: 1 })
  await sink.write(batchOf([row(1)]), signal())
  assert.deepEqual(
    points().map(({ key, step }) => [key, step]),
    ['loss {}', 'logs (metric) {}', 'logs {"subset":"val"}'].flatMap((key) => [
      [key, 0],
      [key, 1],
    ]),
  )
  const contexts = Object.values(meta('traces') as Record<string, Record<string, Record<string, AimTree>>>)
  const { loss, logs } = contexts.find((names) => 'loss' in names)!
  assert.deepEqual([loss!.dtype, loss!.min, loss!.max, logs!.dtype], ['float', 4, 5, 'aim.log_line'])
})

test('the bookkeeping has no least or most of NaN alone, and finds them later, before a restart or after it', async (context) => {
  const { open, meta } = await scene(context)
  const limits = () => {
    const [names] = Object.values(meta('traces') as Record<string, Record<string, Record<string, AimTree>>>)
    return Object.entries(names!).map(([name, { min, max }]) => [name, min, max])
  }
  const row = (step: number, nothing: number, infinite: number): Row => [
    step,
    [
      { name: 'a', value: nothing },
      { name: 'b', value: infinite },
    ],
  ]
  let sink = await open()
  await sink.write(batchOf([row(0, Number.NaN, Number.POSITIVE_INFINITY)]), signal())
  assert.deepEqual(limits(), [
    ['a', undefined, undefined],
    ['b', undefined, Number.POSITIVE_INFINITY],
  ])
  sink = await open()
  await sink.write(batchOf([row(1, Number.NaN, 3)]), signal())
  assert.deepEqual(limits(), [
    ['a', undefined, undefined],
    ['b', 3, Number.POSITIVE_INFINITY],
  ])
  await sink.write(batchOf([row(2, 4, 2)]), signal())
  assert.deepEqual(limits(), [
    ['a', 4, 4],
    ['b', 2, Number.POSITIVE_INFINITY],
  ])
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
