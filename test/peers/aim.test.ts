/** What is logged is read back by Aim's own SDK from a real server's repository, bit by bit. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'
import { type AimOptions, prepareOptions, runHashOf } from '../../src/sinks/aim/options.ts'
import { cliCommand, cliEnvironment } from '../cli/run-cli.ts'
import { runAndKill } from '../faults/victim.ts'
import { Random, SEED } from '../random.ts'
import { readJournal } from '../run/journaled.ts'
import { AimServer } from './aim-server.ts'
import { aimPython } from './python.ts'

const STEPS = 1_000
const METRICS = 9

function bitsOf(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return bytes.toString('hex')
}

function anyValue(random: Random): number {
  const odd = [Number.NaN, Infinity, -Infinity, -0, 5e-324, Number.MAX_VALUE]
  return random.next() < 0.05 ? random.pick(odd) : random.double()
}

test('1,000 steps of 10 series, contexts, epochs, params, tags, text, distribution, images and figures come back from a real server as they were', async (context) => {
  const python = await aimPython(context)
  if (python === undefined) return
  context.diagnostic(`seed ${SEED}`)
  const server = await AimServer.start(python)
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-aim-runs-'))
  context.after(async () => {
    await server.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })
  const random = new Random()
  const store = join(dir, 'store')
  const backend = { aim: { repo: server.address, artifacts: store } }
  const run = startLogging({ dir, backend, expName: 'reading back', name: 'one of all' })
  const runHash = runHashOf(prepareOptions(backend.aim as unknown as AimOptions), run.info)
  run.logParams({
    lr: 0.1,
    layers: 3,
    big: Number.MAX_SAFE_INTEGER,
    optimizer: { name: 'ü✓', nesterov: true },
    none: null,
  })
  run.setTags({ team: 'vision', fast: '' })
  run.setNotes('A *note*.')
  const wanted = new Map<string, { step: number; value: number; time: number; epoch: number }[]>()
  const add = (key: string, point: { step: number; value: number; time: number; epoch: number }) =>
    wanted.set(key, [...(wanted.get(key) ?? []), point])
  for (let at = 0; at < STEPS; at++) {
    const [step, time, epoch] = [3 * at + 1, 1_700_000_000_000 + at, Math.floor(at / 100)]
    const row: Record<string, number> = { epoch }
    for (let metric = 0; metric < METRICS; metric++) row[`m${metric}`] = anyValue(random)
    run.log(row, { step, time })
    for (const [name, value] of Object.entries(row)) add(`${name} {}`, { step, value, time, epoch })
    // some of it live, the rest all at once
    if (at < 100) await sleep(10)
  }
  for (let step = 0; step < 30; step++) {
    const value = anyValue(random)
    run.log({ loss: value }, { step, time: 5, context: 'subset=val, rank=0' })
    wanted.set('loss {"subset": "val", "rank": "0"}', [
      ...(wanted.get('loss {"subset": "val", "rank": "0"}') ?? []),
      { step, value, time: 5, epoch: Number.NaN },
    ])
  }
  run.logText('notes', 'Grüße\n✓', { step: 7 })
  run.logHistogram(
    'weights',
    Float64Array.from({ length: 500 }, () => random.next()),
    { step: 9 },
  )
  const pixels = (first: number) => Uint8Array.from({ length: 2 * 3 * 3 }, (_, at) => first + at)
  run.logImage('seen', { data: pixels(1), shape: [2, 3, 3] }, { step: 4, caption: 'one' })
  run.logImage('seen', { data: pixels(100), shape: [2, 3, 3] }, { step: 8 })
  run.logFigure('curve', { data: [{ type: 'scatter', x: [1], y: [2] }], layout: {} }, { step: 3 })
  run.logTable('table', { columns: ['a', 'b'], data: [[1, 'x']] }, { step: 3 })
  writeFileSync(join(dir, 'weights.txt'), 'some weights')
  await run.logArtifact(join(dir, 'weights.txt'), { name: 'model/first' })
  const stats = await run.finish()
  const { delivered, pending, rejected } = stats.destinations.aim!
  assert.deepEqual(
    [delivered, pending, rejected],
    [stats.journaled, 0, 0],
    JSON.stringify(stats.destinations),
  )

  const found = await server.read(runHash, [join(dir, 'fetched')])
  assert.ok(found !== null)
  assert.deepEqual(
    Object.entries(found.artifacts).map(([name, { content }]) => [name, content]),
    [['model/first/weights.txt', 'some weights']],
  )
  assert.equal(found.metrics.length, wanted.size)
  for (const { name, context: told, steps, values, epochs, times } of found.metrics) {
    const key = Object.keys(told).length === 0 ? `${name} {}` : `${name} {"subset": "val", "rank": "0"}`
    const points = wanted.get(key)!
    assert.deepEqual(
      [steps, values],
      [points.map(({ step }) => step), points.map(({ value }) => bitsOf(value))],
      key,
    )
    assert.deepEqual(
      times,
      points.map(({ time }) => time / 1000),
      key,
    )
    assert.deepEqual(
      epochs,
      points.map(({ epoch }) => (Number.isNaN(epoch) ? null : epoch)),
      key,
    )
  }
  for (const arrays of found.lengths)
    assert.equal(new Set(Object.values(arrays)).size, 1, JSON.stringify(arrays))
  await assertShown(server, runHash, wanted)
  const { lr, layers, big, optimizer, none, tags } = found.params
  assert.deepEqual(
    { lr, layers, big, optimizer, none, tags },
    {
      lr: { float: bitsOf(0.1) },
      layers: { int: '3' },
      big: { int: String(Number.MAX_SAFE_INTEGER) },
      optimizer: { name: 'ü✓', nesterov: true },
      none: null,
      tags: { team: 'vision', fast: '' },
    },
  )
  assert.deepEqual(
    [found.name, found.experiment, found.description, found.active, [...found.tags].sort()],
    ['one of all', 'reading back', 'A *note*.', false, ['fast', 'team:vision']],
  )
  assert.deepEqual(
    found.texts.map(({ name, steps, values }) => [name, steps, values]),
    [['notes', [7], ['Grüße\n✓']]],
  )
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const size = { width: 3, height: 2, format: 'png' }
  assert.deepEqual(
    found.images.map(({ name, steps, values }) => [name, steps, values]),
    [
      [
        'seen',
        [4, 8],
        [
          [{ ...size, caption: 'one', pixels: hex(pixels(1)) }],
          [{ ...size, caption: '', pixels: hex(pixels(100)) }],
        ],
      ],
    ],
  )
  assert.deepEqual(found.figures.map(({ name, values }) => [name, values[0]!.data[0]!.type]).sort(), [
    ['curve', 'scatter'],
    ['table', 'table'],
  ])
  const [distribution] = found.distributions
  assert.ok(distribution !== undefined)
  assert.deepEqual([distribution.name, distribution.steps], ['weights', [9]])
  assert.equal(
    distribution.values[0]!.weights.reduce((sum, count) => sum + count, 0),
    500,
  )
})

/** What `aim up` tells by its REST API, of which it gives a sample of 200 values and no NaN or infinity. */
async function assertShown(
  server: AimServer,
  runHash: string,
  wanted: ReadonlyMap<string, readonly { step: number; value: number }[]>,
): Promise<void> {
  await server.withUi(async (url) => {
    const until = Date.now() + 90_000
    const ask = async (path: string, body?: unknown) => {
      const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
      return fetch(`${url}/api/runs/${runHash}/${path}`, {
        ...init,
        headers: { 'content-type': 'application/json' },
      })
    }
    let info: Response | undefined
    while (!info?.ok) {
      assert.ok(Date.now() < until, `aim up does not show the run: ${info?.status}`)
      await sleep(250)
      info = await ask('info/').catch(() => undefined)
    }
    const { params, traces, props } = (await info.json()) as {
      params: { layers: number }
      traces: { metric: { name: string }[] }
      props: { name: string; experiment: { name: string }; active: boolean }
    }
    assert.deepEqual(
      [params.layers, props.name, props.experiment.name, props.active],
      [3, 'one of all', 'reading back', false],
    )
    assert.equal(traces.metric.length, wanted.size)
    const shown = (await (await ask('metric/get-batch/', [{ name: 'm0', context: {} }])).json()) as {
      iters: number[]
      values: (number | null)[]
    }[]
    const { iters, values } = shown[0]!
    assert.ok(iters.length >= 100)
    const byStep = new Map(wanted.get('m0 {}')!.map(({ step, value }) => [step, value]))
    for (const [at, step] of iters.entries()) {
      const value = byStep.get(step)!
      assert.equal(values[at], Number.isFinite(value) ? value : null, `step ${step}`)
    }
  })
}

