/** Runs as files of W&B's own format, before W&B's own tools: they read every record and send every row. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Run, startLogging } from '../../src/index.ts'
import { traceletWith } from '../cli/run-cli.ts'
import { temporaryFolder } from '../run/program.ts'
import { type StandInRun, WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { peerPython } from './python.ts'
import { madeUpKey, runWandbScript } from './wandb-sdk.ts'
import { IMAGE } from './wandb-story.ts'

const ROWS = 20_000
const SYSTEM_EVERY = 100
/** Some 100 kB of names and numbers. */
const WIDE_AT = 10_000
const WIDE_SERIES = 3_000
const MEDIA_AT = 5_000
const ODD = [Number.NaN, Infinity, -Infinity, 0.1 + 0.2, 5e-324]
const TABLE = [
  { word: 'größe', count: 1.5 },
  { word: '漢字', count: 2 },
]
const HISTOGRAM = { edges: [0, 0.5, 1], counts: [3, 4] }

interface Inspected {
  readonly code: number
  readonly stderr: string
  readonly counts: Readonly<Record<string, number>>
  readonly steps: readonly number[]
  readonly decoded: number
  readonly unknown: number
}

test(`${ROWS.toLocaleString('en')} rows and all else: leet reads every record, wandb sync sends every row, and tracelet sync finds them`, async (context) => {
  const peers = await prepare(context)
  if (!peers) return
  const { standIn, server, python, dir } = peers
  const run = startLogging({
    ...{ dir, runId: 'all', project: 'lab', name: 'Probelauf 漢字', quiet: true },
    backend: {
      wandb: { mode: 'offline', baseUrl: server.url, entity: 'stander', tags: ['réseau'] },
      'wandb-offline': { dir, entity: 'stander', tags: ['réseau'] },
    },
  })
  await play(run, dir)
  const stats = await run.finish()
  const { url, ...sums } = stats.destinations['wandb-offline']!
  assert.deepEqual([sums.pending, sums.rejected, sums.records.pending, sums.records.rejected], [0, 0, 0, 0])
  assert.equal(stats.destinations.wandb!.state, 'offline')

  const [seen] = JSON.parse(
    await runWandbScript(python, server, 'inspect_wandb.py', ['whole', logOf(url)]),
  ) as [Inspected]
  assert.deepEqual([seen.code, seen.stderr], [0, ''])
  assert.deepEqual(
    seen.steps,
    Array.from({ length: ROWS }, (_, step) => step),
  )
  const { history, stats: system, exit, output_raw: output, alert } = seen.counts
  assert.deepEqual([history, system, exit], [ROWS, ROWS / SYSTEM_EVERY, 1], JSON.stringify(seen.counts))
  assert.deepEqual([output, alert], [3, 1], JSON.stringify(seen.counts))
  const all = Object.values(seen.counts).reduce((sum, count) => sum + count, 0)
  assert.deepEqual([seen.decoded, seen.unknown], [all, 0])

  await runWandbScript(python, server, 'sync_wandb.py', [url])
  const remote = onlyRun(standIn)
  assertRows(remote)
  assertBeside(standIn, remote)
  assert.deepEqual(standIn.allProblems, [])

  const rows = remote.rows()
  const sync = await traceletWith(
    dir,
    { WANDB_BASE_URL: server.url, WANDB_API_KEY: server.key, WANDB_MODE: 'online', HOME: dir },
    ...['sync', 'all'],
  )
  assert.equal(sync.code, 0, sync.stdout + sync.stderr)
  assert.deepEqual(remote.rows(), rows, 'what wandb sync has sent is there once')
  assertNothingButAgain(standIn)
  assert.deepEqual([standIn.runs.size, remote.state], [1, 'finished'])
})

