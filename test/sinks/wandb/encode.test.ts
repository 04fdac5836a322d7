import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Batch } from '../../../src/core/types.ts'
import { type AxesState, AxisNames, withDefinition } from '../../../src/sinks/wandb/axes.ts'
import {
  type Encoded,
  type EncodeFrom,
  pointBytes,
  ROW_BYTES,
  RowEncoder,
} from '../../../src/sinks/wandb/encode.ts'
import type { HeldEntries } from '../../../src/sinks/wandb/state.ts'
import { Random, SEED } from '../../random.ts'
import { parseJson } from './stand-in/json.ts'

const START = 1_700_000_000_000
type Row = readonly [step: number, values: Readonly<Record<string, number>>]

function batchOf(rows: readonly Row[], names: string[] = []): Batch {
  const points = rows.flatMap(([step, values]) =>
    Object.entries(values).map(([name, value]) => {
      if (!names.includes(name)) names.push(name)
      return { id: names.indexOf(name), step, value }
    }),
  )
  const starts = [0]
  for (const [, values] of rows) starts.push(starts.at(-1)! + Object.keys(values).length)
  return {
    seq: 0,
    length: points.length,
    series: Uint32Array.from(points, ({ id }) => id),
    step: Float64Array.from(points, ({ step }) => step),
    time: Float64Array.from(points, ({ step }) => START + Math.max(0, Math.min(step, 1e6)) * 7),
    value: Float64Array.from(points, ({ value }) => value),
    rows: Uint32Array.from(starts),
    describe: (id) => ({ id, name: names[id]!, context: '' }),
  }
}

/** As a server reads the body that they stand in. */
function linesOf(content: string): string[] {
  return JSON.parse(`[${content}]`) as string[]
}
function rowsOf({ history }: Encoded): Record<string, unknown>[] {
  return linesOf(history).map((line) => parseJson(line) as Record<string, unknown>)
}
const BEGIN = { lastStep: -1, held: [] }

test('a row is a line: its points, its step in both ways, its time and its run time', () => {
  const encoded = new RowEncoder(START).encode(
    batchOf([[3, { loss: 0.5, 'größe "x"\\\u0001 🎯': -0 }]]),
    BEGIN,
  )
  assert.deepEqual(linesOf(encoded.history), [
    '{"_step":3,"loss":0.5,"größe \\"x\\"\\\\\\u0001 🎯":0,"_timestamp":1700000000.021,"_runtime":0.021,"global_step":3}',
  ])
  assert.deepEqual([encoded.historyLines, encoded.lastStep, encoded.renumbered], [1, 3, 0])
  assert.match(encoded.history, /^[\x20-\x7e]*$/)
})

test('what a double can be arrives: bare NaN and infinities, integers as such', () => {
  const values = { a: Number.NaN, b: Infinity, c: -Infinity, d: 2 ** 60, e: 1e300, f: 5e-324, g: 7 }
  const [row] = rowsOf(new RowEncoder(START).encode(batchOf([[0, values]]), BEGIN))
  for (const [name, value] of Object.entries(values)) assert.ok(Object.is(row![name], value), name)
})

test('steps that are repeated, go back, are negative or too large get the next free one', () => {
  const steps = [5, 5, 3, -7, 2 ** 53 - 1, 9, 100]
  const encoded = new RowEncoder(START).encode(batchOf(steps.map((step) => [step, { x: 1 }])), BEGIN)
  const rows = rowsOf(encoded)
  assert.deepEqual(
    rows.map((row) => row._step),
    [5, 6, 7, 8, 9, 10, 100],
  )
  assert.deepEqual(
    rows.map((row) => row.global_step),
    steps,
  )
  assert.equal(encoded.renumbered, 5)
})

test('a series of the name global_step stands in place of ours, in the rows that have it', () => {
  const rows = rowsOf(
    new RowEncoder(START).encode(
      batchOf([
        [4, { global_step: 4096 }],
        [5, { x: 1 }],
      ]),
      BEGIN,
    ),
  )
  assert.deepEqual(
    rows.map((row) => row.global_step),
    [4096, 5],
  )
})

test('system metrics go to their own file, and a row of nothing else takes no step', () => {
  const encoded = new RowEncoder(START).encode(
    batchOf([
      [1, { 'system/cpu': 50 }],
      [1, { x: 1, 'system/cpu': 60 }],
    ]),
    BEGIN,
  )
  assert.deepEqual(linesOf(encoded.events), [
    '{"_wandb":true,"system.cpu":50,"_timestamp":1700000000.007,"_runtime":0.007}',
    '{"_wandb":true,"system.cpu":60,"_timestamp":1700000000.007,"_runtime":0.007}',
  ])
  assert.deepEqual([encoded.eventLines, encoded.historyLines, encoded.renumbered], [2, 1, 0])
  assert.deepEqual(Object.keys(rowsOf(encoded)[0]!), ['_step', 'x', '_timestamp', '_runtime', 'global_step'])
})

test('what is held goes into the row of its step, before a row beyond it, or waits', () => {
  const held: HeldEntries[] = [
    {
      step: 2,
      time: START,
      values: [
        ['x', '"over the point"'],
        ['text', '"a\\"b"'],
      ],
    },
    { step: 1, time: START + 9, values: [['early', '[NaN]']] },
    { step: 9, time: START, values: [['late', '1']] },
  ]
  const encoded = new RowEncoder(START).encode(batchOf([[2, { x: 1, y: 2 }]]), { lastStep: -1, held })
  const [first, second, ...none] = rowsOf(encoded)
  assert.deepEqual(first, {
    _step: 1,
    early: [Number.NaN],
    _timestamp: 1700000000.009,
    _runtime: 0.009,
    global_step: 1,
  })
  assert.deepEqual([second!._step, second!.x, second!.y, second!.text], [2, 'over the point', 2, 'a"b'])
  assert.deepEqual([none.length, encoded.superseded], [0, 1])
  assert.deepEqual(encoded.held, held.slice(2))
})

