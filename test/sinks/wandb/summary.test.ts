import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Batch, RunRecord } from '../../../src/core/types.ts'
import { RunConfig } from '../../../src/sinks/wandb/config.ts'
import { Summary } from '../../../src/sinks/wandb/summary.ts'
import { Random, SEED } from '../../random.ts'
import { runInfo } from '../mlflow/points.ts'
import { parseJson } from './stand-in/json.ts'

type Row = Readonly<Record<string, number>>
type Definition = Omit<Extract<RunRecord, { kind: 'metric' }>, 'kind'>
type Values = Record<string, unknown>

const names: string[] = []
function idOf(name: string): number {
  const id = names.indexOf(name)
  return id === -1 ? names.push(name) - 1 : id
}
const keyOf = (id: number) => (names[id]!.startsWith('system/') ? undefined : names[id]!)

function batchOf(rows: readonly Row[], firstStep = 0): Batch {
  const points = rows.flatMap((row, at) =>
    Object.entries(row).map(([name, value]) => ({ id: idOf(name), value, step: firstStep + at })),
  )
  const starts = [0]
  for (const row of rows) starts.push(starts.at(-1)! + Object.keys(row).length)
  return {
    ...{ seq: 0, length: points.length, rows: Uint32Array.from(starts) },
    series: Uint32Array.from(points, ({ id }) => id),
    step: Float64Array.from(points, ({ step }) => step),
    time: Float64Array.from(points, ({ step }) => step),
    value: Float64Array.from(points, ({ value }) => value),
    describe: (id) => ({ id, name: names[id]!, context: '' }),
  }
}
function configOf(...given: Definition[]): RunConfig {
  const config = new RunConfig(runInfo())
  for (const one of given) config.define({ kind: 'metric', ...one })
  return config
}
const AT = { step: 4, timeMs: 1_700_000_000_250, runtimeS: 12.9 }
const draftOf = (summary: Summary, rows: readonly Row[], more: object = {}) =>
  summary.draft({ batch: batchOf(rows), keyOf, entries: [], ...AT, ...more })
const read = (line: string | undefined) => parseJson(line!) as Values
/** The summary without what is W&B's own. */
function series(line: string | undefined): Values {
  const { _step, _timestamp, _runtime, _wandb, global_step, ...others } = read(line)
  return others
}
function after(rows: readonly Row[], ...given: Definition[]): Values {
  const draft = draftOf(new Summary(undefined, undefined, configOf(...given)), rows)
  draft.commit()
  return series(draft.line)
}
const LOSSES = [{ loss: 3 }, { loss: 1 }, { loss: 2 }]

