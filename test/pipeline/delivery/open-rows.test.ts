import assert from 'node:assert/strict'
import test from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { OpenRows } from '../../../src/pipeline/delivery/open-rows.ts'
import { giveRowColumns, RowColumns, takeRowColumns } from '../../../src/pipeline/delivery/row-columns.ts'

const ROWS_PER_FRAME = 5000

test('rows that were taken are let go of, though one is always left', async () => {
  const rows = new OpenRows({ seq: 0, back: 0 })
  const frames: WeakRef<object>[] = []
  for (let frame = 0; frame < 20; frame++) {
    frames.push(addFrame(rows, frame * ROWS_PER_FRAME))
    while (rows.completeCount > 1) rows.takeNext()
  }
  assert.equal(rows.next.row, 20 * ROWS_PER_FRAME - 1)
  // what a weak reference gave is held until the turn ends
  await new Promise(setImmediate)
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const held = frames.filter((frame) => frame.deref() !== undefined).length
  assert.ok(held <= 2, `${held} of ${frames.length} frames are held`)
})

test('rows come in the order of their completion, however many were taken before', () => {
  const rows = new OpenRows({ seq: 0, back: 0 })
  let taken = 0
  for (let frame = 0; frame < 4; frame++) {
    addFrame(rows, frame * ROWS_PER_FRAME)
    for (let count = 0; count < ROWS_PER_FRAME / 2; count++, taken++) {
      assert.equal(rows.next.row, taken)
      rows.takeNext()
    }
  }
  while (rows.completeCount > 0) {
    assert.equal(rows.next.row, taken++)
    rows.takeNext()
  }
  assert.equal(taken, 4 * ROWS_PER_FRAME)
})

test('columns of rows grow and are right when they are used again', () => {
  const columns = new RowColumns()
  const series = Uint32Array.from({ length: 3000 }, (_, at) => at % 1500)
  const value = Float64Array.from(series, (_, at) => at)
  for (const step of [1, 2]) {
    columns.length = 0
    columns.append(step, [{ seq: 10, series, value, time: value, start: 0, end: 3000 }])
    assert.equal(columns.length, 1500)
    // of a series the last point, in the place of its first
    assert.deepEqual([...columns.value.subarray(0, 2)], [1500, 1501])
    assert.deepEqual([...columns.seq.subarray(0, 2)], [1510, 1511])
    assert.ok(columns.step.subarray(0, 1500).every((one) => one === step))
  }
})

test('columns that are given back are used again, large ones only a few', () => {
  const wide = Uint32Array.from({ length: 2 ** 18 }, (_, at) => at)
  const value = new Float64Array(wide.length)
  const part = { seq: 0, series: wide, value, time: value, start: 0, end: wide.length }
  const used = [1, 2, 3, 4].map(() => new RowColumns())
  for (const columns of used) columns.append(0, [part])
  for (const columns of used) giveRowColumns(columns)
  const again = used.map(() => takeRowColumns())
  assert.deepEqual(
    again.map((columns) => used.includes(columns)),
    [true, true, false, false],
  )
  assert.ok(again.every(({ length }) => length === 0))
})

/** A frame of complete rows of one point. */
function addFrame(rows: OpenRows, first: number): WeakRef<object> {
  const number = (at: number) => first + at
  const column = () => Float64Array.from({ length: ROWS_PER_FRAME }, (_, at) => number(at))
  const row = Uint32Array.from(column())
  const points = {
    length: ROWS_PER_FRAME,
    series: new Uint32Array(ROWS_PER_FRAME),
    step: column(),
    time: column(),
    value: column(),
  }
  rows.add({ seq: first, points, row, closed: row })
  return new WeakRef(points.value)
}
