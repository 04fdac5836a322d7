import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { overviewOf } from '../../src/cli/overview.ts'
import { removeRun } from '../../src/cli/prune/remove-run.ts'
import { openRun, startLogging } from '../../src/index.ts'
import { takeGuard } from '../../src/pipeline/store/guard.ts'
import { readRunFile, writeRunFile } from '../../src/pipeline/store/run-file.ts'
import { runProgram, temporaryFolder } from '../run/program.ts'
import { tracelet } from './run-cli.ts'
import { finishedRun } from './runs.ts'
import { inTerminal } from './terminal.ts'

const ALL = ['--older-than', '0'] as const

/** A root with runs that TensorBoard has outside of their own folders. */
function folders(context: TestContext) {
  const root = temporaryFolder(context)
  return { root, backend: { tensorboard: { logDir: join(temporaryFolder(context), 'logs') } } }
}

test('only ended, delivered runs that lie elsewhere too are removed', async (context) => {
  const { root, backend } = folders(context)
  const delivered = await finishedRun(root, 'delivered', { backend })
  const onlyCopy = await finishedRun(root, 'only-copy', { backend: ['local', 'tensorboard'] })
  const obstacle = join(root, 'obstacle')
  writeFileSync(obstacle, '')
  const pending = await finishedRun(root, 'pending', {
    backend: { tensorboard: { logDir: join(obstacle, 'logs') } },
    finishDeadlineMs: 200,
  })
  const live = startLogging({ dir: root, runId: 'live', backend })
  live.log({ loss: 1 })
  await live.flush()
  await runProgram(root, async ({ startLogging: start }) => {
    const run = start({ runId: 'died' })
    run.log({ loss: 1 })
    await run.flush()
    process.kill(process.pid, 'SIGKILL')
  })
  const younger = await tracelet(root, 'prune', '--yes')
  assert.deepEqual([younger.code, younger.stdout.endsWith('nothing to remove\n')], [0, true])

  const dry = await tracelet(root, 'prune', ...ALL, '--dry-run')
  assert.match(dry.stdout, /^delivered .*KiB$/m)
  assert.match(dry.stdout, /^stays: only-copy: it is nowhere else \(--only-copies\)$/m)
  assert.match(dry.stdout, /^stays: pending: not delivered to tensorboard \(--force\)$/m)
  assert.match(dry.stdout, /would remove 1 run, /)
  assert.ok(existsSync(delivered))

  const { code, stdout } = await tracelet(root, 'prune', ...ALL, '--yes', '--json')
  const told = JSON.parse(stdout)
  assert.equal(code, 0)
  assert.deepEqual(
    told.removed.map(({ id }: { id: string }) => id),
    ['delivered'],
  )
  assert.ok(told.bytesFreed > 1000)
  assert.ok(!existsSync(delivered))
  assert.ok(existsSync(onlyCopy) && existsSync(pending))

  await tracelet(root, 'prune', ...ALL, '--yes', '--force', '--only-copies', '--state', 'finished,died')
  assert.deepEqual(readdirSync(join(root, 'default')), ['live'])
  live.log({ loss: 2 })
  await live.finish()
  assert.deepEqual(Array.from(openRun('live', { dir: root }).history('loss').value), [1, 2])
})

test('nothing is removed where nobody can be asked, nor by a wrong command line', async (context) => {
  const { root, backend } = folders(context)
  const folder = await finishedRun(root, 'kept', { backend })
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [[...ALL], /nobody can be asked here: give --yes/],
    [[...ALL, '--json'], /nobody can be asked/],
    [['--older-than', '3 moons', '--yes'], /--older-than must be a time such as/],
    [[...ALL, '--yes', '--state', 'running'], /a running run is never removed/],
  ]
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await tracelet(root, 'prune', ...args)
    assert.deepEqual([code, stdout], [2, ''], args.join(' '))
    assert.match(stderr, message)
  }
  assert.ok(existsSync(folder))
})

test('a terminal is asked, and only yes removes', async (context) => {
  const { root, backend } = folders(context)
  const folder = await finishedRun(root, 'asked', { backend })
  const answer = (typed: string) =>
    inTerminal(context, root, ['prune', ...ALL], { steps: [['[y/N] ', typed]] })
  for (const no of ['\r', 'n\r', 'yellow\r', '\x03', '\x04']) {
    const shown = await answer(no)
    if (shown === undefined) return
    assert.equal(shown.code, 1, JSON.stringify(no))
    assert.match(shown.screen, /nothing was removed/)
    assert.ok(existsSync(folder))
  }
  const shown = await answer('y\r')
  assert.equal(shown!.code, 0)
  assert.match(shown!.screen, /remove 1 run, [\d.]+ KiB, for good\?/)
  assert.match(shown!.screen, /removed 1 run, [\d.]+ KiB freed/)
  assert.ok(!existsSync(folder))
})