test('what is sealed gets its lines before the rows, also before that of its own step', () => {
  const held: HeldEntries[] = [{ step: 5, time: START, values: [['text', '"t"']], isSealed: true }]
  const rows = rowsOf(new RowEncoder(START).encode(batchOf([[5, { x: 1 }]]), { lastStep: -1, held }))
  assert.deepEqual(
    rows.map(({ _step, text, x, global_step }) => [_step, text, x, global_step]),
    [
      [5, 't', undefined, 5],
      [6, undefined, 1, 5],
    ],
  )
})

test('wherever batches are cut, the lines are the same', () => {
  const random = new Random(SEED)
  const names = ['a', 'b', 'system/c', 'global_step', 'd']
  const rows = Array.from({ length: 200 }, (): Row => {
    const values = names.filter(() => random.next() < 0.5).map((name) => [name, random.next()] as const)
    return [random.below(50), Object.fromEntries(values.length > 0 ? values : [['a', 1]])]
  })
  const held = Array.from(
    { length: 8 },
    (_, at): HeldEntries => ({
      ...{ step: 6 * at, time: START + at, values: [[`text ${at}`, '"t"']] },
    }),
  )
  const begin: EncodeFrom = { lastStep: -1, held, axes: defined(['a', 'd'], ['text*', 'b']) }
  const whole = new RowEncoder(START).encode(batchOf(rows, [...names]), begin)
  const encoder = new RowEncoder(START)
  const history: string[] = []
  const events: string[] = []
  let from = begin
  for (let at = 0; at < rows.length; ) {
    const count = 1 + random.below(20)
    // as the cursor keeps it
    if (random.next() < 0.2) from = { ...from, axes: JSON.parse(JSON.stringify(from.axes)) as AxesState }
    const part = encoder.encode(batchOf(rows.slice(at, at + count), [...names]), from)
    history.push(...linesOf(part.history))
    events.push(...linesOf(part.events))
    from = part
    at += count
  }
  assert.deepEqual(history, linesOf(whole.history), `seed ${SEED}`)
  assert.deepEqual(events, linesOf(whole.events), `seed ${SEED}`)
})

const defined = (...of: (readonly [string, string])[]): AxesState => ({ of, last: [] })

test('a line that has a series and not its axis gets the last value of the axis, once there is one', () => {
  const held: HeldEntries[] = [{ step: 4, time: START, values: [['val/text', '"t"']] }]
  const rows: Row[] = [
    [0, { 'val/loss': 9 }],
    [1, { epoch: 1, 'val/loss': 8 }],
    [2, { 'val/loss': 7 }],
    [3, { other: 1, 'val/plain': 2 }],
    [5, { epoch: Number.NaN }],
    [6, { 'val/loss': 6, 'val/acc': 5 }],
  ]
  const axes = defined(['val/*', 'epoch'], ['val/plain', ''])
  const encoded = new RowEncoder(START).encode(batchOf(rows), { lastStep: -1, held, axes })
  assert.deepEqual(
    rowsOf(encoded).map(({ _step, epoch }) => [_step, epoch]),
    [
      [0, undefined],
      [1, 1],
      [2, 1],
      [3, undefined],
      [4, 1],
      [5, Number.NaN],
      [6, Number.NaN],
    ],
  )
  assert.deepEqual(JSON.parse(JSON.stringify(encoded.axes)), { of: axes.of, last: [['epoch', 'NaN']] })
  assert.equal(JSON.stringify(rowsOf(encoded)).split('"epoch"').length - 1, 5)
})

test('of definitions the name counts before patterns, of these the longest, and what has no room counts for nothing', () => {
  const define = (state: AxesState | undefined, name: string, axis?: string) =>
    withDefinition(state, { kind: 'metric', step: 0, name, ...(axis && { axis }) } as never)
  let state = define(undefined, 'a/b/c')
  state = define(state, '*', 'x')
  state = define(state, 'a/b/*', 'y')
  state = define(state, 'a/d', 'z')
  state = define(state, 'a/d')
  const names = new AxisNames(state!.of)
  assert.deepEqual(
    ['a/b/c', 'a/b/d', 'a/d', 'a/e', 'global_step'].map((key) => names.axisOf(key)),
    ['', 'y', 'z', 'x', ''],
  )
  let count = 0
  for (let next = state; next !== undefined; count++) {
    state = next
    next = define(next, `series ${count}`, `axis ${count}`)
  }
  assert.ok(count > 15 && count < 64, String(count))
  assert.ok(JSON.stringify(state).length <= 2048)
})

test('no row is larger than its bound, whatever its names and values', () => {
  const worst = -1e-300 / 3
  for (const letter of ['x', '\u0001', '"', '\\', 'é', '日', '🎯', '\u007f', ' --']) {
    for (const length of [1, 10, 250]) {
      for (const name of [letter.repeat(length), `system/${letter.repeat(length)}`]) {
        const batch = {
          ...batchOf([[-(2 ** 53 - 1), { [name]: worst }]]),
          time: Float64Array.of(1.7e12 + 123),
        }
        const { history, events } = new RowEncoder(START + 0.5).encode(batch, { lastStep: 2 ** 52, held: [] })
        const bound = pointBytes(Buffer.byteLength(name)) + ROW_BYTES
        assert.ok(
          history.length + events.length + 2 <= bound,
          `${JSON.stringify(name.slice(0, 10))} × ${length}`,
        )
      }
    }
  }
})
