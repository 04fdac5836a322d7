/** Large artifacts on their way to a real server: what must not be felt of them by the scalars and the end of a run. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  createReadStream,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'
import { tracelet } from '../cli/run-cli.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'

const isLong = process.env.TRACELET_TEST_LONG === '1'
const LARGE_BYTES = 2 * 1024 ** 3
/** MLflow answers some hundred requests a second and stores each file with one: ten thousand take it minutes. */
const FILES = isLong ? 10_000 : 2_000
const POINTS_PER_TICK = 10
const TICK_MS = 10
/** A batch may wait a second to be filled; the rest is the server's, which is storing files meanwhile. */
const MAX_PENDING_POINTS = 5_000
const MAX_GROWTH_BYTES = 250 * 1024 ** 2
const DEADLINE_MS = 3_000
const EXPERIMENT = 'large uploads'

const dir = mkdtempSync(join(tmpdir(), 'tracelet-mlflow-large-'))
let server: MlflowServer | undefined

after(async () => {
  await server?.stop()
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
})

test('a file of 2 GB and thousands of small ones hold up neither scalars nor the end of a run, and sync brings them to their end', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  server = await startMlflowServer(python)
  const large = join(dir, 'large.bin')
  makeSparse(large)
  const folder = join(dir, 'many')
  const expected = makeMany(folder)

  const run = startLogging({ backend: { mlflow: { uri: server.uri } }, dir, expName: EXPERIMENT })
  const there = () => run.stats().destinations.mlflow!
  let step = 0
  let mostPending = 0
  let mostRss = 0
  let baseRss = Infinity
  const pump = setInterval(() => {
    for (let i = 0; i < POINTS_PER_TICK; i++) run.log({ loss: 1 / (step + 1) }, { step: step++ })
    mostPending = Math.max(mostPending, run.stats().inRing + there().pending)
    mostRss = Math.max(mostRss, process.memoryUsage.rss())
  }, TICK_MS)
  try {
    await until(() => there().delivered > 0)
    baseRss = process.memoryUsage.rss()
    await Promise.all([run.logArtifact(large, { name: 'large' }), run.logArtifact(folder, { name: 'many' })])
    await until(() => there().uploads.bytes.sent > LARGE_BYTES / 2)
  } finally {
    clearInterval(pump)
  }

  const finishing = performance.now()
  let toldAfterMs = Infinity
  const finished = run.finish('finished', { deadlineMs: DEADLINE_MS })
  const isFinished = async (): Promise<boolean> => (await remoteStatus(there().url)) === 'FINISHED'
  while (toldAfterMs === Infinity && performance.now() - finishing < DEADLINE_MS) {
    if (await isFinished()) toldAfterMs = performance.now() - finishing
    else await sleep(20)
  }
  const stats = await finished
  const tookMs = performance.now() - finishing
  const { pending, delivered, superseded, records, uploads, reason } = stats.destinations.mlflow!
  const growth = mostRss - baseRss
  context.diagnostic(
    `at most ${mostPending} points pending, ${(growth / 2 ** 20).toFixed(0)} MiB more memory; FINISHED after ` +
      `${toldAfterMs.toFixed(0)} of ${tookMs.toFixed(0)} ms, ${uploads.files.sent} of ${uploads.files.known} files sent`,
  )
  assert.ok(mostPending < MAX_PENDING_POINTS, `${mostPending} points were pending`)
  assert.ok(growth < MAX_GROWTH_BYTES, `${growth} bytes more`)
  assert.ok(toldAfterMs < tookMs, 'the server hears of the end while files are on their way')
  assert.ok(tookMs < DEADLINE_MS + 500, `finish() took ${tookMs} ms`)
  assert.deepEqual([pending, delivered, superseded], [0, step, 0])
  assert.ok(records.pending > 0 && uploads.files.sent < FILES + 1, 'an upload is pending')
  assert.match(reason, /deadline/)

  const synced = await tracelet(dir, 'sync', run.id)
  assert.equal(synced.code, 0, synced.stdout + synced.stderr)
  const stored = await digestsOf(artifactsOf(server.folder))
  assert.deepEqual(stored, { 'large/large.bin': await digestOf(large), ...expected })
})

function makeSparse(path: string): void {
  const fd = openSync(path, 'w')
  writeSync(fd, 'head', 0)
  writeSync(fd, 'tail', LARGE_BYTES - 4)
  ftruncateSync(fd, LARGE_BYTES)
}

/** SHA-256 by the path in the artifact store. */
function makeMany(folder: string): Record<string, string> {
  const digests: Record<string, string> = {}
  mkdirSync(folder)
  for (let i = 0; i < FILES; i++) {
    const content = `file ${i}`
    writeFileSync(join(folder, `f${i}`), content)
    digests[`many/f${i}`] = createHash('sha256').update(content).digest('hex')
  }
  return digests
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(10)
}

async function remoteStatus(url: string): Promise<string> {
  const [, origin, runId] = /^(.*?)\/#.*\/runs\/(\w+)$/.exec(url)!
  const answer = await fetch(`${origin}/api/2.0/mlflow/runs/get?run_id=${runId}`)
  return ((await answer.json()) as { run: { info: { status: string } } }).run.info.status
}

/** Where the server keeps the artifacts of its only run. */
function artifactsOf(folder: string): string {
  const [experiment] = readdirSync(join(folder, 'artifacts'))
  const [run] = readdirSync(join(folder, 'artifacts', experiment!))
  return join(folder, 'artifacts', experiment!, run!, 'artifacts')
}

/** SHA-256 by path. */
async function digestsOf(folder: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {}
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue
    const path = join(entry.parentPath, entry.name)
    digests[relative(folder, path)] = await digestOf(path)
  }
  return digests
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 }))
    hash.update(chunk as Buffer)
  return hash.digest('hex')
}