test('a run that a process writes or delivers stays, whatever is forced', async (context) => {
  const { root, backend } = folders(context)
  const folder = await finishedRun(root, 'held', { backend })
  for (const name of ['writer', 'deliver-tensorboard', 'deliver-unknown'] as const) {
    const guard = takeGuard(folder, name)
    const { code, stdout } = await tracelet(root, 'prune', ...ALL, '--yes', '--force', '--only-copies')
    guard.release()
    assert.equal(code, 0)
    assert.match(stdout, new RegExp(`stays: held: a process holds its guard ${name}`))
    assert.ok(existsSync(folder))
  }
})

test('links lead nowhere: what they point to stays', async (context) => {
  const { root, backend } = folders(context)
  const outside = temporaryFolder(context)
  const precious = join(outside, 'precious')
  writeFileSync(precious, 'x')
  const folder = await finishedRun(root, 'linked', { backend })
  symlinkSync(outside, join(folder, 'outside'))
  symlinkSync(precious, join(folder, 'precious'))
  const elsewhere = await finishedRun(outside, 'other', {
    backend: { tensorboard: { logDir: join(outside, 'tb') } },
  })
  symlinkSync(elsewhere, join(root, 'default', 'other'))
  const { code } = await tracelet(root, 'prune', ...ALL, '--yes')
  assert.equal(code, 0)
  assert.ok(!existsSync(folder))
  assert.equal(readFileSync(precious, 'utf8'), 'x')
  assert.ok(existsSync(join(elsewhere, 'run.json')))
})

test('two prunes at once remove each run once, and what a killed one left goes later', async (context) => {
  const { root, backend } = folders(context)
  for (let i = 0; i < 8; i++) await finishedRun(root, `run-${i}`, { backend })
  const left = join(root, 'default', '.pruned-1-2-gone')
  mkdirSync(left)
  utimesSync(left, 0, 0)
  const both = await Promise.all([1, 2].map(() => tracelet(root, 'prune', ...ALL, '--yes', '--json')))
  for (const { code, stdout, stderr } of both) {
    assert.equal(stderr, '')
    // a run that the other holds at that moment stays for it to remove
    if (code !== 0) assert.match(stdout, /"reason":"(?:process \d+|.*guard)/)
  }
  // young leftovers may be another prune's work under way
  assert.deepEqual(readdirSync(join(root, 'default')), ['.pruned-1-2-gone'])
})

test('a run with options that are not known stays, and the others go', async (context) => {
  const { root, backend } = folders(context)
  const strange = await finishedRun(root, 'strange', { backend })
  await finishedRun(root, 'known', { backend })
  const file = readRunFile(strange)
  const destinations = file.destinations.map((one) => ({
    ...one,
    options: { ...one.options, ofTomorrow: true },
  }))
  writeRunFile(strange, { ...file, destinations })
  const { code, stdout } = await tracelet(root, 'prune', ...ALL, '--yes')
  assert.equal(code, 0)
  assert.match(stdout, /^stays: strange: it is nowhere else/m)
  assert.match(stdout, /^removed 1 run/m)
  assert.equal(existsSync(strange), true)
})

test('a run that cannot be removed whole is told, and the others are removed', async (context) => {
  const root = temporaryFolder(context)
  const folders = [await finishedRun(root, 'stuck'), await finishedRun(root, 'free')]
  const shut = join(folders[0]!, 'blobs', 'shut')
  mkdirSync(shut, { recursive: true })
  writeFileSync(join(shut, 'file'), '')
  chmodSync(shut, 0o555)
  const reasons = asSomebody(root, () =>
    folders.map((folder) => removeRun(overviewOf(folder), () => undefined)),
  )
  assert.match(reasons[0] ?? '', /could not be removed: EACCES/)
  assert.equal(reasons[1], undefined)
  assert.deepEqual(
    folders.map((folder) => existsSync(folder)),
    [false, false],
  )
  for (const name of readdirSync(join(root, 'default'))) {
    assert.match(name, /^\.pruned-.*-stuck$/)
    chmodSync(join(root, 'default', name, 'blobs', 'shut'), 0o755)
  }
})

/** Root may do anything: it becomes somebody who owns the folder. */
function asSomebody<T>(folder: string, act: () => T): T {
  if (process.getuid?.() !== 0) return act()
  const somebody = 65_534
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    chownSync(join(folder, path), somebody, somebody)
  chownSync(folder, somebody, somebody)
  process.seteuid!(somebody)
  try {
    return act()
  } finally {
    process.seteuid!(0)
  }
}