test('what wandb sync sent of a run that went on is completed by tracelet sync, no row twice', async (context) => {
  const peers = await prepare(context)
  if (!peers) return
  const { standIn, server, python, dir } = peers
  const run = startLogging({
    ...{ dir, runId: 'half', project: 'lab', quiet: true },
    backend: {
      wandb: { mode: 'offline', baseUrl: server.url, entity: 'stander' },
      'wandb-offline': { dir, entity: 'stander' },
    },
  })
  for (let step = 0; step < 300; step++) run.log(valuesOf(step), { step })
  await run.flush()
  const file = () => run.stats().destinations['wandb-offline']!
  const until = Date.now() + 30_000
  while ((file().url === '' || file().pending > 0) && Date.now() < until) await soon()
  const { url } = file()
  // as far as it is now: the run goes on after it
  await runWandbScript(python, server, 'sync_wandb.py', [url])
  const remote = onlyRun(standIn)
  const before = remote.history.length
  assert.ok(before >= 298 && before <= 300, `${before}`)
  for (let step = 300; step < 600; step++) run.log(valuesOf(step), { step })
  await run.finish()
  const sync = await traceletWith(
    dir,
    { WANDB_BASE_URL: server.url, WANDB_API_KEY: server.key, WANDB_MODE: 'online', HOME: dir },
    ...['sync', 'half'],
  )
  assert.equal(sync.code, 0, sync.stdout + sync.stderr)
  assert.deepEqual(
    remote.rows().map(plainRow),
    Array.from({ length: 600 }, (_, step) => expectedRow(step)),
  )
  assertNothingButAgain(standIn)
})

test('tracelet export writes the rows that delivery sends', async (context) => {
  const peers = await prepare(context)
  if (!peers) return
  const { standIn, server, python, dir } = peers
  const run = startLogging({ dir, runId: 'kept', project: 'lab', backend: 'local' })
  run.logParams({ lr: 0.1 })
  for (let step = 0; step < 500; step++) run.log(valuesOf(step), { step })
  await run.finish()
  const out = temporaryFolder(context)
  const made = await traceletWith(
    dir,
    { WANDB_ENTITY: 'stander' },
    'export',
    'kept',
    '--format',
    'wandb',
    '--out',
    out,
  )
  assert.equal(made.code, 0, made.stdout + made.stderr)
  const directory = /\S*offline-run-\S*kept/.exec(made.stdout + made.stderr)?.[0]
  assert.ok(directory, made.stdout + made.stderr)
  await runWandbScript(python, server, 'sync_wandb.py', [directory])
  const remote = onlyRun(standIn)
  assert.deepEqual(
    remote.rows().map(plainRow),
    Array.from({ length: 500 }, (_, step) => expectedRow(step)),
  )
  assert.deepEqual([remote.config.lr, standIn.allProblems], [0.1, []])
})

async function prepare(context: TestContext) {
  const python = await peerPython(context)
  if (python === undefined) return undefined
  const key = madeUpKey()
  const standIn = await WandbStandIn.start({ apiKey: key })
  context.after(() => standIn.stop())
  return { python, standIn, server: { url: standIn.url, key }, dir: temporaryFolder(context) }
}

/** Media stand in the row of their step: what is kept by another thread is waited for. */
async function play(run: Run, dir: string): Promise<void> {
  run.logParams({ lr: 0.001, optimizer: { name: 'adam', beta: 0.9 }, name: 'größe' })
  run.defineMetric('loss', { summary: ['min'] })
  run.logConsole('a line\nanother ü')
  for (let step = 0; step < ROWS; step++) {
    if (step === MEDIA_AT) {
      run.logHistogram('weights', HISTOGRAM, { step })
      run.logImage('sample', IMAGE, { step, caption: 'one' })
      run.logTable('words', TABLE, { step })
      run.logFigure('curve', { data: [{ y: [1, 2] }], layout: {} }, { step })
      await run.flush()
    }
    if (step === WIDE_AT) {
      run.logParams({ late: true })
      await run.flush()
    }
    run.log(valuesOf(step), { step })
    if (step % 1000 === 999) await run.flush()
  }
  run.logConsole('the end', { stream: 'stderr' })
  run.alert('over', 'all is done', { level: 'warn' })
  const folder = join(dir, 'model files')
  mkdirSync(folder)
  writeFileSync(join(folder, 'größe.bin'), 'bytes of it')
  await run.logArtifact(folder, { name: 'weights', type: 'checkpoint', alias: 'best' })
  await run.logFile(join(folder, 'größe.bin'), { as: 'notes/größe.txt' })
}

