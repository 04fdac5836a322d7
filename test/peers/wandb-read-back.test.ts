/** What tracelet logged to the stand-in, read back by the reader of the wandb SDK. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { Random, SEED } from '../random.ts'
import { temporaryFolder } from '../run/program.ts'
import { WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { peerPython } from './python.ts'
import { madeUpKey, runWandbScript } from './wandb-sdk.ts'

const ROWS = 5_000

interface Seen {
  readonly name: string
  readonly state: string
  readonly tags: readonly string[]
  readonly notes: string
  readonly group: string
  readonly jobType: string
  readonly config: Readonly<Record<string, unknown>>
  readonly summary: Readonly<Record<string, unknown>>
  readonly history: readonly Readonly<Record<string, unknown>>[]
}

test(`the SDK's reader gives back the ${ROWS} rows that were logged, bit by bit (seed ${SEED})`, async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const standIn = await WandbStandIn.start()
  context.after(() => standIn.stop())
  const key = madeUpKey()
  const random = new Random()
  const run = startLogging({
    dir: temporaryFolder(context),
    project: 'read-back',
    name: 'Rücklauf 漢字',
    group: 'readers',
    tags: ['first', 'zweites'],
    params: { lr: 0.1, model: 'größe', on: true, none: null },
    backend: { wandb: { baseUrl: standIn.url, apiKey: key, jobType: 'eval', intervalMs: 0 } },
  })
  run.setNotes('for the *reader*')
  run.defineMetric('best', { summary: ['min', 'max'] })
  const rows: Record<string, number>[] = []
  let least = Infinity
  let most = -Infinity
  for (let row = 0, step = 7; row < ROWS; row++, step += 1 + random.below(3)) {
    const values: Record<string, number> = { 'train/loss': random.double(), best: random.next(), row }
    if (row % 11 === 0)
      values['größe.漢字'] = random.pick([Number.NaN, Infinity, -Infinity, 5e-324, 2 ** 53 - 1])
    least = Math.min(least, values.best!)
    most = Math.max(most, values.best!)
    const time = run.info.createdAt + row + row / 8
    run.log(values, { step, time })
    rows.push({
      ...values,
      global_step: step,
      _step: step,
      // whole ms, as seconds
      _timestamp: time / 1000,
      _runtime: (time - run.info.createdAt) / 1000,
    })
  }
  const stats = await run.finish()
  assert.equal(stats.destinations.wandb!.pending, 0, JSON.stringify(stats))
  const [path, remote] = [...standIn.runs][0]!
  assert.deepEqual([standIn.runs.size, remote.problems], [1, []])

  const text = await runWandbScript(python, { url: standIn.url, key }, 'read_wandb.py', [path])
  const seen = JSON.parse(text.trim().split('\n').at(-1)!, revive) as Seen
  assert.equal(seen.history.length, ROWS)
  for (const [index, expected] of rows.entries()) {
    const { _timestamp, _runtime, ...values } = seen.history[index]!
    const { _timestamp: timestamp, _runtime: runtime, ...logged } = expected
    assert.deepEqual(values, logged, `row ${index}`)
    // a microsecond: as near as a float of seconds since 1970 comes
    assert.ok(Math.abs((_timestamp as number) - timestamp!) < 1e-3, `${_timestamp} for ${timestamp}`)
    assert.ok(Math.abs((_runtime as number) - runtime!) < 1e-3, `${_runtime} for ${runtime}`)
  }
  const { name, state, notes, group, jobType, tags, config, summary } = seen
  assert.deepEqual(
    { name, state, notes, group, jobType, tags: tags.toSorted() },
    {
      ...{ name: 'Rücklauf 漢字', state: 'finished', notes: 'for the *reader*', group: 'readers' },
      ...{ jobType: 'eval', tags: ['first', 'zweites'] },
    },
  )
  assert.deepEqual(config, { lr: 0.1, model: 'größe', on: true, none: null })
  const last = rows.at(-1)!
  assert.deepEqual(summary.best, { min: least, max: most })
  for (const key of ['train/loss', 'row', 'global_step', '_step']) assert.equal(summary[key], last[key], key)
})

/** Floats that JSON does not know. */
function revive(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.keys(value).join() !== 'float') return value
  const { float } = value as { float: string }
  return { nan: Number.NaN, inf: Infinity, '-inf': -Infinity }[float]
}
