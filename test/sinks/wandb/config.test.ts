import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RunConfig } from '../../../src/sinks/wandb/config.ts'
import { Random, SEED } from '../../random.ts'
import { runInfo } from '../mlflow/points.ts'
import { parseJson } from './stand-in/json.ts'

const run = runInfo({ id: 'run-1', nonce: 'nonce-1' })
type Json = Record<string, { value: unknown }>
const read = (config: RunConfig) => parseJson(config.text()) as Json
/** Without W&B's own part. */
function params(config: RunConfig): Record<string, unknown> {
  const { _wandb, ...others } = read(config)
  return Object.fromEntries(Object.entries(others).map(([name, { value }]) => [name, value]))
}
function configOf(given: Record<string, string | number | boolean | null>): RunConfig {
  const config = new RunConfig(run)
  config.addParams(given)
  return config
}

describe("a run's config", () => {
  it('nests names by their dots', () => {
    const config = configOf({
      'optimizer.name': 'adam',
      'optimizer.betas.0': 0.9,
      lr: 0.1,
      on: true,
      no: null,
    })
    assert.deepEqual(params(config), {
      ...{ optimizer: { name: 'adam', betas: { 0: 0.9 } }, lr: 0.1, on: true, no: null },
    })
  })

  it('keeps a name flat where another needs its place, whichever came first', () => {
    const names = ['a', 'a.b', 'a.b.c', 'd.e', 'd.e.f', 'd.g', '.h', 'i..j', 'k.']
    const random = new Random()
    for (let round = 0; round < 20; round++) {
      const shuffled = [...names].sort(() => random.next() - 0.5)
      const config = new RunConfig(run)
      for (const name of shuffled) config.addParams({ [name]: name })
      const expected = {
        ...{ a: 'a', 'a.b': 'a.b', 'a.b.c': 'a.b.c', d: { e: 'd.e', g: 'd.g' }, 'd.e.f': 'd.e.f' },
        ...{ '.h': '.h', 'i..j': 'i..j', 'k.': 'k.' },
      }
      assert.deepEqual(params(config), expected, `seed ${SEED}, ${shuffled}`)
    }
  })

  it('has lists as lists, NaN as null and infinities bare, as the SDK', () => {
    const config = configOf({ l: '[1,"x"]', text: '[1, 2]', nan: Number.NaN, inf: Infinity, big: 2 ** 60 })
    const texts = ['"l":{"value":[1,"x"]}', '"text":{"value":"[1, 2]"}', '"nan":{"value":null}']
    for (const text of [...texts, '"inf":{"value":Infinity}', '"big":{"value":1152921504606846976}']) {
      assert.ok(config.text().includes(text), `${text} in ${config.text()}`)
    }
  })

  it('names the run of ours, and has the telemetry without which a resume takes a run for not begun', () => {
    const { value } = read(new RunConfig(run))._wandb!
    const { t, tracelet } = value as { t: object; tracelet: object }
    assert.deepEqual(tracelet, { nonce: 'nonce-1', id: 'run-1' })
    assert.ok(Object.keys(t).length > 0)
    // numbers that say which SDK, which version of it or of Python: none of that is true here
    for (const field of ['3', '4', '5', '12']) assert.ok(!(field in t), field)
  })

  it('puts what others have written back as it was', () => {
    const theirs =
      '{"lr":{"desc":"theirs","value":1},"big":{"value":1152921504606846977},"inf":{"value":-Infinity},' +
      '"mark":{"value":"\u{10ffff}n5 NaN"},"__proto__":{"value":{"x":1}},"a.b":{"value":1},"d":{"value":{"x.y":1}},' +
      '"e":{"value":{}},"n":{"value":{"m":{"o":[1,{"p":2}]}}},"_wandb":{"value":{"cli_version":"0.31.0","t":{"5":"0.31.0"},"e":{"w":{}}}}}'
    const config = new RunConfig(run)
    config.restore(theirs)
    const text = config.text()
    for (const part of theirs
      .slice(1)
      .split(',"_wandb"')[0]!
      .split(/,(?="[\w.]+":\{)/)) {
      assert.ok(text.includes(part), `${part} in ${text}`)
    }
    const own = read(config)._wandb!.value as Record<string, unknown>
    assert.deepEqual([own.cli_version, own.t, own.e], ['0.31.0', { 5: '0.31.0' }, { w: {} }])
    config.addParams({ 'n.m.q': 3, lr: 2 })
    const { n, lr } = params(config)
    assert.deepEqual([n, lr], [{ m: { o: [1, { p: 2 }], q: 3 } }, 2])
    assert.ok(config.text().includes('"desc":"theirs"'))
  })

  it('is the same again after it was restored from its own text', () => {
    const config = configOf({ a: 1, 'a.b': 2, 'c.d': '[1]', _wandb: 5, '_wandb_.x': 6, 'e.f.g': 'x' })
    config.define({
      kind: 'metric',
      name: 'val/loss',
      axis: 'epoch',
      summary: ['min', 'best'],
      goal: 'minimize',
    })
    config.define({ kind: 'metric', name: 'acc.*', summary: ['max'] })
    const again = new RunConfig(run)
    again.restore(config.text())
    assert.deepEqual(read(again), read(config))
    assert.deepEqual([params(again)._wandb_, params(again)._wandb__], [5, { x: 6 }])
  })

  it('takes no harm from a text that is none', () => {
    for (const text of [
      '',
      '{',
      'null',
      '[1]',
      '{"a":1}',
      '{"_wandb":{"value":{"m":[1,{"5":9},{"1":7}]}}}',
    ]) {
      const config = new RunConfig(run)
      config.restore(text)
      config.addParams({ b: 1 })
      assert.equal(params(config).b, 1, text)
    }
  })

  it('can take back what the server refused', () => {
    const config = configOf({ a: 1 })
    const before = config.text()
    const undo = [
      config.addParams({ a: 2, b: 3 }),
      config.define({ kind: 'metric', name: 'x', summary: ['min'] }),
    ]
    assert.notEqual(config.text(), before)
    for (const one of undo) one()
    assert.equal(config.text(), before)
  })
})
