/** Somebody asks at a backend that a run be stopped: the program hears of it wherever it is, and goes on by itself. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import {
  attachRun,
  type BackendOptions,
  type Issue,
  type Run,
  type RunHandle,
  startLogging,
} from '../../src/index.ts'
import { runProgram, temporaryFolder } from './program.ts'

const MODULE = new URL(
  `./told-sink${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
  import.meta.url,
).href
const LONG_MS = 30_000

function asking(
  context: TestContext,
  asksForStop = true,
): { dir: string; backend: Record<string, BackendOptions> } {
  const dir = temporaryFolder(context)
  const told = (name: string) => ({ module: MODULE, file: join(dir, name), asksForStop })
  return { dir, backend: { 'told:one': told('one'), 'told:other': told('other') } }
}

/** In a loop that never awaits. */
function spin(run: Pick<Run, 'stopRequested' | 'log'>): boolean {
  const until = performance.now() + LONG_MS
  for (let step = 0; !run.stopRequested; step++) {
    if (performance.now() > until) return false
    if (step % 1_000_000 === 0) run.log({ loss: step }, { step })
  }
  return true
}

if (!isMainThread) {
  parentPort!.postMessage(spin(attachRun((workerData as { handle: RunHandle }).handle)))
} else {
  test('a loop that never awaits sees it, by run.stopRequested; handlers hear it once per backend', async (context) => {
    const issues: Issue[] = []
    const requests: string[] = []
    const run = startLogging({
      ...asking(context),
      onIssue: (issue) => issues.push(issue),
      onStopRequest: ({ destination }) => requests.push(destination),
    })
    assert.equal(run.stopRequested, false)
    assert.ok(spin(run))
    assert.deepEqual(requests, [], 'the event loop has not turned')
    for (let step = 0; requests.length < 2 && step < LONG_MS / 10; step++) {
      run.log({ acc: step })
      await sleep(10)
    }
    for (let step = 0; step < 10; step++) {
      run.log({ acc: step })
      await sleep(10)
    }
    const { accepted, destinations } = await run.finish()
    assert.deepEqual(requests.sort(), ['told:one', 'told:other'])
    assert.deepEqual(
      issues.map(({ code, severity, destination }) => `${code} ${severity} ${destination}`).sort(),
      ['told:one', 'told:other'].map((name) => `ERR_STOP_REQUESTED notice ${name}`),
    )
    assert.equal(destinations['told:one']?.delivered, accepted, 'it is told, not obeyed')
  })

  test('a run that nobody wants to stop says so, and so does a disabled one', async (context) => {
    let requests = 0
    const run = startLogging({ ...asking(context, false), onStopRequest: () => void requests++ })
    run.log({ loss: 1 })
    await run.finish()
    assert.equal(requests, 0)
    const disabled = startLogging({ mode: 'disabled' })
    assert.deepEqual(
      [run, disabled, attachRun(disabled.handle())].map(({ stopRequested }) => stopRequested),
      [false, false, false],
    )
    await disabled.finish()
  })

  test('a worker thread that logs to the run sees it, too', async (context) => {
    const run = startLogging({ ...asking(context), onIssue: () => {} })
    const worker = new Worker(new URL(import.meta.url), { workerData: { handle: run.handle() } })
    const [seen] = await once(worker, 'message')
    assert.equal(seen, true)
    await run.finish()
  })

  test('without onIssue it is a line on stderr, once for each backend; a handler that throws harms nothing', async (context) => {
    for (const how of ['', 'throws', 'rejects']) {
      const { dir, backend } = asking(context)
      const ended = await runProgram(
        dir,
        async ({ startLogging }, { args }) => {
          const [backend, how] = args
          let heard = 0
          const onStopRequest = (): unknown => {
            heard++
            if (how === 'throws') throw new Error('no time')
            return how === 'rejects' ? Promise.reject(new Error('no time')) : undefined
          }
          const run = startLogging({ backend: JSON.parse(backend!), onStopRequest })
          const until = Date.now() + 30_000
          while (heard < 2 && Date.now() < until) {
            run.log({ loss: 1 })
            await new Promise((resolve) => setTimeout(resolve, 10))
          }
          const { destinations } = await run.finish()
          process.stdout.write(JSON.stringify(Object.values(destinations).map(({ pending }) => pending)))
        },
        [JSON.stringify(backend), how],
      )
      assert.equal(ended.code, 0, ended.stderr)
      assert.equal(ended.stdout, '[0,0]')
      const lines = ended.stderr.trim().split('\n')
      assert.equal(lines.filter((line) => /ERR_STOP_REQUESTED: told:(one|other): /.test(line)).length, 2)
      assert.equal(
        lines.filter((line) => /onStopRequest failed: no time/.test(line)).length,
        how === '' ? 0 : 2,
      )
    }
  })

  test('what is no function is refused', () => {
    assert.throws(() => startLogging({ onStopRequest: 1 as never }), { code: 'ERR_OPTION' })
  })
}
