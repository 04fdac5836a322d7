/** What a terminal shows of backends that fail: once, for all runs together, and with a command that works when it is pasted. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { cliCommand, cliEnvironment } from '../cli/run-cli.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { freePort } from '../peers/mlflow-server.ts'
import { fakeModule } from '../pipeline/delivery/run-folder.ts'
import { IdentityServer } from '../sinks/fakes/identity-server.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { runProgram, temporaryFolder } from './program.ts'

const RUNS = 60

/** Runs a command that was printed, in a shell, with this build in place of the installed one. */
async function paste(line: string, root: string): Promise<string> {
  const command = /npx tracelet .*$/.exec(line)?.[0]
  assert.ok(command, line)
  const [node, main] = cliCommand()
  const ours = command.replace('npx tracelet', `'${node}' '${main}'`)
  const options = { env: cliEnvironment(root), cwd: '/', timeout: 120_000 }
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', ours], options)
  return stdout
}

test(`${RUNS} runs at one dead server say so in one line, and at the end in few; what is printed sends the rest`, {
  skip: process.platform === 'win32',
}, async (context) => {
  const root = join(temporaryFolder(context), "Ann's größe & 実験")
  mkdirSync(root)
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  await fake.stop()
  const ended = await runProgram(
    temporaryFolder(context),
    async ({ startLogging }, { args: [dir, uri, count] }) => {
      const runs = Array.from({ length: Number(count) }, () =>
        startLogging({ dir, backend: { mlflow: { uri } } as never }),
      )
      for (const run of runs) for (let step = 0; step < 10; step++) run.log({ loss: step }, { step })
      // by then each has failed more than once
      while (!runs.every((run) => run.stats().destinations.mlflow!.reason !== '')) {
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      await Promise.all(runs.map((run) => run.finish('finished', { deadlineMs: 300 })))
    },
    [root, fake.uri, String(RUNS)],
  )
  assert.equal(ended.code, 0, ended.stderr)
  const lines = ended.stderr.trim().split('\n')
  const failing = lines.filter((line) => /ERR_UNREACHABLE: mlflow: http.*ECONNREFUSED/.test(line))
  const pending = lines.filter((line) => /ERR_DEADLINE: run .*10 points and 2 records for mlflow/.test(line))
  const [last] = lines.slice(-1)
  assert.deepEqual([failing.length, pending.length, lines.length], [1, 5, 7], ended.stderr)
  assert.match(last!, /ERR_DEADLINE: 55 more runs are pending; send all with: npx tracelet sync /)

  await fake.listen()
  await paste(pending[0]!, root)
  assert.equal(fake.store.runs.size, 1)
  await paste(last!, root)
  assert.deepEqual([fake.store.runs.size, fake.store.points], [RUNS, RUNS * 10])
  assert.ok([...fake.store.runs.values()].every(({ status }) => status === 'FINISHED'))
})

test('an outage that is over is told with how long it was and that nothing was lost, rows and uploads together', async (context) => {
  const server = await IdentityServer.start()
  const proxy = await FaultProxy.start(server.url)
  context.after(() => Promise.all([proxy.stop(), server.stop()]))
  const folder = temporaryFolder(context)
  await proxy.down()
  const running = runProgram(
    folder,
    async ({ startLogging }, { args: [module, url, sign] }) => {
      const { existsSync, writeFileSync } = await import('node:fs')
      const run = startLogging({ backend: { identity: { module, url } } as never })
      run.logText('note', 'x'.repeat(10_000), { step: 0 } as never)
      for (let step = 0; step < 1000; step++) run.log({ loss: step }, { step })
      while (run.stats().destinations.identity!.reason === '') await new Promise((go) => setTimeout(go, 20))
      writeFileSync(sign!, '')
      while (existsSync(sign!)) await new Promise((go) => setTimeout(go, 20))
      await run.finish()
    },
    [fakeModule('identity'), proxy.uri, join(folder, 'down')],
  )
  while (!existsSync(join(folder, 'down'))) await new Promise((go) => setTimeout(go, 20))
  await proxy.up()
  rmSync(join(folder, 'down'))
  const { code, stderr } = await running
  assert.equal(code, 0, stderr)
  const lines = stderr.trim().split('\n')
  assert.equal(lines.length, 2, stderr)
  assert.match(lines[0]!, /ERR_UNREACHABLE: identity: http:.*ECONNREFUSED/)
  assert.match(
    lines[1]!,
    /identity: delivering again after [\d.]+ s: nothing was lost; 1,000 points and \d records are on their way/,
  )
})

test('what is pending is told at the end of a process that never finished its run, whatever ends it', async (context) => {
  const uri = `http://127.0.0.1:${await freePort()}`
  for (const end of ['process.exit', 'throws']) {
    const folder = temporaryFolder(context)
    const ended = await runProgram(
      folder,
      async ({ startLogging }, { args: [uri, end] }) => {
        const run = startLogging({ runId: 'r', backend: { mlflow: { uri } } as never })
        for (let step = 0; step < 10; step++) run.log({ loss: step }, { step })
        if (end === 'process.exit') process.exit(0)
        throw new Error('training failed')
      },
      [uri, end],
    )
    assert.equal(ended.code, end === 'throws' ? 1 : 0)
    assert.match(
      ended.stderr,
      /ERR_DEADLINE: run r: pending: 10 points and 2 records for mlflow.*npx tracelet sync \/.*\/default\/r$/m,
    )
  }
})

test('finish() is in time though the sink hears no signal, and though it never answers an opening', async (context) => {
  const folder = temporaryFolder(context)
  const module = join(folder, 'deaf-sink.mjs')
  writeFileSync(
    module,
    `import fake from ${JSON.stringify(fakeModule('identity'))}
const never = () => new Promise(() => {})
export default {
  ...fake,
  kind: 'deaf',
  create: ({ options }) => ({
    open: async () => (options.url === 'http://open' ? never() : { status: 'ready' }),
    write: never,
    writeRecord: never,
    upload: never,
    close: never,
  }),
}
`,
  )
  for (const url of ['http://open', 'http://write']) {
    const ended = await runProgram(
      temporaryFolder(context),
      async ({ startLogging }, { args: [module, url] }) => {
        const run = startLogging({ backend: { deaf: { module, url } } as never })
        for (let step = 0; step < 10; step++) run.log({ loss: step }, { step })
        await run.flush()
        const from = performance.now()
        const stats = await run.finish('finished', { deadlineMs: 800 })
        console.log(JSON.stringify([performance.now() - from, stats.destinations.deaf!.pending]))
      },
      [module, url],
    )
    const [ms, pending] = JSON.parse(ended.stdout) as [number, number]
    assert.ok(ms < 6_000, `${ms} ms`)
    assert.equal(pending, 10)
    assert.match(ended.stderr, /pending: 10 points and \d records for deaf \(the deadline passed\)/)
  }
})
