/** A run as files of another tool: whatever it was, it is only read, and half an export is none. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openRun, startLogging } from '../../../src/index.ts'
import { startProgram, temporaryFolder } from '../../run/program.ts'
import { readEvents } from '../../sinks/tensorboard/read-events.ts'
import { cliCommand, cliEnvironment, tracelet } from '../run-cli.ts'
import { finishedRun } from '../runs.ts'
import { treeOf } from './tree.ts'

const TENSORBOARD = ['--format', 'tensorboard']

const lossesIn = (folder: string) =>
  readEvents(folder)
    .filter(({ tag }) => tag === 'loss')
    .map(({ step, value }) => [Number(step), value])

test('a run that sent nothing anywhere is written as event files, and its own folder stays as it is', async (context) => {
  const root = temporaryFolder(context)
  const out = join(temporaryFolder(context), 'not', 'there', 'yet')
  const folder = await finishedRun(root, 'r', { params: { lr: 0.5 } })
  const before = treeOf(folder)
  const { code, stdout, stderr } = await tracelet(root, 'export', 'r', ...TENSORBOARD, '--out', out)
  assert.equal(code, 0, stderr)
  assert.equal(stderr, '')
  assert.match(stdout, new RegExp(`^run r: ${join(out, 'r')}$`, 'm'))
  assert.match(stdout, /^ +points +150 +150 +0 +0 +0 +✓$/m)
  assert.match(stdout, new RegExp(`with: tensorboard --logdir ${join(out, 'r')}$`, 'm'))
  const { step, value } = openRun('r', { dir: root }).history('loss')
  assert.deepEqual(
    lossesIn(join(out, 'r')),
    Array.from(step, (at, index) => [at, Math.fround(value[index]!)]),
  )
  assert.deepEqual(treeOf(folder), before)
})

test('what is there already is not written over, nor is an export put into the run', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const folder = await finishedRun(root, 'r')
  const words = ['export', 'r', ...TENSORBOARD, '--out', out]
  assert.equal((await tracelet(root, ...words)).code, 0)
  const before = treeOf(out)
  const again = await tracelet(root, ...words)
  assert.equal(again.code, 1)
  assert.match(again.stderr, new RegExp(`ERR_EXPORT_EXISTS: ${join(out, 'r')} is there already: .*--out`))
  assert.deepEqual(treeOf(out), before)
  const own = treeOf(folder)
  for (const inside of [folder, join(folder, 'exports'), join(folder, '..')]) {
    const refused = await tracelet(root, 'export', 'r', ...TENSORBOARD, '--out', inside)
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /ERR_OPTION: the export would lie in the folder of the run itself/)
  }
  assert.deepEqual(treeOf(folder), own)
})

test('a run that is being written is exported as it is by then, and goes on', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'live', backend: 'local' })
  for (let step = 0; step < 40; step++) run.log({ loss: step }, { step })
  await run.flush()
  const live = await tracelet(root, 'export', 'live', ...TENSORBOARD, '--out', out)
  assert.equal(live.code, 0, live.stderr)
  assert.match(live.stdout, /it is still being written: this is what was journaled when the export began/)
  for (let step = 40; step < 60; step++) run.log({ loss: step }, { step })
  const stats = await run.finish()
  assert.deepEqual([stats.journaled, stats.destinations.local!.pending], [60, 0])
  assert.deepEqual(
    lossesIn(join(out, 'live')),
    Array.from({ length: 40 }, (_, step) => [step, step]),
  )
})

test('a run whose process was killed is exported where it lies and as a copy elsewhere, and is not closed by it', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const program = startProgram(root, async ({ startLogging }) => {
    const run = startLogging({ runId: 'dead', backend: 'local' })
    for (let step = 0; step < 1000; step++) run.log({ loss: step }, { step })
    await run.flush()
    process.stdout.write('flushed')
    setInterval(() => {}, 1000)
  })
  await program.said('flushed')
  program.child.kill('SIGKILL')
  await program.ended
  const folder = join(root, 'default', 'dead')
  const copy = join(temporaryFolder(context), 'dead')
  cpSync(folder, copy, { recursive: true })
  for (const [name, from] of Object.entries({ there: folder, copy })) {
    const before = treeOf(from)
    const { code, stdout, stderr } = await tracelet(
      temporaryFolder(context),
      ...['export', from, ...TENSORBOARD, '--out', join(out, name)],
    )
    assert.equal(code, 0, stderr)
    assert.match(stdout, /its process died without a word/)
    assert.equal(lossesIn(join(out, name, 'dead')).length, 1000)
    assert.deepEqual(treeOf(from), before)
  }
  assert.equal(openRun('dead', { dir: root }).state().state, 'running')
})

test('what a run superseded when it went back is not in its export', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const log = async (from: number, to: number, value: number) => {
    const resume = from > 0 ? { resume: { runId: 'back', fromStep: from } } : { runId: 'back' }
    const run = startLogging({ dir: root, backend: 'local', ...resume })
    for (let step = from; step < to; step++) run.log({ loss: value }, { step })
    await run.finish()
  }
  await log(0, 30, 1)
  await log(10, 20, 2)
  const { code, stderr } = await tracelet(root, 'export', 'back', ...TENSORBOARD, '--out', out)
  assert.equal(code, 0, stderr)
  assert.deepEqual(
    lossesIn(join(out, 'back')),
    Array.from({ length: 20 }, (_, step) => [step, step < 10 ? 1 : 2]),
  )
})

test('what is refused is counted, its reason is said, the rest is exported, and the exit code tells', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'r', backend: 'local' })
  run.log({ loss: 1 }, { step: 0 })
  run.logTable('predictions', { columns: ['a'], data: [[1]] })
  run.logText('kept', 'a text that is there')
  await run.finish()
  rmSync(join(run.info.folder, 'blobs'), { recursive: true })
  const text = await tracelet(root, 'export', 'r', ...TENSORBOARD, '--out', out)
  assert.equal(text.code, 1, text.stderr)
  assert.match(text.stdout, /^ +1 rejected: ERR_BLOB: \S/m)
  assert.deepEqual(lossesIn(join(out, 'r')), [[0, 1]])
  assert.equal(existsSync(join(run.info.folder, 'dead-letters.jsonl')), false)
  const json = await tracelet(root, 'export', 'r', ...TENSORBOARD, '--out', join(out, 'json'), '--json')
  assert.equal(json.code, 1)
  const { complete, runs } = JSON.parse(json.stdout)
  const { journaled, exported, filtered, rejected, corrupt } = runs[0].records
  assert.deepEqual([complete, rejected, runs[0].refusals[0].code], [false, 1, 'ERR_BLOB'])
  assert.equal(exported + filtered + rejected + corrupt, journaled)
})

test('of several runs each is exported that can be, and those that cannot are told of', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const [first] = [await finishedRun(root, 'a'), await finishedRun(root, 'b', { project: 'other' })]
  const all = await tracelet(root, 'export', root, ...TENSORBOARD, '--out', out)
  assert.equal(all.code, 0, all.stderr)
  assert.match(all.stdout, /^2 runs exported$/m)
  assert.deepEqual(readdirSync(out).sort(), ['a', 'b'])
  rmSync(join(out, 'b'), { recursive: true })
  const some = await tracelet(root, 'export', first, 'b', 'nobody', ...TENSORBOARD, '--out', out, '--json')
  assert.equal(some.code, 1)
  assert.match(some.stderr, /nobody: ERR_RUN_UNKNOWN: /)
  assert.match(some.stderr, /ERR_EXPORT_EXISTS: /)
  const { complete, runs } = JSON.parse(some.stdout)
  assert.equal(complete, false)
  assert.deepEqual(
    runs.map(({ run, error }: { run?: string; error?: { code: string } }) => run ?? error!.code).sort(),
    ['ERR_EXPORT_EXISTS', 'ERR_RUN_UNKNOWN', 'b'],
  )
  assert.equal(lossesIn(join(out, 'b')).length, 50)
})

test('an export that cannot be written leaves nothing and says why', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  await finishedRun(root, 'r')
  writeFileSync(join(out, 'file'), 'mine')
  const { code, stderr } = await tracelet(
    root,
    ...['export', 'r', ...TENSORBOARD, '--out', join(out, 'file', 'below')],
  )
  assert.equal(code, 1)
  assert.match(stderr, /nothing was exported to \S+: .*ENOTDIR/)
  assert.deepEqual(readdirSync(out), ['file'])
})

test('a signal in the middle of an export leaves nothing of it, neither there nor among temporary files', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const temporary = join(temporaryFolder(context), 'tmp')
  mkdirSync(temporary)
  const run = startLogging({ dir: root, runId: 'long', backend: 'local', overflow: 'block' })
  for (let step = 0; step < 300_000; step++)
    run.log({ a: step, b: step, c: step, d: step, loss: step }, { step })
  await run.finish()
  const before = treeOf(run.info.folder)
  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const [node, ...args] = cliCommand('export', 'long', ...TENSORBOARD, '--out', out)
    const env = { ...cliEnvironment(root), TMPDIR: temporary }
    const child = spawn(node!, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    let stderr = ''
    child.stderr.on('data', (text: Buffer) => (stderr += text))
    const ended = once(child, 'close')
    while (!existsSync(join(out, 'long')) && child.exitCode === null) await new Promise(setImmediate)
    child.kill(signal)
    const [code] = await ended
    assert.equal(code, expected, stderr)
    assert.match(stderr, /ending: what was begun is removed; again: at once/)
    assert.match(stderr, /nothing was exported to \S+: it was ended/)
    assert.deepEqual([readdirSync(out), readdirSync(temporary)], [[], []])
  }
  assert.deepEqual(treeOf(run.info.folder), before)
})

test('what is wrong on the command line is told before anything is written', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  await finishedRun(root, 'r')
  const wrong: [string[], number, RegExp][] = [
    [[...TENSORBOARD], 2, /name runs/],
    [['r'], 2, /--format says as what: tensorboard or wandb/],
    [['r', '--format', 'tensorbord'], 2, /no format 'tensorbord'; did you mean 'tensorboard'\?/],
    [['r', ...TENSORBOARD, '--option', 'logDir=/tmp'], 2, /--out says in which folder/],
    [['r', ...TENSORBOARD, '--option', 'logdir'], 2, /--option takes KEY=VALUE/],
    [
      ['r', ...TENSORBOARD, '--option', 'logdr=x'],
      1,
      /ERR_OPTION: export to tensorboard: .*did you mean 'logDir'/,
    ],
    [['x', ...TENSORBOARD], 1, /ERR_RUN_UNKNOWN: no run 'x'/],
  ]
  for (const [words, code, message] of wrong) {
    const told = await tracelet(root, 'export', ...words, '--out', out)
    assert.equal(told.code, code, told.stderr)
    assert.match(told.stderr, message)
  }
  assert.deepEqual(readdirSync(out), [])
})
