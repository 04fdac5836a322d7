import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { takeGuard } from '../../../src/pipeline/store/guard.ts'
import { manyRuns, POINTS_PER_RUN, RECORDS_PER_RUN } from '../../pipeline/delivery/many-runs.ts'
import { fakeModule, RunFolder } from '../../pipeline/delivery/run-folder.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { cliCommand, cliEnvironment } from '../run-cli.ts'
import { rootAndServer } from './root-and-server.ts'

const WAIT_MS = 30_000
const RUNS_AT_REST = 400
const LAST_RUN = 'run-00399'
/** To look into each of them at each look would take more than twice as much. */
const MAX_SHARE = 0.08

interface Watching {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  /** Resolves when the output has matched so often. */
  until(pattern: RegExp, times?: number): Promise<void>
  /** Exit code and signal. */
  readonly ended: Promise<[number | null, NodeJS.Signals | null]>
}

async function startWatch(context: TestContext, root: string, ...args: readonly string[]): Promise<Watching> {
  const [node, ...rest] = cliCommand('sync', '--watch', '--interval', '1', ...args)
  const child = spawn(node!, rest, { env: cliEnvironment(root), stdio: ['ignore', 'pipe', 'pipe'] })
  context.after(() => child.kill('SIGKILL'))
  let [out, err] = ['', '']
  const looks = new Set<() => void>()
  const hear = () => {
    for (const look of looks) look()
  }
  child.stdout!.on('data', (text) => {
    out += text
    hear()
  })
  child.stderr!.on('data', (text) => {
    err += text
    hear()
  })
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  const until = async (pattern: RegExp, times = 1) => {
    const all = new RegExp(pattern.source, 'gm')
    const timer = setTimeout(() => child.kill('SIGKILL'), WAIT_MS)
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (((out + err).match(all)?.length ?? 0) < times) return
        looks.delete(look)
        resolve()
      }
      looks.add(look)
      look()
      void ended.then(() => reject(new Error(`it ended before ${pattern} came:\n${out}${err}`)))
    })
    clearTimeout(timer)
  }
  const watching = { child, out: () => out, err: () => err, until, ended }
  await until(/^watching /)
  return watching
}

test('a watch sends what is there and what comes, closes dead runs, leaves live ones alone, and ends when asked to', async (context) => {
  const { root, server } = await rootAndServer(context)
  const first = manyRuns(root, 3, { identity: server.url })
  const live = takeGuard(first[2]!, 'writer')
  // one that has no such destination owes it nothing
  new RunFolder('local-only', [LOCAL], undefined, root).rows(0, 1).close()
  const watching = await startWatch(context, root, '--destination', 'identity')
  await watching.until(/^run-0000[01] {2}identity 22 new$/, 2)
  const dead = new RunFolder('comes-later', identityAt(server.url), undefined, root)
  dead.rows(0, 10).close()
  await watching.until(/^comes-later {2}identity 21 new {2}closed as killed$/)
  assert.equal(server.runs.get('comes-later')?.outcome, 'killed')
  assert.ok(!server.runs.has('run-00002'), 'a live process writes it')
  live.release()
  await watching.until(/^run-00002 {2}identity 22 new$/)
  const { requests } = server
  watching.child.kill('SIGTERM')
  assert.deepEqual(await watching.ended, [0, null], watching.err())
  assert.equal(server.requests, requests)
  for (const run of ['run-00000', 'run-00001', 'run-00002', 'comes-later'])
    assert.equal(server.runs.get(run)?.points.size, POINTS_PER_RUN)
  assert.equal(watching.out().split('\n').length, 5, 'a line for each run')
})

