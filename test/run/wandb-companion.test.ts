/** What W&B's offline mode writes meanwhile: files that `wandb sync` sends, beside what `tracelet sync` does. */
import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Backend, StartOptions, Stats } from '../../src/index.ts'
import { startLogging } from '../../src/index.ts'
import { readRunFile } from '../../src/pipeline/store/run-file.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { logsOf, readLog, rowsOf } from '../sinks/wandb/offline/read-log.ts'
import { WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { runProgram, temporaryFolder } from './program.ts'

const ROWS = 50
const KEY = 'k'.repeat(40)
/** Of the machine's own settings nothing counts. */
const NOTHING_ELSE = {
  ...{ WANDB_API_KEY: KEY, WANDB_BASE_URL: 'http://127.0.0.1:1', WANDB_MODE: 'offline', WANDB_PROJECT: '' },
  ...{ WANDB_ENTITY: '', WANDB_RUN_ID: '', WANDB_NAME: '', WANDB_SILENT: '', TRACELET_QUIET: '' },
}

/** @param environment what the process has, but for its own settings of W&B */
function inEnvironment(context: TestContext, environment: Record<string, string>): void {
  const all = { ...NOTHING_ELSE, ...environment }
  const before = Object.keys(all).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, all)
  context.after(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
}

async function logged(options: StartOptions, from = 0): Promise<{ folder: string; stats: Stats }> {
  const run = startLogging({ quiet: true, ...options })
  for (let step = from; step < from + ROWS; step++) run.log({ loss: step }, { step })
  const stats = await run.finish()
  return { folder: run.info.folder, stats }
}

const rowsIn = (dir: string, id: string) =>
  logsOf(dir, id).map((path) => rowsOf(readLog(path).records).map(({ loss }) => loss))
const numbers = (count: number) => Array.from({ length: count }, (_, value) => value)
const named = (stats: Stats) => Object.keys(stats.destinations)

test('an offline run is in W&B files as well, by one mode of one option, and both ways are told', async (context) => {
  const folder = temporaryFolder(context)
  const program = async ({ startLogging }: typeof import('../../src/index.ts')) => {
    const run = startLogging({ runId: 'r', backend: { local: {}, wandb: { project: 'p' } } })
    for (let step = 0; step < 50; step++) run.log({ loss: step }, { step })
    process.stdout.write(JSON.stringify(await run.finish()))
  }
  const loud = await runProgram(folder, program, [], { ...NOTHING_ELSE, WANDB_DIR: folder })
  assert.equal(loud.code, 0, loud.stderr)
  const { destinations } = JSON.parse(loud.stdout) as Stats
  const companion = destinations['wandb-offline']!
  assert.deepEqual([companion.delivered, companion.pending, companion.records.pending], [ROWS, 0, 0])
  assert.deepEqual([destinations.wandb!.state, destinations.wandb!.pending], ['offline', ROWS])
  assert.deepEqual(rowsIn(folder, 'r'), [numbers(ROWS)])
  const way = `npx tracelet sync ${join(folder, 'default', 'r')}  or: wandb sync ${companion.url}`
  assert.equal(loud.stderr, `tracelet: run r: offline: nothing was sent to wandb; send with: ${way}\n`)
  const quiet = await runProgram(temporaryFolder(context), program, [], {
    ...{ ...NOTHING_ELSE, WANDB_DIR: folder, WANDB_SILENT: 'true' },
  })
  assert.match(quiet.stderr, /^tracelet: run r: offline: [^\n]* npx tracelet sync \/\S+\n$/)
})

test('tracelet sync sends what was offline, and finds the files complete', async (context) => {
  const dir = temporaryFolder(context)
  inEnvironment(context, { WANDB_DIR: dir })
  const server = await WandbStandIn.start()
  context.after(() => server.stop())
  const wandb = { baseUrl: server.url, entity: 'ann', project: 'p' }
  const { folder } = await logged({ dir, runId: 'r', backend: { wandb } })
  const written = readRunFile(folder).destinations
  assert.deepEqual(
    written.map(({ name, companionOf }) => [name, companionOf]),
    [
      ['wandb', undefined],
      ['wandb-offline', 'wandb'],
    ],
  )
  const before = readLog(logsOf(dir, 'r')[0]!).records.length
  const synced = await syncRun(folder, { deadlineMs: 60_000, environment: process.env })
  const { wandb: sent, 'wandb-offline': files } = synced.destinations
  assert.deepEqual([sent!.sent.points, files!.sent.points, files!.sent.records], [ROWS, 0, 0])
  assert.deepEqual([sent!.complete, files!.complete], [true, true])
  assert.equal(server.runs.size, 1)
  assert.equal(readLog(logsOf(dir, 'r')[0]!).records.length, before)
})

test('a run that goes on has the same files again, wherever it is started; online and disabled have none', async (context) => {
  const dir = temporaryFolder(context)
  const elsewhere = temporaryFolder(context)
  inEnvironment(context, { WANDB_DIR: dir })
  await logged({ dir, runId: 'r', backend: ['local', 'wandb'] })
  process.env.WANDB_DIR = elsewhere
  const again = await logged({ dir, resume: 'r' }, ROWS)
  assert.deepEqual(named(again.stats), ['local', 'wandb', 'wandb-offline'])
  assert.deepEqual(rowsIn(dir, 'r'), [numbers(2 * ROWS)])
  assert.deepEqual(readdirSync(elsewhere), [])
  for (const mode of ['disabled', 'online']) {
    process.env.WANDB_MODE = mode
    const run = startLogging({ dir, resume: 'r', finishDeadlineMs: 0, quiet: true, onIssue: () => {} })
    assert.deepEqual(named(run.stats()), mode === 'online' ? ['local', 'wandb'] : ['local'])
    await run.finish()
  }
  process.env.WANDB_MODE = 'offline'
  // what was logged meanwhile comes too
  const last = await logged({ dir, resume: 'r' }, 2 * ROWS)
  assert.deepEqual(rowsIn(dir, 'r'), [numbers(3 * ROWS)])
  assert.equal(last.stats.destinations['wandb-offline']!.pending, 0)
})

test('two of W&B in one folder have a directory each, nested runs have their own, and what goes there is the same', async (context) => {
  const dir = temporaryFolder(context)
  inEnvironment(context, { WANDB_DIR: dir })
  const backend: Backend = {
    wandb: { project: 'mine', exclude: ['secret'] },
    'wandb:team': { project: 'ours' },
  }
  const parent = startLogging({ dir, runId: 'r', backend, quiet: true })
  parent.log({ loss: 0, secret: 1 }, { step: 0 })
  const child = startLogging({ parent, runId: 'child' })
  child.log({ loss: 7 }, { step: 0 })
  await child.finish()
  const { destinations } = await parent.finish()
  assert.deepEqual(Object.keys(destinations), ['wandb', 'wandb:team', 'wandb-offline', 'wandb-offline:team'])
  assert.deepEqual(
    ['wandb-offline', 'wandb-offline:team'].map((name) => destinations[name]!.filtered),
    [1, 0],
  )
  const secrets = logsOf(dir, 'r').map((path) => rowsOf(readLog(path).records)[0]!.secret)
  assert.deepEqual(secrets.sort(), [1, undefined])
  assert.deepEqual(rowsIn(dir, 'child'), [[7], [7]])
})

test('who names the files himself has those alone, and a run that is offline as a whole has the journal', async (context) => {
  const dir = temporaryFolder(context)
  const mine = temporaryFolder(context)
  inEnvironment(context, { WANDB_DIR: dir })
  const own = await logged({ dir, runId: 'own', backend: { wandb: {}, 'wandb-offline': { dir: mine } } })
  assert.deepEqual(named(own.stats), ['wandb', 'wandb-offline'])
  assert.deepEqual([rowsIn(mine, 'own'), rowsIn(dir, 'own')], [[numbers(ROWS)], []])
  const { folder } = await logged({ dir, runId: 'whole', mode: 'offline', backend: ['wandb'] })
  assert.deepEqual(
    readRunFile(folder).destinations.map(({ name }) => name),
    ['wandb'],
  )
  assert.deepEqual(logsOf(dir, 'whole'), [])
})

test('files that would be the same are refused where they were named, and written once where they were not', async (context) => {
  const dir = temporaryFolder(context)
  inEnvironment(context, { WANDB_DIR: dir })
  const files = { 'wandb-offline:a': { project: 'p' }, 'wandb-offline:b': {} }
  const start = (project: string) =>
    startLogging({ dir, runId: project, project, backend: files, quiet: true })
  assert.throws(() => start('p'), { code: 'ERR_OPTION', message: /wandb-offline:a and wandb-offline:b/ })
  const run = start('q')
  run.log({ loss: 1 }, { step: 0 })
  await run.finish()
  assert.deepEqual(rowsIn(dir, 'q'), [[1], [1]])
  const { stats } = await logged({ dir, runId: 'r', backend: ['wandb', 'wandb:again'] })
  assert.deepEqual(named(stats), ['wandb', 'wandb:again', 'wandb-offline'])
  assert.deepEqual(rowsIn(dir, 'r'), [numbers(ROWS)])
})

test('where the files cannot be written the run goes on, says so, and points to the journal alone', async (context) => {
  const folder = temporaryFolder(context)
  writeFileSync(join(folder, 'wandb'), 'no folder')
  const ended = await runProgram(
    folder,
    async ({ startLogging }) => {
      const run = startLogging({ runId: 'r', backend: ['local', 'wandb'], finishDeadlineMs: 5000 })
      run.log({ loss: 1 })
      const { destinations, journaled } = await run.finish()
      process.stdout.write(`${journaled} ${destinations['wandb-offline']!.pending}`)
    },
    [],
    { ...NOTHING_ELSE, WANDB_DIR: folder },
  )
  assert.equal(ended.code, 0, ended.stderr)
  assert.equal(ended.stdout, '1 1')
  assert.match(ended.stderr, /wandb-offline: \S/)
  assert.match(ended.stderr, /nothing was sent to wandb; send with: npx tracelet sync \/\S+\n/)
})
