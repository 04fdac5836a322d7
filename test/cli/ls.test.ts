import assert from 'node:assert/strict'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { width } from '../../src/cli/text.ts'
import { readRunFile, writeRunFile } from '../../src/pipeline/store/run-file.ts'
import { runProgram, temporaryFolder } from '../run/program.ts'
import { tracelet, traceletIntoClosedPipe, traceletWith } from './run-cli.ts'
import { finishedRun, HOSTILE_NAME, WIDE_NAME } from './runs.ts'
import { ESC, inTerminal } from './terminal.ts'

test('runs stand in columns, newest first, with their state and what is pending', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'first', { project: 'vision', name: HOSTILE_NAME })
  await finishedRun(root, 'second', { name: WIDE_NAME })
  const blocked = join(root, 'a-file')
  writeFileSync(blocked, '')
  await finishedRun(root, 'third', {
    backend: { tensorboard: { logDir: join(blocked, 'logs') } },
    finishDeadlineMs: 200,
  })
  const { code, stdout } = await tracelet(root, 'ls')
  assert.equal(code, 0)
  assert.doesNotMatch(stdout, /[^\P{Cc}\n]|\u202e/u)
  const [header, ...lines] = stdout.trimEnd().split('\n')
  assert.match(header!, /^run +name +project +experiment +state +started +points +pending$/)
  assert.match(lines[0]!, /^third .* finished .* 150 +tensorboard 15\d$/)
  assert.match(lines[1]!, /^second +学習率テスト +default .* finished .* 150 +0$/)
  assert.match(lines[2]!, /^first +evil name +vision .* finished .* 150 +0$/)
  const places = lines.map((line) => width(line.slice(0, line.indexOf('finished'))))
  assert.deepEqual(new Set(places).size, 1, 'the states stand below each other')

  const json = JSON.parse((await tracelet(root, 'ls', '--json')).stdout)
  assert.deepEqual(
    json.map((run: { id: string }) => run.id),
    ['third', 'second', 'first'],
  )
  assert.equal(json[2].name, HOSTILE_NAME)
  assert.equal(json[0].pending.tensorboard.points, 150)
})

test('projects, states and a number of runs can be chosen', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'one', { project: 'a' })
  await finishedRun(root, 'two', { project: 'b' })
  const ids = async (...args: string[]) =>
    JSON.parse((await tracelet(root, 'ls', '--json', ...args)).stdout).map(({ id }: { id: string }) => id)
  assert.deepEqual(await ids('--project', 'a'), ['one'])
  assert.deepEqual(await ids('--limit', '1'), ['two'])
  assert.deepEqual(await ids('--state', 'finished'), ['two', 'one'])
  assert.deepEqual(await ids('--state', 'died,running'), [])
  const wrong = await tracelet(root, 'ls', '--state', 'dead')
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /--state must be one of running, died/)
  const empty = await tracelet(join(root, 'nothing'), 'ls')
  assert.deepEqual([empty.code, empty.stdout], [0, `no such runs under ${join(root, 'nothing')}\n`])
  assert.equal((await tracelet(root, 'ls', '--state', ',')).code, 2)
})

test('a run whose process was killed has died, and one that lives is running', async (context) => {
  const root = temporaryFolder(context)
  await runProgram(root, async ({ startLogging }) => {
    const run = startLogging({ runId: 'gone' })
    run.log({ loss: 1 }, { step: 0 })
    await run.flush()
    process.kill(process.pid, 'SIGKILL')
  })
  const { startLogging } = await import('../../src/index.ts')
  const live = startLogging({ dir: root, runId: 'live', backend: 'local' })
  live.log({ loss: 1 }, { step: 0 })
  await live.flush()
  const { stdout } = await tracelet(root, 'ls')
  await live.finish()
  assert.match(stdout, /^live .* running .* 1 +0$/m)
  assert.match(stdout, /^gone .* died .* 1 +0$/m)
  assert.match((await tracelet(root, 'ls')).stdout, /^live .* finished /m)
})

test('a folder that cannot be read is told, and hides no other run', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'good')
  const bad = join(root, 'default', 'bad')
  mkdirSync(bad)
  writeFileSync(join(bad, 'run.json'), '{ "format": "tracelet-run", "version": 99 }')
  const { code, stdout } = await tracelet(root, 'ls')
  assert.equal(code, 1)
  assert.match(stdout, /^good /m)
  assert.match(stdout, /bad: ERR_JOURNAL_FORMAT: .*version 99/)
})

test('a thousand runs are listed within seconds', async (context) => {
  const root = temporaryFolder(context)
  const folder = await finishedRun(root, 'r0000')
  const file = readRunFile(folder)
  for (let i = 1; i < 1000; i++) {
    const id = `r${String(i).padStart(4, '0')}`
    const copy = join(root, 'default', id)
    cpSync(folder, copy, { recursive: true })
    const run = { ...file.run, id, name: id, createdAt: file.run.createdAt + i }
    writeRunFile(copy, { ...file, run })
  }
  const since = performance.now()
  const { stdout, code } = await tracelet(root, 'ls')
  const ms = performance.now() - since
  assert.equal(code, 0)
  const lines = stdout.trimEnd().split('\n')
  assert.equal(lines.length, 1001)
  assert.match(lines[1]!, /^r0999 .* 150 +0$/)
  context.diagnostic(`1,000 runs in ${Math.round(ms)} ms`)
  assert.ok(ms < 10_000, `${ms} ms`)
  // more than the pipe holds, so that its end is met while there is more to write
  const closed = await traceletIntoClosedPipe(root, 'ls', '--json')
  assert.deepEqual(closed, { code: 0, stderr: '' })
})

test('a narrow terminal shows the whole id, the state and what is pending', async (context) => {
  const root = temporaryFolder(context)
  const runId = '20261123-141845-qkgh56'
  await finishedRun(root, runId, { name: WIDE_NAME, project: 'a-project', expName: 'an-experiment' })
  const shown = await inTerminal(context, root, ['ls'], { columns: 42 })
  if (shown === undefined) return
  assert.deepEqual(shown.lines.slice(0, 2), [
    'run                     state     pending',
    `${runId}  finished  0`,
  ])
  assert.ok(shown.screen.includes(`${ESC}[32mfinished`))
})

test('a terminal shows colours unless NO_COLOR is set, and no line is wider than it', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'a-run-with-a-rather-long-name-of-its-own', { name: WIDE_NAME.repeat(4) })
  for (const columns of [20, 60, 100, 200]) {
    const shown = await inTerminal(context, root, ['ls'], { columns })
    if (shown === undefined) return
    assert.equal(shown.code, 0)
    assert.ok(shown.screen.includes(`${ESC}[2m`))
    for (const line of shown.lines) assert.ok(width(line) <= columns, `${columns}: ${line}`)
  }
  const wide = await inTerminal(context, root, ['ls'], { columns: 200 })
  assert.ok(wide!.screen.includes(`${ESC}[32mfinished`))
  const bare = await inTerminal(context, root, ['ls'], { environment: { NO_COLOR: '1' } })
  assert.ok(!bare!.screen.includes(ESC))
  const piped = await traceletWith(root, { TERM: 'xterm-256color' }, 'ls')
  assert.ok(!piped.stdout.includes(ESC))
})
