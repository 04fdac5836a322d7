import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { runProgram, startProgram, temporaryFolder } from '../run/program.ts'
import { cliCommand, cliEnvironment, tracelet, traceletIntoClosedPipe } from './run-cli.ts'
import { finishedRun, HOSTILE_NAME } from './runs.ts'
import { CTRL_C, inTerminal } from './terminal.ts'

test('from the start, an ended run is told whole, and the end of the run is the end of the command', async (context) => {
  const root = temporaryFolder(context)
  await finishedRun(root, 'ended', { params: { [HOSTILE_NAME]: 1 } })
  const text = await tracelet(root, 'tail', 'ended', '--from-start')
  assert.equal(text.code, 0)
  assert.doesNotMatch(text.stdout, /[^\P{Cc}\n]|\u202e/u)
  assert.match(text.stdout, /^params {2}evil name=1$/m)
  assert.match(text.stdout, /^step 49 {2}loss 0\.02 {2}acc 0\.98 {2}hole 49$/m)
  assert.match(text.stderr, /run ended: finished/)
  const { stdout } = await tracelet(root, 'tail', 'ended', '--from-start', '--json', '--metric', 'loss')
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(events.pop(), { type: 'end', state: 'finished' })
  assert.deepEqual(
    events.map(({ type, step, values }) => ({ type, step, values })),
    Array.from({ length: 50 }, (_, step) => ({ type: 'metrics', step, values: { loss: 1 / (step + 1) } })),
  )
  const later = await tracelet(root, 'tail', 'ended')
  assert.deepEqual([later.code, later.stdout], [0, ''])
})

test('a run that another process writes is followed live until it ends', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'live', backend: 'local' })
  run.log({ loss: 0 }, { step: 0 })
  await run.flush()
  const [node, ...args] = cliCommand('tail', 'live', '--from-start', '--json', '--metric', 'loss')
  const child = spawn(node!, args, { env: cliEnvironment(root), stdio: ['ignore', 'pipe', 'inherit'] })
  context.after(() => child.kill('SIGKILL'))
  const exit = once(child, 'exit')
  const seen: number[] = []
  let rest = ''
  let ended: unknown
  // each value is logged once the one before it has been seen: nothing here can be read from the past
  for await (const text of child.stdout.setEncoding('utf8')) {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      const event = JSON.parse(line)
      if (event.type === 'end') ended = event.state
      else {
        seen.push(event.values.loss)
        if (seen.length < 5) run.log({ loss: seen.length }, { step: seen.length })
        else await run.finish()
      }
    }
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4])
  assert.equal(ended, 'finished')
  assert.deepEqual(await exit, [0, null])
})

test('a run whose process is killed ends the command with 1 and its last words', async (context) => {
  const root = temporaryFolder(context)
  const program = startProgram(root, async ({ startLogging: start }) => {
    const run = start({ runId: 'victim' })
    for (let step = 0; step < 1e6; step++) {
      run.log({ loss: step }, { step })
      if (step === 3) console.log('under way')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })
  await program.said('under way')
  const tail = tracelet(root, 'tail', 'victim', '--from-start', '--json')
  setTimeout(() => program.child.kill('SIGKILL'), 1000)
  const { code, stdout } = await tail
  assert.equal(code, 1)
  assert.deepEqual(JSON.parse(stdout.trimEnd().split('\n').at(-1)!), { type: 'end', state: 'died' })
  assert.match(stdout, /"values":\{"loss":3\}/)
})

test('a failed run ends the command with 1', async (context) => {
  const root = temporaryFolder(context)
  await runProgram(root, async ({ startLogging: start }) => {
    await start({ runId: 'bad' }).finish('failed')
  })
  const { code, stderr } = await tracelet(root, 'tail', 'bad')
  assert.equal(code, 1)
  assert.match(stderr, /run bad: failed/)
})

test('in a terminal Ctrl-C ends it at once; head ends it quietly', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'long', backend: 'local' })
  run.log({ loss: 0.5 }, { step: 7 })
  await run.flush()
  const shown = await inTerminal(context, root, ['tail', 'long', '--from-start'], {
    columns: 30,
    steps: [['step 7  loss 0.5', CTRL_C]],
  })
  // the one line that it had read already ends the pipe while the run goes on
  const timer = setInterval(() => run.log({ loss: 1 }), 50)
  const closed = await traceletIntoClosedPipe(root, 'tail', 'long', '--from-start')
  clearInterval(timer)
  await run.finish()
  assert.equal(closed.code, 0)
  assert.equal(closed.stderr, '')
  if (shown === undefined) return
  assert.deepEqual([shown.code, shown.signal], [null, 'SIGINT'])
})

test('a long history ends as soon as nobody reads it any more', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'long', backend: 'local' })
  for (let step = 0; step < 100_000; step++) run.log({ a: step, b: step }, { step })
  await run.finish()
  // quiet: it never came to its end
  assert.deepEqual(await traceletIntoClosedPipe(root, 'tail', 'long', '--from-start'), {
    code: 0,
    stderr: '',
  })
})
