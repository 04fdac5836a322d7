import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { manyRuns, POINTS_PER_RUN } from '../../pipeline/delivery/many-runs.ts'
import { Random, SEED } from '../../random.ts'
import { temporaryFolder } from '../../run/program.ts'
import { appendFile } from '../../sinks/fakes/append-sink.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../../sinks/fakes/offset-server.ts'
import { cliCommand, cliEnvironment, tracelet } from '../run-cli.ts'

const RUNS = 60
const KILLS = 4

test(`a sync of many runs that is killed again and again leaves each backend with everything once (seed ${SEED})`, async (context) => {
  const random = new Random()
  const { runs, folders, identity, offset, files } = await pendingRuns(context, RUNS)
  let requests = 0
  for (let kill = 0; kill < KILLS; kill++) {
    const [node, ...args] = cliCommand('sync', '--all', '--parallel', '16')
    const child = spawn(node!, args, { env: cliEnvironment(runs), stdio: 'ignore' })
    const ended = once(child, 'exit')
    // somewhere in the requests that it makes: the first one, one in the middle, an answer that it never sees
    const at = identity.requests + 1 + random.below((4 * RUNS) / KILLS)
    while (identity.requests < at && child.exitCode === null) await new Promise(setImmediate)
    child.kill('SIGKILL')
    await ended
    requests = identity.requests
  }
  const left = await tracelet(runs, 'sync', '--all', '--json')
  assert.equal(left.code, 0, left.stderr)
  context.diagnostic(`${requests} requests before the last sync, ${identity.requests - requests} in it`)
  const { runs: results, totals } = JSON.parse(left.stdout)
  assert.equal(totals.runs.delivered, RUNS)
  for (const { destinations } of results) {
    for (const one of Object.values<{ delivered: number; pending: number }>(destinations))
      assert.deepEqual([one.delivered, one.pending], [POINTS_PER_RUN, 0])
  }
  assertOnce(folders, identity, offset, files)
})

test("two syncs of the same runs at the same time do not get in each other's way", async (context) => {
  const { runs, folders, identity, offset, files } = await pendingRuns(context, 30)
  const results = await Promise.all([0, 1].map(() => tracelet(runs, 'sync', '--all', '--json')))
  const sent = results.map(({ code, stdout }) => {
    const { runs: outcomes, totals } = JSON.parse(stdout)
    // what the other was at work on is told as such, and as nothing worse
    for (const { error, destinations = {} } of outcomes) {
      assert.ok(error === undefined || error.code === 'ERR_RUN_BUSY', JSON.stringify(error))
      for (const one of Object.values<{ complete: boolean; code?: string }>(destinations))
        assert.ok(one.complete || one.code === 'ERR_RUN_BUSY', JSON.stringify(one))
    }
    assert.equal(code, totals.runs.delivered === 30 ? 0 : 1)
    return totals.sent.points
  })
  assert.equal(sent[0] + sent[1], 3 * 30 * POINTS_PER_RUN, 'each point is counted by the one that sent it')
  const last = await tracelet(runs, 'sync', '--all')
  assert.equal(last.code, 0, last.stdout + last.stderr)
  assert.match(last.stdout, /^0 new: everything is delivered$/m)
  assertOnce(folders, identity, offset, files)
})

/** Runs at rest that owe all strict fakes everything. */
async function pendingRuns(context: TestContext, count: number) {
  const root = temporaryFolder(context)
  const [identity, offset] = await Promise.all([IdentityServer.start(), OffsetServer.start()])
  context.after(() => Promise.all([identity.stop(), offset.stop()]))
  const files = join(root, 'files')
  const runs = join(root, 'runs')
  const folders = manyRuns(runs, count, { identity: identity.url, offset: offset.url, append: files })
  return { runs, folders, identity, offset, files }
}

function assertOnce(
  folders: readonly string[],
  identity: IdentityServer,
  offset: OffsetServer,
  files: string,
): void {
  for (const folder of folders) {
    const id = basename(folder)
    const index = Number(id.slice(-5))
    const steps = Array.from({ length: POINTS_PER_RUN }, (_, at) => index + (at >> 1))
    assert.equal(identity.runs.get(id)!.points.size, POINTS_PER_RUN)
    assert.deepEqual(
      offset.points(id).map(({ step }) => step),
      steps,
      `${id}: each line once`,
    )
    assert.deepEqual(appended(files, id), steps, `${id}: each point once in its file`)
    assert.equal(identity.runs.get(id)!.outcome, 'finished')
  }
  assert.equal(offset.gaps + offset.conflicts, 0)
}

function appended(folder: string, run: string): number[] {
  const path = appendFile(folder, run)
  assert.ok(existsSync(path))
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('["point"'))
    .map((line) => JSON.parse(line)[2])
}
