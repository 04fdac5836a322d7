/**
 * Trouble at W&B that the storm does not bring: another writer, answers of a stale cache, a request refused for good,
 * a stop that somebody asked for. Nothing is overwritten, nothing is lost, and the user hears what it is.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Issue, type Run, startLogging } from '../../src/index.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { runProgram, temporaryFolder } from '../run/program.ts'
import { type StandInRun, WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { FaultProxy, type Passing, type ProxyFault } from './fault-proxy.ts'
import { runAndKill } from './victim.ts'
import type { WandbOrders } from './wandb-program.ts'
import { modelOf, parseLine, rowAt } from './wandb-rows.ts'

const KEY = '0123456789abcdef0123456789abcdef01234567'
const PATIENCE_MS = 60_000
const RUN = 'troubled'
const OTHERS_LINE = '{"_step":100000,"_timestamp":1,"_runtime":1,"loss":0}'

const isStream = ({ path }: Passing) => path.endsWith('/file_stream')
/** With rows enough that a part of them can be sent alone. */
const hasRows = (passing: Passing) => isStream(passing) && passing.bytes > 5_000

process.env.WANDB_API_KEY = KEY

class Scene {
  readonly standIn: WandbStandIn
  readonly proxy: FaultProxy
  readonly dir: string
  readonly issues: Issue[] = []

  private constructor(standIn: WandbStandIn, proxy: FaultProxy, dir: string) {
    this.standIn = standIn
    this.proxy = proxy
    this.dir = dir
  }

  static async open(context: TestContext): Promise<Scene> {
    const standIn = await WandbStandIn.start()
    const proxy = await FaultProxy.start(standIn.url)
    context.after(async () => {
      await proxy.stop()
      await standIn.stop()
    })
    return new Scene(standIn, proxy, temporaryFolder(context))
  }

  get folder(): string {
    return join(this.dir, 'default', RUN)
  }
  get remote(): StandInRun {
    const [run, ...others] = this.standIn.runs.values()
    assert.equal(others.length, 0)
    return run!
  }

  start(): Run {
    return startLogging({
      dir: this.dir,
      runId: RUN,
      backend: { wandb: { baseUrl: this.proxy.uri, intervalMs: 0 } },
      onIssue: (issue) => void this.issues.push(issue),
    })
  }

  /** Logged by a process that was killed when the server had some of it, and had gone. */
  async leaveRest(): Promise<void> {
    const orders: WandbOrders = {
      ...{ dir: this.dir, runId: RUN, baseUrl: this.proxy.uri },
      ...{ rows: 100_000, atOnce: 2_000, rowsPerMs: 2 },
    }
    const gone = this.until(
      'some rows',
      () => (this.standIn.runs.size > 0 ? this.remote.history.length : 0) > 300,
    )
    const when = gone.then(() => this.proxy.down())
    await runAndKill('wandb-program', JSON.stringify(orders), { after: '', when, ms: 1_000 })
    await this.proxy.up()
    assert.ok(modelOf(this.folder).history.length > this.remote.history.length, 'nothing is left to be sent')
  }

  async sync() {
    const said: string[] = []
    const synced = await syncRun(this.folder, {
      deadlineMs: PATIENCE_MS,
      environment: { WANDB_API_KEY: KEY },
      onMessage: (message) => {
        if (message.type === 'issue') said.push(message.issue.code)
      },
    })
    return { ...synced.destinations.wandb!, said }
  }

  async until(what: string, holds: () => boolean, patienceMs = PATIENCE_MS): Promise<void> {
    const giveUpAt = performance.now() + patienceMs
    while (!holds()) {
      assert.ok(performance.now() < giveUpAt, `${what}: ${JSON.stringify(this.issues)}`)
      await sleep(10)
    }
  }

  assertWhole(): void {
    const { history } = modelOf(this.folder)
    assert.deepEqual(this.remote.history.map(parseLine), history)
    assert.deepEqual(this.remote.problems, [])
  }
}

function log(run: Run, from: number, to: number): void {
  for (let row = from; row < to; row++) {
    const { step, time, values } = rowAt(row)
    run.log(values, { step, time })
  }
}

test('a line that somebody else has written while our process was dead stays, and we write no more', async (context) => {
  const scene = await Scene.open(context)
  await scene.leaveRest()
  const ours = [...scene.remote.history]
  scene.remote.appendByAnother(OTHERS_LINE)
  for (let again = 0; again < 2; again++) {
    const { complete, reason, pending, said } = await scene.sync()
    assert.equal(complete, false)
    assert.ok(pending > 0)
    assert.ok(said.includes('ERR_OTHER_WRITER'), `${reason}: ${said.join(', ')}`)
  }
  assert.deepEqual(scene.remote.history, [...ours, OTHERS_LINE])
  assert.deepEqual([scene.remote.problems, scene.remote.completions], [[], 0])
})

test('a server that has less of the run than it took stops us, and nothing is sent again', async (context) => {
  const scene = await Scene.open(context)
  await scene.leaveRest()
  // so that the cursor knows of all lines
  assert.ok((await scene.sync()).complete)
  const { historyFile } = scene.remote
  historyFile.lines.length -= 50
  historyFile.count -= 50
  const left = [...historyFile.lines]
  const run = scene.start()
  log(run, 50_000, 50_100)
  const isTold = () => scene.issues.some(({ code }) => code === 'ERR_OTHER_WRITER')
  await scene.until('told', isTold)
  const { destinations } = await run.finish('finished', { deadlineMs: 500 })
  assert.match(
    destinations.wandb!.reason,
    new RegExp(`has ${left.length} lines of the run, .*${left.length + 50}`),
  )
  assert.deepEqual([scene.remote.history, scene.remote.problems], [left, []])
})