test('a watch with nothing to do says nothing, asks nobody and takes next to no time', async (context) => {
  const { root, server } = await rootAndServer(context)
  // those that owe nothing are looked at first
  manyRuns(root, RUNS_AT_REST, {})
  rmSync(join(root, 'project', LAST_RUN), { recursive: true })
  new RunFolder(LAST_RUN, identityAt(server.url), undefined, root)
    .record({ kind: 'state', state: 'finished', time: 1_700_000_000_000 })
    .close()
  const watching = await startWatch(context, root)
  await watching.until(/ identity 1 new$/)
  await sleep(2_500)
  const { requests } = server
  const said = watching.out().length + watching.err().length
  const before = cpuMs(watching.child.pid!)
  const lookFor = 5_000
  await sleep(lookFor)
  const spent = cpuMs(watching.child.pid!) - before
  context.diagnostic(`${spent} ms of CPU in ${lookFor} ms with ${RUNS_AT_REST} runs, a look each second`)
  assert.ok(Number.isNaN(spent) || spent < lookFor * MAX_SHARE, `${spent} ms`)
  assert.equal(server.requests, requests)
  assert.equal(watching.out().length + watching.err().length, said)
  watching.child.kill('SIGINT')
  assert.deepEqual(await watching.ended, [0, null])
})

test('a backend that is away is told of once and tried again later; the end says that something is left', async (context) => {
  const { root, server } = await rootAndServer(context)
  const { url } = server
  await server.stop()
  manyRuns(root, 3, { identity: url })
  const watching = await startWatch(context, root, root)
  await watching.until(/does not answer/)
  await sleep(3_000)
  watching.child.kill('SIGINT')
  await watching.until(/ending: what is under way has 10 s/)
  const [code, signal] = await watching.ended
  assert.deepEqual([code, signal], [1, null], watching.err())
  assert.equal(watching.err().match(/does not answer/g)?.length, 1, watching.err())
  assert.match(watching.out(), /^run-00001 {2}identity 22 pending: /m)
  const back = await IdentityServer.start(undefined, Number(new URL(url).port))
  context.after(() => back.stop())
  const again = await startWatch(context, root, '--json')
  await again.until(/"run":"run-0000/, 3)
  again.child.kill('SIGTERM')
  assert.deepEqual(await again.ended, [0, null])
  const told = again
    .out()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    told.map(({ destinations }) => destinations.identity.sent),
    Array.from({ length: 3 }, () => ({ points: POINTS_PER_RUN, records: RECORDS_PER_RUN })),
  )
})

test('a disk that cannot be read for a while is told of and does not end a watch', async (context) => {
  const { root: above, server } = await rootAndServer(context)
  const root = join(above, 'root')
  manyRuns(root, 1, { identity: server.url })
  const watching = await startWatch(context, root)
  await watching.until(/^run-00000 {2}identity 22 new$/)
  renameSync(root, join(above, 'aside'))
  symlinkSync(root, root)
  await watching.until(/ELOOP/)
  rmSync(root)
  renameSync(join(above, 'aside'), root)
  manyRuns(root, 2, { identity: server.url })
  await watching.until(/^run-00001 {2}identity 22 new$/)
  watching.child.kill('SIGINT')
  await watching.ended
  assert.equal(watching.err().match(/ELOOP/g)?.length, 1, watching.err())
})

test('a second signal ends a watch at once, as if nobody had listened', async (context) => {
  const { root, server } = await rootAndServer(context)
  manyRuns(root, 1, { identity: server.url })
  server.failNext('hang', 'run-00000')
  const watching = await startWatch(context, root)
  while (server.requests < 2) await sleep(20)
  watching.child.kill('SIGINT')
  await watching.until(/again: at once/)
  await sleep(300)
  const since = performance.now()
  watching.child.kill('SIGINT')
  assert.deepEqual(await watching.ended, [null, 'SIGINT'])
  assert.ok(performance.now() - since < 5_000, 'not what is under way is waited for')
})

function identityAt(url: string) {
  return [{ name: 'identity', kind: 'identity', module: fakeModule('identity'), options: { url } }]
}

const LOCAL = { name: 'local', kind: 'local', options: {} }

/** NaN where the system does not tell. */
function cpuMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // in ticks of which every Linux that Node runs on has 100 a second
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Number.NaN
  }
}