test('a server that is killed in the midst of a run and started again: nothing is missing, nothing is there twice', async (context) => {
  const python = await aimPython(context)
  if (python === undefined) return
  const server = await AimServer.start(python)
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-aim-runs-'))
  context.after(async () => {
    await server.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })
  const backend = { aim: { repo: server.address } }
  const run = startLogging({ dir, backend, onIssue: () => {} })
  const runHash = runHashOf(prepareOptions(backend.aim as unknown as AimOptions), run.info)
  const steps = 4_000
  for (let step = 0; step < steps; step++) {
    run.log({ a: step, b: -step }, { step })
    if (step % 10 === 0) await sleep(10)
    if (step === 1_500) await server.kill()
    if (step === 2_000) await server.restart()
  }
  const stats = await run.finish('finished', { deadlineMs: 60_000 })
  assert.deepEqual([stats.destinations.aim!.delivered, stats.destinations.aim!.pending], [2 * steps, 0])
  const found = await server.read(runHash)
  const all = Array.from({ length: steps }, (_, step) => step)
  for (const { name, steps: there, values } of found!.metrics) {
    assert.deepEqual(there, all, name)
    assert.deepEqual(
      values,
      all.map((step) => bitsOf(name === 'a' ? step : -step)),
    )
  }
  assert.equal(found!.metrics.length, 2)
  for (const arrays of found!.lengths) assert.equal(new Set(Object.values(arrays)).size, 1)
})

