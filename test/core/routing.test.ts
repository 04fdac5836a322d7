import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RunRecord } from '../../src/core/records.ts'
import { Route, type Routing, routingOf } from '../../src/core/routing.ts'
import { Random, SEED } from '../random.ts'

const takes = (routing: Routing, name: string): boolean => new Route(routing).takesSeries(name)
const text = (name: string): RunRecord => ({ kind: 'text', name, step: 1, time: 1, text: 'a' })

/** Whether a name fits a pattern, tried the long way. */
function fits(pattern: string, name: string): boolean {
  if (pattern === '') return name === ''
  if (pattern[0] !== '*') return name[0] === pattern[0] && fits(pattern.slice(1), name.slice(1))
  for (let skip = 0; skip <= name.length; skip++) if (fits(pattern.slice(1), name.slice(skip))) return true
  return false
}

describe('routing', () => {
  test('a pattern is a whole name in which * stands for any characters', () => {
    assert.ok(takes({ include: ['train/*'] }, 'train/loss'))
    assert.ok(takes({ include: ['train/*'] }, 'train/layer/0/norm'))
    assert.ok(takes({ include: ['train/*'] }, 'train/'))
    assert.ok(!takes({ include: ['train/*'] }, 'pretrain/loss'))
    assert.ok(!takes({ include: ['train'] }, 'train/loss'))
    assert.ok(takes({ include: ['*/loss', 'lr'] }, 'val/loss'))
    assert.ok(takes({ include: ['a.b[0]*(x|y)?$'] }, 'a.b[0]\n🙂(x|y)?$'))
    assert.ok(!takes({ include: ['a.b'] }, 'axb'))
    assert.ok(!takes({ include: [] }, 'loss'))
  })

  test(`random patterns fit what they fit letter by letter, seed ${SEED}`, () => {
    const random = new Random()
    const word = (letters: string[]) =>
      Array.from({ length: random.below(7) }, () => random.pick(letters)).join('')
    let fitting = 0
    for (let round = 0; round < 3_000; round++) {
      const pattern = word(['a', 'b', '*', '.', '/'])
      const name = word(['a', 'b', '.', '/'])
      const isFitting = fits(pattern, name)
      if (isFitting) fitting++
      assert.equal(takes({ include: [pattern] }, name), isFitting, `${pattern} ${name}`)
      assert.equal(
        takes({ exclude: ['no', pattern] }, name),
        !isFitting && name !== 'no',
        `${pattern} ${name}`,
      )
    }
    assert.ok(fitting > 100)
  })

  test('exclude wins over include', () => {
    const routing = { include: ['train/*'], exclude: ['*/debug*'] }
    assert.ok(takes(routing, 'train/loss'))
    assert.ok(!takes(routing, 'train/debug/x'))
  })

  test('kinds choose among points and records; the state of a run is never up to them', () => {
    const only = new Route({ kinds: ['points', 'params'] })
    assert.ok(only.takesSeries('loss'))
    assert.ok(only.takesRecord({ kind: 'params', params: {} }))
    assert.ok(!only.takesRecord({ kind: 'tags', tags: {} }))
    assert.ok(!only.takesRecord(text('a')))
    const none = new Route({ kinds: [], excludeKinds: ['points'] })
    assert.ok(!none.takesSeries('loss'))
    assert.ok(none.takesRecord({ kind: 'state', state: 'finished', time: 1 }))
    assert.ok(none.takesRecord({ kind: 'rewind', fromStep: 1, time: 1 }))
    const without = new Route({ excludeKinds: ['text'] })
    assert.ok(!without.takesRecord(text('a')))
    assert.ok(without.takesRecord({ kind: 'tags', tags: {} }))
  })

  test('names choose among records that have one, but for definitions of metrics', () => {
    const route = new Route({ include: ['train/*'] })
    assert.ok(route.takesRecord(text('train/sample')))
    assert.ok(!route.takesRecord(text('val/sample')))
    assert.ok(route.takesRecord({ kind: 'params', params: { lr: 1 } }))
    assert.ok(route.takesRecord({ kind: 'metric', name: '*' }))
  })

  test('an artifact that is read goes by its name; files of the run and alerts have none, but a kind', () => {
    const input = (artifact: string): RunRecord => ({ kind: 'input', artifact, time: 1 })
    const files: RunRecord = { kind: 'files', time: 1, files: [], bytes: 0 }
    const alert: RunRecord = { kind: 'alert', title: 'val', text: '', level: 'info', time: 1 }
    const route = new Route({ include: ['train/*'], exclude: ['*:old'] })
    assert.deepEqual(
      [input('train/data:v1'), input('val/data'), input('train/data:old'), files, alert].map((record) =>
        route.takesRecord(record),
      ),
      [true, false, false, true, true],
    )
    const without = new Route({ excludeKinds: ['files', 'input', 'alert'] })
    assert.ok([files, input('a'), alert].every((record) => !without.takesRecord(record)))
  })

  test('only what routes is taken of the options, and nothing where it lets all pass', () => {
    const all = {
      include: undefined,
      exclude: [],
      kinds: undefined,
      excludeKinds: [],
      everyN: 1,
      maxLagMs: 5_000,
    }
    assert.deepEqual(routingOf(all), {})
    assert.ok(!new Route({}).choosesPoints)
    assert.ok(!new Route({ excludeKinds: ['tags'] }).choosesPoints)
    for (const routing of [{ everyN: 2 }, { include: ['a'] }, { exclude: ['a'] }, { kinds: ['tags'] }]) {
      assert.deepEqual(routingOf(routing), routing)
      assert.ok(new Route(routing).choosesPoints)
    }
  })
})
