/** A repository that is a folder: its server is found or started, shared, and never left behind. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'
import { cliCommand, cliEnvironment } from '../cli/run-cli.ts'
import { runAndKill } from '../faults/victim.ts'
import { readJournal } from '../run/journaled.ts'
import type { AimRun } from './aim-server.ts'
import { aimPython, runPeerScript } from './python.ts'

/** Three seconds after the last lease, and the time that Python takes to end. */
const GONE_MS = 30_000

async function scene(context: TestContext) {
  const python = await aimPython(context)
  if (python === undefined) return undefined
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-aim-'))
  const repo = join(dir, 'repo with spaces')
  context.after(async () => {
    await untilGone(pidOf(repo))
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })
  const read = async () => {
    const [hash] = readdirSync(join(repo, '.aim', 'meta', 'chunks'))
    return (await runPeerScript(python, 'read_aim.py', [repo, hash!])) as AimRun
  }
  return { python, dir, repo, read }
}

/** As `src/sinks/aim/sidecar` tells it. */
function pidOf(repo: string): number | undefined {
  const folder = join(tmpdir(), `tracelet-aim-${process.getuid!()}`)
  if (!existsSync(folder)) return undefined
  for (const name of readdirSync(folder).filter((one) => one.endsWith('.json'))) {
    const told = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { folder: string; pid: number }
    if (told.folder === repo) return told.pid
  }
  return undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function untilGone(pid: number | undefined): Promise<void> {
  const until = Date.now() + GONE_MS
  while (pid !== undefined && isAlive(pid)) {
    assert.ok(Date.now() < until, `the server ${pid} was left behind`)
    await sleep(100)
  }
}

async function untilTold(repo: string): Promise<number> {
  for (const until = Date.now() + 90_000; Date.now() < until; await sleep(50)) {
    const pid = pidOf(repo)
    if (pid !== undefined) return pid
  }
  return assert.fail('no server was started')
}

test('a folder gets its server, which is killed in the midst, started again, and ends with the last run', async (context) => {
  const stage = await scene(context)
  if (stage === undefined) return
  const { python, dir, repo, read } = stage
  const steps = 2_000
  const run = startLogging({ dir, backend: { aim: { repo, python } }, onIssue: () => {} })
  let killed: number | undefined
  for (let step = 0; step < steps; step++) {
    run.log({ a: step }, { step })
    if (step % 10 === 0) await sleep(10)
    if (step === 500) {
      killed = await untilTold(repo)
      process.kill(killed, 'SIGKILL')
    }
  }
  const stats = await run.finish('finished', { deadlineMs: 90_000 })
  assert.deepEqual(
    [stats.destinations.aim!.delivered, stats.destinations.aim!.pending],
    [steps, 0],
    JSON.stringify(stats.destinations),
  )
  const second = pidOf(repo)
  assert.notEqual(second, killed)
  await untilGone(second)
  assert.equal(pidOf(repo), undefined, 'nothing tells of a server that is not there')
  const found = await read()
  assert.deepEqual(
    found.metrics[0]!.steps,
    Array.from({ length: steps }, (_, step) => step),
  )
})

test('two processes share one server; when both are killed it ends; a sync brings what they left', async (context) => {
  const stage = await scene(context)
  if (stage === undefined) return
  const { python, dir, repo } = stage
  process.env.TRACELET_AIM_PYTHON = python
  context.after(() => delete process.env.TRACELET_AIM_PYTHON)
  const victim = (name: string, ms: number) =>
    runAndKill('../peers/aim-program', `${join(dir, name)}\n${repo}`, { after: 'logging', ms })
  const first = victim('one', 12_000)
  const pid = await untilTold(repo)
  const second = victim('two', 3_000)
  await sleep(2_500)
  assert.equal(pidOf(repo), pid, 'the second one has found it')
  for (const death of await Promise.all([first, second])) assert.ok(death.isKilled, death.stderr)
  await untilGone(pid)
  const folder = join(dir, 'one', 'default', 'r')
  rmSync(join(dir, 'two'), { recursive: true })
  const [command, ...args] = cliCommand('sync', folder)
  const env = { ...cliEnvironment(dir), TRACELET_AIM_PYTHON: python }
  const synced = spawnSync(command!, args, { env, encoding: 'utf8' })
  assert.equal(synced.status, 0, synced.stdout + synced.stderr)
  await untilGone(pidOf(repo))
  const journal = readJournal(folder)
  const chunks = readdirSync(join(repo, '.aim', 'meta', 'chunks'))
  assert.equal(chunks.length, 2, 'a run each')
  const counts: number[] = []
  for (const hash of chunks) {
    const found = (await runPeerScript(python, 'read_aim.py', [repo, hash])) as AimRun
    counts.push(found.metrics.reduce((sum, { steps }) => sum + steps.length, 0))
  }
  assert.ok(counts.includes(journal.count), `${counts} at Aim, ${journal.count} journaled`)
})

test('without a Python that has Aim the run is kept, and what to do is said', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-aim-'))
  const issues: string[] = []
  const run = startLogging({
    dir,
    backend: { aim: { repo: join(dir, 'repo'), python: '/no/such/python' } },
    onIssue: ({ message }) => issues.push(message),
  })
  run.log({ a: 1 })
  const stats = await run.finish('finished', { deadlineMs: 3_000 })
  assert.deepEqual([stats.journaled, stats.destinations.aim!.pending], [1, 1])
  assert.ok(
    issues.some((message) => message.includes('pip install aim')),
    issues.join('\n'),
  )
  rmSync(dir, { recursive: true, force: true })
})