test('a process that is killed again and again, and a sync of what it left: the server has what the journal has, once', async (context) => {
  const python = await aimPython(context)
  if (python === undefined) return
  const server = await AimServer.start(python)
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-aim-runs-'))
  context.after(async () => {
    await server.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })
  const random = new Random()
  for (let life = 0; life < 3; life++) {
    const kill = { after: 'logging', ms: 300 + random.below(1_200) } as const
    const death = await runAndKill('../peers/aim-program', `${dir}\n${server.address}`, kill)
    assert.ok(death.isKilled, death.stderr)
  }
  const folder = join(dir, 'default', 'r')
  const [command, ...args] = cliCommand('sync', folder)
  const synced = spawnSync(command!, args, { env: cliEnvironment(dir), encoding: 'utf8' })
  assert.equal(synced.status, 0, synced.stdout + synced.stderr)
  const [runHash] = readdirSync(join(server.folder, '.aim', 'meta', 'chunks'))
  const found = await server.read(runHash!)
  const journal = readJournal(folder)
  assert.ok(journal.count > 300, `${journal.count}`)
  context.diagnostic(`${journal.count} points`)
  for (const { name, steps, values } of found!.metrics) {
    const points = [...journal.points.get(name)!].sort((a, b) => a.step - b.step)
    assert.deepEqual(
      steps,
      points.map(({ step }) => step),
      name,
    )
    assert.deepEqual(
      values,
      points.map(({ value }) => bitsOf(value)),
      name,
    )
  }
  assert.deepEqual(found!.metrics.map(({ name }) => name).sort(), [...journal.points.keys()].sort())
  for (const arrays of found!.lengths) assert.equal(new Set(Object.values(arrays)).size, 1)
})
