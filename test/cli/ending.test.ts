/** Signals while a command waits for a backend that is dead: the first ends it well, the second at once. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { startProgram, temporaryFolder } from '../run/program.ts'
import { cliCommand, cliEnvironment } from './run-cli.ts'

/** Far below what the backend is waited for. */
const SOON_MS = 15_000

/** Takes connections and answers nothing. */
async function silentServer(context: TestContext): Promise<string> {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  context.after(() => server.close())
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`
}

function start(context: TestContext, root: string, environment: NodeJS.ProcessEnv, ...args: string[]) {
  const [node, ...rest] = cliCommand(...args)
  const child = spawn(node!, rest, { env: { ...cliEnvironment(root), ...environment }, stdio: 'pipe' })
  context.after(() => child.kill('SIGKILL'))
  let output = ''
  const waiting: { text: string; resolve: () => void }[] = []
  const take = (text: Buffer) => {
    output += text
    for (const { text, resolve } of waiting) if (output.includes(text)) resolve()
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  child.stdin.on('error', () => {})
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal })),
  )
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ text, resolve })
      take(Buffer.alloc(0))
      void ended.then(() => reject(new Error(`ended without '${text}': ${output}`)))
    })
  return { child, said, ended, output: () => output }
}

async function pendingRun(root: string, uri: string): Promise<void> {
  const run = startLogging({ dir: root, runId: 'left', backend: { mlflow: { uri } } })
  run.log({ loss: 1 }, { step: 0 })
  await run.finish('finished', { deadlineMs: 0 })
}

async function waitingSync(context: TestContext) {
  const root = temporaryFolder(context)
  await pendingRun(root, await silentServer(context))
  const sync = start(context, root, {}, 'sync', 'left')
  await sync.said('delivering')
  await new Promise((resolve) => setTimeout(resolve, 1500))
  return sync
}

async function waitingPipe(context: TestContext) {
  const root = temporaryFolder(context)
  const uri = await silentServer(context)
  const environment = { TRACELET_BACKEND: 'mlflow', MLFLOW_TRACKING_URI: uri }
  const pipe = start(context, root, environment, 'pipe')
  await pipe.said('run ')
  pipe.child.stdin.end('{"step":0,"loss":1}\n')
  // the input has ended when the run's state is journaled
  await new Promise((resolve) => setTimeout(resolve, 1500))
  return pipe
}

for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`pipe, waiting for a dead backend: ${name} ends it with what is pending and how to send it`, async (context) => {
    const pipe = await waitingPipe(context)
    const since = performance.now()
    pipe.child.kill(name)
    assert.deepEqual(await pipe.ended, { code, signal: null }, pipe.output())
    assert.ok(performance.now() - since < SOON_MS)
    assert.match(pipe.output(), /ending: .*again: at once/)
    assert.match(pipe.output(), /pending: 1 points .*npx tracelet sync /)
  })

  test(`sync, waiting for a dead backend: ${name} is heard and said, the second ends it at once`, async (context) => {
    const sync = await waitingSync(context)
    sync.child.kill(name)
    await sync.said('again: at once')
    await new Promise((resolve) => setTimeout(resolve, 300))
    const since = performance.now()
    sync.child.kill(name)
    assert.deepEqual(await sync.ended, { code: null, signal: name }, sync.output())
    assert.ok(performance.now() - since < 5000)
  })

  test(`sync, waiting for a dead backend: one ${name} ends it well, with the table`, async (context) => {
    const sync = await waitingSync(context)
    sync.child.kill(name)
    assert.deepEqual(await sync.ended, { code, signal: null }, sync.output())
    assert.match(sync.output(), /mlflow/)
  })

  test(`finish(), waiting for a dead backend: ${name} ends the program at once, nothing journaled is lost`, async (context) => {
    for (const signals of ['false', 'true']) {
      const uri = await silentServer(context)
      const program = startProgram(
        temporaryFolder(context),
        async ({ startLogging }, { args: [uri] }) => {
          const run = startLogging({ backend: { mlflow: { uri: uri! } } })
          run.log({ loss: 1 }, { step: 0 })
          await run.flush()
          process.stderr.write('waiting\n')
          await run.finish()
        },
        [uri],
        { TRACELET_SIGNALS: signals },
      )
      await program.said('waiting')
      await new Promise((resolve) => setTimeout(resolve, 300))
      program.child.kill(name)
      const { code, signal, stderr } = await program.ended
      assert.deepEqual({ code, signal }, { code: null, signal: name }, stderr)
      if (signals === 'true') assert.match(stderr, /pending: 1 points .*npx tracelet sync /)
    }
  })
}

test('tail ends with the first signal, which its shell sees', async (context) => {
  const root = temporaryFolder(context)
  const run = startLogging({ dir: root, runId: 'live' })
  const tail = start(context, root, {}, 'tail', 'live', '--from-start')
  run.log({ loss: 1 }, { step: 7 })
  await run.flush()
  await tail.said('loss')
  tail.child.kill('SIGINT')
  assert.deepEqual(await tail.ended, { code: null, signal: 'SIGINT' })
  await run.finish()
})
