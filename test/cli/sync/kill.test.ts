import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { manyRuns, POINTS_PER_RUN } from '../../pipeline/delivery/many-runs.ts'
import { Random, SEED } from '../../random.ts'
import { appendFile } from '../../sinks/fakes/append-sink.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../../sinks/fakes/offset-server.ts'
import { cliCommand, cliEnvironment, tracelet } from '../run-cli.ts'

const RUNS = 60
const KILLS = 4

test(`a sync of many runs that is killed again and again leaves each backend with everything once (seed ${SEED})`, async (context) => {
  const random = new Random()
  const root = mkdtempSync(join(tmpdir(), 'tracelet-sync-kill-'))
  const [identity, offset] = await Promise.all([IdentityServer.start(), OffsetServer.start()])
  context.after(async () => {
    await Promise.all([identity.stop(), offset.stop()])
    rmSync(root, { recursive: true, force: true })
  })
  const files = join(root, 'files')
  const runs = join(root, 'runs')
  const folders = manyRuns(runs, RUNS, { identity: identity.url, offset: offset.url, append: files })
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
})

function appended(folder: string, run: string): number[] {
  const path = appendFile(folder, run)
  assert.ok(existsSync(path))
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('["point"'))
    .map((line) => JSON.parse(line)[2])
}
