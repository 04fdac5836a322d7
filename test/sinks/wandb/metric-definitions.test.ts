import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RunRecord } from '../../../src/core/types.ts'
import { MetricDefinitions } from '../../../src/sinks/wandb/metric-definitions.ts'

type Given = Omit<Extract<RunRecord, { kind: 'metric' }>, 'kind'>
const OWN = [
  { '1': 'global_step', '6': [2, 3], '7': [] },
  { '2': '*', '5': 1, '6': [1], '7': [] },
]

function definitions(...given: Given[]): MetricDefinitions {
  const all = new MetricDefinitions()
  for (const one of given) all.define({ kind: 'metric', ...one })
  return all
}
/** Those of the user. */
const users = (all: MetricDefinitions) => all.list().slice(OWN.length)

describe('definitions of metrics', () => {
  it("begin with the user's step as the axis of all", () => {
    assert.deepEqual(definitions().list(), OWN)
    assert.equal(definitions().of('any')?.axis, 'global_step')
  })

  it("have SDK 0.31.0's fields, an axis of its own included", () => {
    assert.deepEqual(users(definitions({ name: 'val/loss', axis: 'epoch', summary: ['min'] })), [
      { '1': 'val/loss', '5': 4, '6': [1, 3], '7': [1] },
      { '1': 'epoch', '6': [], '7': [] },
    ])
    assert.deepEqual(users(definitions({ name: 'a/*', summary: ['max', 'last', 'mean'] })), [
      { '2': 'a/*', '5': 1, '6': [1], '7': [2, 3, 5] },
    ])
  })

  it('have a goal, and what is best by it', () => {
    const [one] = users(definitions({ name: 'acc', summary: ['best'], goal: 'maximize' }))
    assert.deepEqual(one, { '1': 'acc', '5': 1, '6': [1, 3], '7': [4], '8': 2 })
  })

  it('add up, and the last axis counts', () => {
    const all = definitions({ name: 'a', axis: 'x', summary: ['max'] }, { name: 'a', summary: ['min'] })
    assert.deepEqual([all.of('a')?.summary, all.of('a')?.axis], [[1, 2], 'x'])
    all.define({ kind: 'metric', name: 'a', axis: 'y' })
    assert.equal(all.of('a')?.axis, 'y')
  })

  it('by name stand above globs, and longer globs above shorter', () => {
    const all = definitions(
      { name: 'a*', summary: ['min'] },
      { name: 'ab*', summary: ['max'] },
      { name: 'abc', axis: 'x' },
    )
    assert.deepEqual(all.of('ab')?.summary, [2])
    assert.deepEqual(all.of('ac')?.summary, [1])
    assert.deepEqual(all.of('abc')?.summary, [])
    // named as an axis is not defined
    assert.equal(all.of('x')?.axis, 'global_step')
  })

  it('escape dots, which lead into nested values, and speak of keys as the history has them', () => {
    const all = definitions(
      { name: 'a.b', axis: 'e.p', summary: ['min'] },
      { name: '_step', summary: ['max'] },
    )
    assert.deepEqual(
      users(all).map((one) => one['1']),
      ['a\\.b', '_step_', 'e\\.p'],
    )
    assert.deepEqual(all.of('a.b')?.summary, [1])
    const again = new MetricDefinitions()
    again.restore(all.list())
    assert.deepEqual(again.of('a.b')?.axis, 'e.p')
  })

  it('of another writer stay, fields that are not known included', () => {
    const all = new MetricDefinitions()
    const theirs = [
      { '1': 'loss', '5': 2, '6': [1, 3], '7': [1, 8], '11': 'x' },
      { '1': 'epoch', '6': [], '7': [] },
      { '2': '*', '5': 2, '6': [1], '7': [6] },
    ]
    all.restore(theirs)
    all.define({ kind: 'metric', name: 'mine', summary: ['max'] })
    const list = all.list()
    assert.deepEqual(
      list.find((one) => one['1'] === 'loss'),
      {
        '1': 'loss',
        '5': 1 + list.findIndex((one) => one['1'] === 'epoch'),
        '6': [1, 3],
        '7': [1, 8],
        '11': 'x',
      },
    )
    assert.deepEqual(all.of('any'), {
      ...{ key: '', isGlob: true, axis: 'epoch', isHidden: false, isDefined: false, summary: [6] },
    })
    assert.deepEqual(all.of('mine')?.summary, [2])
  })

  it("the user's own definition of `global_step` is no axis of itself", () => {
    const [one] = definitions({ name: 'global_step', summary: ['max'] }).list()
    assert.deepEqual(one, { '1': 'global_step', '6': [2, 3], '7': [2] })
  })
})
