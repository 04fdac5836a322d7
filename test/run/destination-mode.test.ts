/** Destinations that are offline or disabled by options of their own, such as `WANDB_MODE`. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { DestinationStats, Stats } from '../../src/core/types.ts'
import type { DestinationSpec } from '../../src/pipeline/messages.ts'
import { byMode } from '../../src/run/modes.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { onlyRun } from './journaled.ts'
import { type Ended, runProgram, temporaryFolder } from './program.ts'

const ENDING = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const MODULE = new URL(`./told-sink${ENDING}`, import.meta.url).href
const POINTS = 100
const WANDB = { WANDB_API_KEY: 'k'.repeat(40), WANDB_BASE_URL: 'http://127.0.0.1:1', WANDB_DIR: '' }

/** What the sink was sent, in order. */
function toldIn(file: string): number[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  return lines.flatMap((line) => (JSON.parse(line) as { points?: number[] }).points ?? [])
}

const points = (count: number) => Array.from({ length: count }, (_, value) => value)
const destinationsOf = (folder: string): Record<string, Record<string, unknown>> =>
  Object.fromEntries(
    JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')).destinations.map(
      (one: { name: string; options: Record<string, unknown> }) => [one.name, one.options],
    ),
  )

/** A process that logs `count` points from `from` on and finishes. */
async function log(
  folder: string,
  backend: object | undefined,
  environment: NodeJS.ProcessEnv,
  from = 0,
  count = POINTS,
): Promise<{ ended: Ended; stats: Stats }> {
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args, folder }) => {
      const [backend, from, count] = JSON.parse(args[0]!)
      const run = startLogging({
        dir: folder,
        ...(backend !== null && { backend }),
        ...(from > 0 ? { resume: 'r' } : { runId: 'r' }),
      })
      for (let step = from; step < from + count; step++) run.log({ loss: step }, { step })
      process.stdout.write(JSON.stringify(await run.finish()))
    },
    [JSON.stringify([backend ?? null, from, count])],
    environment,
  )
  assert.equal(ended.code, 0, ended.stderr)
  return { ended, stats: JSON.parse(ended.stdout) as Stats }
}

function assertPending(stats: DestinationStats | undefined, delivered: number, pending: number): void {
  assert.deepEqual([stats?.delivered, stats?.pending], [delivered, pending])
}

test('of what a run names, disabled destinations are left out, offline ones stay and are told apart', () => {
  const spec = (kind: string, index: number, module?: string): DestinationSpec => ({
    ...{ name: `${kind}:${index}`, kind, index, options: { kind } },
    ...(module !== undefined && { module }),
  })
  const specs = [
    spec('disabled', 0),
    spec('online', 1),
    spec('offline', 2),
    spec('local', 3),
    spec('offline', 4, 'm'),
  ]
  const { destinations, offline, disabled } = byMode(specs, (kind) =>
    kind === 'local' ? {} : { mode: (options) => (options as unknown as { kind: 'offline' }).kind },
  )
  assert.deepEqual(
    destinations.map(({ name, index }) => [name, index]),
    [
      ['online:1', 0],
      ['offline:2', 1],
      ['local:3', 2],
      ['offline:4', 3],
    ],
  )
  assert.deepEqual(
    [offline, disabled].map((some) => some.map(({ name }) => name)),
    [['offline:2'], ['disabled:0']],
  )
})

test('offline: nothing is sent, all is pending, the end says how it is sent, and sync sends it whatever the environment', async (context) => {
  for (const mode of ['offline', 'disabled']) {
    const folder = temporaryFolder(context)
    const file = join(folder, 'told')
    const backend = { local: {}, told: { module: MODULE, file } }
    const { ended, stats } = await log(folder, backend, { TOLD_MODE: mode })
    assertPending(stats.destinations.told, 0, POINTS)
    assert.equal(stats.destinations.told?.records.pending, stats.records.journaled)
    assert.equal(stats.destinations.told?.reason, 'offline')
    assertPending(stats.destinations.local, POINTS, 0)
    assert.match(
      ended.stderr,
      /^.*run r: offline: nothing was sent to told; send with: npx tracelet sync \/\S+\n$/,
    )
    assert.equal(existsSync(file), false)
    const runFolder = onlyRun(folder)
    assert.deepEqual(Object.keys(destinationsOf(runFolder)), ['local', 'told'])
    for (const times of [1, 2]) {
      const synced = await syncRun(runFolder, { deadlineMs: 30_000, environment: { TOLD_MODE: mode } })
      assertPending(synced.destinations.told, POINTS, 0)
      assert.deepEqual(toldIn(file), points(POINTS), `sync ${times}`)
    }
  }
})