function valuesOf(step: number): Record<string, number> {
  return {
    loss: Math.sin(step) / 3,
    'val/größe': step * 1e10 + 0.1,
    'nested.key': step,
    odd: ODD[step % ODD.length]!,
    ...(step % SYSTEM_EVERY === 0 && { 'system/gpu.0.temp': 40 + step / ROWS }),
    ...(step === WIDE_AT &&
      Object.fromEntries(
        Array.from({ length: WIDE_SERIES }, (_, at) => [`wide/${String(at).padStart(5, '0')}`, at / 7]),
      )),
  }
}

function expectedRow(step: number): Record<string, unknown> {
  const logged = Object.entries(valuesOf(step)).filter(([name]) => !name.startsWith('system/'))
  return { ...Object.fromEntries(logged), _step: step, global_step: step }
}

/** Without its times, which the rows of the file are compared by elsewhere. */
function plainRow(row: Record<string, unknown>): Record<string, unknown> {
  const { _timestamp, _runtime, ...rest } = row
  assert.ok(typeof _timestamp === 'number' && typeof _runtime === 'number')
  return rest
}

function assertRows(remote: StandInRun): void {
  const rows = remote.rows()
  assert.equal(rows.length, ROWS)
  for (const [step, row] of rows.entries()) {
    const { weights, sample, words, curve, ...values } = plainRow(row) as Record<
      string,
      Record<string, unknown>
    >
    assert.deepEqual(values, expectedRow(step), `row ${step}`)
    if (step !== MEDIA_AT) continue
    assert.deepEqual(weights, { _type: 'histogram', values: HISTOGRAM.counts, bins: HISTOGRAM.edges })
    assert.deepEqual([sample!._type, sample!.caption], ['image-file', 'one'])
    assert.deepEqual([words!._type, words!.ncols, words!.nrows], ['table-file', 2, 2])
    assert.equal(curve!._type, 'plotly-file')
    for (const { path } of [sample!, words!, curve!]) assert.ok(remote.files.has(path as string), `${path}`)
    assert.deepEqual(remote.files.get(sample!.path as string), Buffer.from(IMAGE))
  }
}

function assertBeside(standIn: WandbStandIn, remote: StandInRun): void {
  assert.deepEqual(remote.config, {
    ...{ lr: 0.001, optimizer: { name: 'adam', beta: 0.9 }, name: 'größe', late: true },
  })
  assert.deepEqual([remote.tags, remote.state], [['réseau'], 'finished'])
  const losses = Array.from({ length: ROWS }, (_, step) => valuesOf(step).loss!)
  assert.deepEqual(remote.summary.loss, { min: Math.min(...losses) })
  assert.equal(remote.summary['nested.key'], ROWS - 1)
  assert.deepEqual(
    remote.output.map((line) => line.replace(/^(?:ERROR )?\S+ /, '')),
    ['a line', 'another ü', 'the end'],
  )
  const temperatures = remote.events.map(
    (line) => (JSON.parse(line) as Record<string, number>)['system.gpu.0.temp'],
  )
  assert.deepEqual(
    temperatures,
    Array.from({ length: ROWS / SYSTEM_EVERY }, (_, at) => 40 + (at * SYSTEM_EVERY) / ROWS),
  )
  assert.equal(remote.files.get('notes/größe.txt')?.toString(), 'bytes of it')
  assert.deepEqual(
    standIn.alerts.map(({ title }) => title),
    ['over'],
  )
  const [version] = standIn.artifacts.get('stander/lab/weights')!.versions
  assert.deepEqual([version!.state, [...version!.aliases].sort()], ['COMMITTED', ['best', 'latest']])
}

/** A line has the same values in our bytes, which the SDK orders and spells in another way. */
function assertNothingButAgain(standIn: WandbStandIn): void {
  assert.deepEqual(
    standIn.allProblems.filter((problem) => !problem.includes('came again with other bytes')),
    [],
  )
}

function onlyRun(standIn: WandbStandIn): StandInRun {
  assert.equal(standIn.runs.size, 1)
  return [...standIn.runs.values()][0]!
}

function logOf(directory: string): string {
  const id = /-(\w+)$/.exec(directory)![1]!
  return join(directory, `run-${id}.wandb`)
}

function soon(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20))
}