test('a run that was deleted while our process was dead is not made anew, and goes on once it is restored', async (context) => {
  const scene = await Scene.open(context)
  await scene.leaveRest()
  scene.remote.isDeleted = true
  const vain = await scene.sync()
  assert.deepEqual([vain.complete, vain.said], [false, ['ERR_REMOTE_RUN_GONE']])
  scene.remote.isDeleted = false
  assert.deepEqual(scene.standIn.problems, [])
  const { complete, reason } = await scene.sync()
  assert.ok(complete, reason)
  scene.assertWhole()
})

test('answers of a stale cache, a tail that is old and a count that lags, neither stop us nor write a line twice', async (context) => {
  const scene = await Scene.open(context)
  await scene.leaveRest()
  // the answer to the last rows is lost: the server has more than we know of
  scene.proxy.failNext({ kind: 'lostAnswer' }, hasRows)
  const killed = runAndKill('sync-program', scene.folder, {
    after: '',
    when: scene.proxy.met(hasRows),
    ms: 300,
  })
  await killed
  const isLook = ({ operation }: { readonly operation: string }) => operation === 'RunResumeStatus'
  scene.standIn.failNext({ kind: 'shortCount', lines: Number.MAX_SAFE_INTEGER }, isLook)
  scene.standIn.failNext({ kind: 'staleTail', lines: 100 }, isLook)
  const { complete, reason } = await scene.sync()
  assert.ok(complete, reason)
  scene.assertWhole()
})

for (const status of [400, 409, 413, 422]) {
  test(`${status} once, in the midst of a run: nothing is lost`, async (context) => {
    const scene = await Scene.open(context)
    await scene.proxy.down()
    const run = scene.start()
    log(run, 0, 600)
    await run.flush()
    scene.proxy.failNext({ kind: 'answer', status, body: '{"error":"no"}' }, hasRows)
    await scene.proxy.up()
    await scene.until('struck', () => scene.proxy.faults > 0)
    log(run, 600, 700)
    await run.finish('finished', { deadlineMs: 3_000 })
    const { complete, reason, rejected } = await scene.sync()
    assert.ok(complete, reason)
    assert.equal(rejected, 0)
    scene.assertWhole()
    assert.deepEqual([scene.remote.state, scene.remote.exitCode], ['finished', 0])
  })
}

test('the key is revoked and given again: nothing is lost, and the key stands nowhere', async (context) => {
  const scene = await Scene.open(context)
  const run = scene.start()
  log(run, 0, 100)
  await scene.until('some', () => scene.standIn.runs.size > 0 && scene.remote.history.length > 0)
  const refused: ProxyFault = { kind: 'answer', status: 401, body: `{"error":"bad key ${KEY}"}` }
  scene.proxy.failAll(refused)
  log(run, 100, 200)
  await scene.until('told', () => scene.issues.some(({ code }) => code === 'ERR_AUTH'))
  assert.equal(run.stats().destinations.wandb!.state, 'blocked')
  const { destinations } = await run.finish('finished', { deadlineMs: 1_000 })
  assert.match(destinations.wandb!.reason, /401/)
  const vain = await scene.sync()
  assert.equal(vain.complete, false)
  scene.proxy.heal()
  const { complete, reason } = await scene.sync()
  assert.ok(complete, reason)
  scene.assertWhole()
  assert.ok(!JSON.stringify([scene.issues, destinations, vain]).includes(KEY))
  for (const path of readdirSync(scene.dir, { recursive: true, encoding: 'utf8' })) {
    const file = join(scene.dir, path)
    if (statSync(file).isFile()) assert.ok(!readFileSync(file).includes(KEY), file)
  }
})

test('a stop that somebody asks for reaches a loop that never gives the event loop a turn', async (context) => {
  const standIn = await WandbStandIn.start()
  context.after(() => standIn.stop())
  const asked = (async () => {
    while ([...standIn.runs.values()].every(({ history }) => history.length < 50)) await sleep(10)
    for (const run of standIn.runs.values()) run.isStopRequested = true
  })()
  const ended = await runProgram(
    temporaryFolder(context),
    async ({ startLogging }, { args }) => {
      const run = startLogging({ backend: { wandb: { baseUrl: args[0]!, intervalMs: 0 } } })
      const pause = new Int32Array(new SharedArrayBuffer(4))
      let step = 0
      for (const giveUpAt = Date.now() + 40_000; !run.stopRequested && Date.now() < giveUpAt; step++) {
        run.log({ loss: 1 / (step + 1) }, { step })
        Atomics.wait(pause, 0, 0, 2)
      }
      const wasAsked = run.stopRequested
      await run.finish('killed')
      process.stdout.write(JSON.stringify({ wasAsked, step }))
    },
    [standIn.url],
    { WANDB_API_KEY: KEY },
  )
  await asked
  assert.equal(ended.code, 0, ended.stderr)
  const { wasAsked, step } = JSON.parse(ended.stdout) as { wasAsked: boolean; step: number }
  assert.equal(wasAsked, true)
  const [remote] = standIn.runs.values()
  assert.deepEqual([remote!.history.length, remote!.exitCode, remote!.problems], [step, 255, []])
})