test('while it is offline, and when the run is finished, its state says so', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const backend = { told: { module: args[0]!, file: '', mode: 'offline' } }
      const run = startLogging({ backend, onIssue: ({ code }) => process.stdout.write(`${code} `) })
      const until = Date.now() + 30_000
      const stateOf = () => run.stats().destinations.told!.state
      while (stateOf() === 'opening' && Date.now() < until)
        await new Promise((resolve) => setTimeout(resolve, 5))
      process.stdout.write(stateOf())
      await run.finish()
      process.stdout.write(` ${stateOf()}`)
    },
    [MODULE],
  )
  assert.equal(ended.stdout, 'offline offline', ended.stderr)
})

test('a run that was offline is sent when it is resumed online, and what was sent counts when it is offline again', async (context) => {
  const folder = temporaryFolder(context)
  const file = join(folder, 'told')
  await log(folder, { told: { module: MODULE, file } }, { TOLD_MODE: 'offline' })
  const online = await log(folder, undefined, { TRACELET_BACKEND: '' }, POINTS)
  assertPending(online.stats.destinations.told, 2 * POINTS, 0)
  assert.equal(online.ended.stderr, '')
  assert.deepEqual(toldIn(file), points(2 * POINTS))
  const again = await log(folder, undefined, { TRACELET_BACKEND: '', TOLD_MODE: 'offline' }, 2 * POINTS)
  assertPending(again.stats.destinations.told, 2 * POINTS, POINTS)
  assert.deepEqual(toldIn(file), points(2 * POINTS))
  const synced = await syncRun(onlyRun(folder), { deadlineMs: 30_000, environment: {} })
  assertPending(synced.destinations.told, 3 * POINTS, 0)
  assert.deepEqual(toldIn(file), points(3 * POINTS))
})

test('WANDB_MODE=offline: the run stands in run.json for W&B, without the mode of this process', async (context) => {
  const folder = temporaryFolder(context)
  const { ended, stats } = await log(folder, ['local', 'wandb'], { ...WANDB, WANDB_MODE: 'offline' })
  assertPending(stats.destinations.wandb, 0, POINTS)
  assert.match(
    ended.stderr,
    /^.*run r: offline: nothing was sent to wandb; send with: npx tracelet sync \/\S+ {2}or: wandb sync \/\S+\n$/,
  )
  const { wandb } = destinationsOf(onlyRun(folder))
  assert.equal(wandb?.baseUrl, WANDB.WANDB_BASE_URL)
  assert.equal('mode' in wandb!, false)
})

test('a run that goes on while all that it has is disabled gets no destination for it', async (context) => {
  const folder = temporaryFolder(context)
  await log(folder, ['wandb'], { ...WANDB, WANDB_MODE: 'offline' })
  const { stats } = await log(
    folder,
    undefined,
    { ...WANDB, TRACELET_BACKEND: '', WANDB_MODE: 'disabled' },
    POINTS,
  )
  assertPending(stats.destinations.local, 2 * POINTS, 0)
  // the journal as a destination would keep all of it for ever, whatever the run's retention says
  assert.deepEqual(Object.keys(destinationsOf(onlyRun(folder))), ['wandb', 'wandb-offline'])
})

test('WANDB_MODE=disabled: the run has no such destination; without another it is journaled only, said once', async (context) => {
  const environment = { ...WANDB, WANDB_MODE: 'disabled' }
  const other = temporaryFolder(context)
  const { ended, stats } = await log(other, ['wandb', 'local'], environment)
  assert.deepEqual([Object.keys(stats.destinations), ended.stderr], [['local'], ''])
  assert.deepEqual(Object.keys(destinationsOf(onlyRun(other))), ['local'])
  assertPending(stats.destinations.local, POINTS, 0)

  const folder = temporaryFolder(context)
  const alone = await runProgram(
    folder,
    async ({ startLogging }, { folder }) => {
      for (const runId of ['one', 'two']) {
        const run = startLogging({ dir: folder, backend: 'wandb', runId })
        run.log({ loss: 1 })
        const { destinations, journaled } = await run.finish()
        process.stdout.write(`${Object.keys(destinations)} ${journaled} `)
      }
    },
    [],
    environment,
  )
  assert.equal(alone.stdout, 'local 1 local 1 ', alone.stderr)
  assert.match(alone.stderr, /^.*wandb is disabled: the run is journaled only, in \/\S+one\n$/)
})