describe('the summary', () => {
  // Expected values are those of SDK 0.31.0 for the same rows and definitions.
  it('has the last value of each key', () => {
    assert.deepEqual(after([{ a: 1, b: 2 }, { a: 3 }, { c: -0 }]), { a: 3, b: 2, c: 0 })
  })

  it('has what a definition asks for', () => {
    const of = (...summary: ('min' | 'max' | 'mean' | 'last')[]) =>
      after(LOSSES, { name: 'loss', summary }).loss
    assert.deepEqual(of('min'), { min: 1 })
    assert.deepEqual(of('max'), { max: 3 })
    assert.deepEqual(of('mean'), { mean: 2 })
    assert.deepEqual(of('last'), { last: 2 })
    assert.deepEqual(of('min', 'max', 'mean', 'last'), { min: 1, max: 3, mean: 2, last: 2 })
    assert.deepEqual(after(LOSSES, { name: 'lo*', summary: ['min'] }).loss, { min: 1 })
  })

  it('takes a NaN into min, max and mean, as the SDK does', () => {
    const summary = ['min', 'max', 'mean', 'last'] as const
    const nan = { min: Number.NaN, max: Number.NaN, mean: Number.NaN }
    assert.deepEqual(
      after([{ loss: 2 }, { loss: Number.NaN }, { loss: 1 }], { name: 'loss', summary }).loss,
      {
        ...{ ...nan, last: 1 },
      },
    )
    assert.deepEqual(after([{ loss: 2 }, { loss: -Infinity }], { name: 'loss', summary }).loss, {
      ...{ min: -Infinity, max: 2, mean: -Infinity, last: -Infinity },
    })
  })

  it('has what is best by the goal, without NaN', () => {
    const rows = [{ loss: 3 }, { loss: Number.NaN }, { loss: 1 }, { loss: 2 }]
    const best = (goal: 'minimize' | 'maximize') =>
      after(rows, { name: 'loss', summary: ['best'], goal }).loss
    assert.deepEqual([best('minimize'), best('maximize')], [{ best: 1 }, { best: 3 }])
  })

  it('leaves out what another writer has defined so', () => {
    const config = configOf()
    config.definitions.restore([{ '2': 'h/*', '6': [], '7': [6] }])
    assert.deepEqual(series(draftOf(new Summary(undefined, undefined, config), [{ 'h/a': 1, b: 2 }]).line), {
      b: 2,
    })
  })

  it('counts what came before a definition', () => {
    const config = configOf()
    const summary = new Summary(undefined, undefined, config)
    draftOf(summary, [{ a: 5 }, { a: 7 }]).commit()
    config.define({ kind: 'metric', name: 'a', summary: ['min', 'mean'] })
    assert.deepEqual(series(draftOf(summary, [{ a: 6 }, { a: 8 }]).line), { a: { min: 5, mean: 6.5 } })
  })

  it('has the fields of the last line, and the step of the user', () => {
    const line = read(draftOf(new Summary(undefined, undefined, configOf()), LOSSES).line)
    assert.deepEqual(line, {
      ...{
        loss: 2,
        global_step: 2,
        _step: 4,
        _timestamp: 1_700_000_000.25,
        _runtime: 12,
        _wandb: { runtime: 12 },
      },
    })
  })

  it("keeps the user's own series of that name", () => {
    const line = read(
      draftOf(new Summary(undefined, undefined, configOf()), [{ global_step: 77, a: 1 }]).line,
    )
    assert.equal(line.global_step, 77)
  })

  it('has values that are no numbers as they are, and numbers after them', () => {
    const summary = new Summary(undefined, undefined, configOf({ name: '*', summary: ['min', 'last'] }))
    const entries = [
      ['img', '{"_type":"image-file"}'] as const,
      ['n', '4'] as const,
      ['big', `"${'x'.repeat(70_000)}"`] as const,
    ]
    const first = summary.draft({ keyOf, entries, ...AT })
    first.commit()
    assert.deepEqual(series(first.line), { img: { _type: 'image-file' }, n: { min: 4, last: 4 } })
    assert.deepEqual(series(draftOf(summary, [{ img: 1 }]).line).img, { min: 1, last: 1 })
  })

  it('has neither system metrics nor rows that were rejected', () => {
    const rows = [{ a: 1, 'system/gpu': 3 }, { a: 2, b: 9 }, { 'system/gpu': 4 }]
    const summary = new Summary(undefined, undefined, configOf({ name: 'a', summary: ['max'] }))
    const draft = draftOf(summary, rows, { rejected: new Set([1]) })
    assert.deepEqual(series(draft.line), { a: { max: 1 } })
    assert.equal(read(draft.line).global_step, 0)
  })

  it('has a line only when something has changed', () => {
    const config = configOf()
    const summary = new Summary(undefined, undefined, config)
    assert.equal(summary.draft({ keyOf, entries: [], ...AT }).line, undefined)
    assert.equal(draftOf(summary, [{ 'system/gpu': 4 }]).line, undefined)
    draftOf(summary, [{ a: 1 }]).commit()
    assert.equal(summary.draft({ keyOf, entries: [], ...AT }).line, undefined)
    config.define({ kind: 'metric', name: 'a', summary: ['max'] })
    const draft = summary.draft({ keyOf, entries: [], ...AT, step: 99 })
    assert.deepEqual([series(draft.line), read(draft.line)._step], [{ a: { max: 1 } }, 4])
    // until it was sent
    assert.notEqual(summary.draft({ keyOf, entries: [], ...AT }).line, undefined)
  })

  it('forgets a draft that was not committed', () => {
    const summary = new Summary(undefined, undefined, configOf({ name: 'a', summary: ['mean', 'min'] }))
    draftOf(summary, [{ a: 4, b: 1 }]).commit()
    const before = JSON.stringify(summary.state)
    const voided = draftOf(summary, [{ a: 1, b: 2, c: 3 }])
    assert.equal(JSON.stringify(summary.state), before)
    assert.throws(() => voided.commit())
    draftOf(summary, [{ a: 1, b: 2, c: 3 }])
    assert.deepEqual(series(draftOf(summary, [{ a: 6 }]).line), { a: { mean: 5, min: 4 }, b: 1 })
  })

  it('is the same wherever batches are cut, requests fail and the process dies', () => {
    const random = new Random()
    const definitions: Definition[] = [
      { name: 'a/*', summary: ['mean', 'min', 'max', 'last'] },
      { name: 'b', summary: ['best', 'mean'], goal: 'minimize' },
    ]
    const keys = ['a/x', 'a/y', 'b', 'c', 'd']
    const value = () =>
      random.below(40) === 0 ? Number.NaN : random.below(3) === 0 ? random.double() : random.next()
    const rows = Array.from({ length: 400 }, () =>
      Object.fromEntries(keys.filter(() => random.below(3) > 0).map((key) => [key, value()])),
    ).filter((row) => Object.keys(row).length > 0)
    const whole = after(rows, ...definitions)
    let summary = new Summary(undefined, undefined, configOf(...definitions))
    let served: string | undefined
    let kept = JSON.stringify(summary.state)
    let at = 0
    while (at < rows.length) {
      const to = Math.min(rows.length, at + 1 + random.below(30))
      const draft = summary.draft({ batch: batchOf(rows.slice(at, to), at), keyOf, entries: [], ...AT })
      const fate = random.below(4)
      if (fate > 0) served = draft.line ?? served
      // the answer came
      if (fate > 1) {
        draft.commit()
        kept = JSON.stringify(summary.state)
        at = to
      }
      // the process dies, before or after it
      if (fate < 3 && random.below(2) === 0)
        summary = new Summary(JSON.parse(kept), served, configOf(...definitions))
    }
    assert.deepEqual(series(served), whole, `seed ${SEED}`)
  })

  it('goes on from what another writer has left, as far as that can be told', () => {
    const config = configOf({ name: 'loss', summary: ['min', 'max'] }, { name: 'acc', summary: ['mean'] })
    const served =
      '{"loss":{"min":1,"max":"NaN"},"acc":{"mean":5},"theirs":{"x":[1]},"_step":9,"_wandb":{"runtime":3}}'
    const summary = new Summary(undefined, served, config)
    const draft = draftOf(summary, [{ loss: 2, acc: 7 }])
    assert.deepEqual(series(draft.line), {
      ...{ loss: { min: 1, max: Number.NaN }, acc: { mean: 7 }, theirs: { x: [1] } },
    })
  })

  it('keeps at most 16 KiB in the cursor, aggregated keys first', () => {
    const config = configOf({ name: 'm/*', summary: ['mean'] })
    const summary = new Summary(undefined, undefined, config)
    const row: Record<string, number> = {}
    for (let at = 0; at < 3000; at++) row[`plain/"é"/${at}`] = at
    for (let at = 0; at < 100; at++) row[`m/${at}`] = at
    draftOf(summary, [row]).commit()
    const { line } = draftOf(summary, [row])
    const state = JSON.stringify(summary.state)
    assert.ok(Buffer.byteLength(state) <= 16 * 1024, String(Buffer.byteLength(state)))
    const again = new Summary(JSON.parse(state), line, config)
    assert.deepEqual(series(draftOf(again, [{ 'm/3': 9, 'plain/"é"/2999': 1 }]).line), {
      ...{ ...series(line), 'm/3': { mean: 6 }, 'plain/"é"/2999': 1 },
    })
  })

  it('shows what had no room in the cursor as the server has it', () => {
    const config = configOf({ name: '*', summary: ['mean', 'min'] })
    const summary = new Summary(undefined, undefined, config)
    const row = Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`m/${at}`, at + 0.5]))
    draftOf(summary, [row]).commit()
    const { line } = draftOf(summary, [row])
    const again = new Summary(JSON.parse(JSON.stringify(summary.state)), line, config)
    assert.deepEqual(series(draftOf(again, [{ 'm/0': 1 }]).line), {
      ...{ ...series(line), 'm/0': { mean: 0.75, min: 0.5 } },
    })
  })

  it('never takes an aggregated key for a plain one, however little room there is', () => {
    const config = configOf({ name: '*', summary: ['mean', 'min', 'max'] })
    for (let chars = 16_150; chars < 16_400; chars += 10) {
      const summary = new Summary(undefined, undefined, config)
      const row = { ['k'.repeat(chars)]: 1.123456789 }
      const { line, commit } = draftOf(summary, [row])
      commit()
      const again = new Summary(JSON.parse(JSON.stringify(summary.state)), line, config)
      const next = again.draft({ keyOf, entries: [['img', '{}']], ...AT })
      assert.deepEqual(series(next.line), { ...series(line), img: {} }, String(chars))
    }
  })

  it('of ten keys among 100,000 that change makes no text of the others', () => {
    const row: Record<string, number> = {}
    const count = 100_000
    const ids = Uint32Array.from({ length: count }, (_, at) => at)
    const keys = Array.from({ length: count }, (_, at) => `series/${at}`)
    const all: Batch = {
      ...batchOf([row]),
      ...{ length: count, series: ids, rows: Uint32Array.of(0, count) },
      ...{ step: new Float64Array(count), value: new Float64Array(count), time: new Float64Array(count) },
    }
    const of = (id: number) => keys[id]
    const summary = new Summary(undefined, undefined, configOf())
    summary.draft({ batch: all, keyOf: of, entries: [], ...AT }).commit()
    const some = { ...all, rows: Uint32Array.of(0, 10), value: new Float64Array(count).fill(1) }
    const start = performance.now()
    for (let round = 0; round < 20; round++) {
      const draft = summary.draft({ batch: some, keyOf: of, entries: [], ...AT })
      assert.ok(draft.line!.startsWith('{"series/0":1,') && draft.line!.includes('"series/99999":0'))
      draft.commit()
    }
    const changed = performance.now() - start
    const again = performance.now()
    for (let round = 0; round < 20; round++) {
      const draft = summary.draft({ batch: all, keyOf: of, entries: [], ...AT })
      assert.ok(draft.line!.length > 0)
      draft.commit()
    }
    const everything = performance.now() - again
    assert.ok(changed < everything / 3, `${changed} ms, ${everything} ms when all change`)
  })
})
