/**
 * Guarantees G2 and G4 at a real MLflow server: processes that log points, texts, images and files to it, over a
 * connection that fails, are killed at random instants, and so are the syncs that send the rest. Read back by
 * MLflow's own client, everything is there once.
 *
 * Kills: 8, with TRACELET_TEST_LONG=1 24. A failure says how it is repeated (../faults/seed.ts).
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openRun, type Stats } from '../../src/index.ts'
import { FaultProxy } from '../faults/fault-proxy.ts'
import { checkLoss } from '../faults/loss.ts'
import { type Orders, statsPath } from '../faults/orders.ts'
import { plan } from '../faults/plan.ts'
import { sync } from '../faults/round.ts'
import { fits, STORMS } from '../faults/round-backends.ts'
import { FAULT_SEED, isLong, ONLY_ROUND, replay } from '../faults/seed.ts'
import { checkLaw, checkPoints, checkProcess, checkSums, readJournal } from '../faults/verdict.ts'
import { checkStoredRecords } from '../faults/verdict-records.ts'
import { runAndKill, syncAndKill } from '../faults/victim.ts'
import { Random } from '../random.ts'
import { startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { pointsOf, readRuns } from './read-mlflow.ts'
import { readUploads } from './read-mlflow-uploads.ts'

const KILLS = isLong ? 24 : 8
const EXPERIMENT = 'default'
/** The server takes a few thousand points a second, and everything is read back. */
const FLAT_ROWS = 300
const SYNCS_IN_STORM = 2
/** Of the requests, which are few and large: so many meet a fault. */
const SHARE = 0.25

test(`MLflow holds every point, text, image and file of runs that were killed, once (seed ${FAULT_SEED})`, async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-killed-'))
  const server = await startMlflowServer(python)
  const proxy = await FaultProxy.start(server.uri)
  context.after(async () => {
    await proxy.stop()
    await server.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })
  const told = { kills: 0, syncKills: 0, points: 0 }
  for (let round = ONLY_ROUND ?? 0; told.kills < KILLS; round++) {
    try {
      await play(round)
    } catch (error) {
      throw new Error(`round ${round} (${replay(round)}): ${(error as Error).message}`, { cause: error })
    }
    if (ONLY_ROUND !== undefined) break
  }
  const faults = [...proxy.injected].map(([kind, count]) => `${count} ${kind}`).join(', ')
  context.diagnostic(
    `${told.kills} kills, and ${told.syncKills} of a sync; ${proxy.faults} faults (${faults}); ${told.points} points`,
  )

  async function play(round: number): Promise<void> {
    const random = new Random(FAULT_SEED + round)
    const run = { dir, runId: `r${round}`, backend: { mlflow: { uri: proxy.uri } } }
    const folder = join(dir, 'default', run.runId)
    const lives: Orders[] = []
    const storm = (name: keyof typeof STORMS) =>
      proxy.storm({ ...STORMS[name], seed: random.below(2 ** 31), share: SHARE, fits })
    storm('killing')
    for (let life = random.pick([1, 2, 3]); life > 0; life--) {
      const { orders: planned, kill } = plan(random, {
        ...run,
        life: lives.length,
        isThere: existsSync(join(folder, 'run.json')),
      })
      const orders = { ...planned, rowsPerMs: 1, flatRows: FLAT_ROWS }
      lives.push(orders)
      const death = await runAndKill('trainer', JSON.stringify(orders), kill)
      if (death.isKilled) told.kills++
      else checkProcess(JSON.parse(readFileSync(statsPath(orders), 'utf8')) as Stats)
      if (!existsSync(join(folder, 'run.json'))) continue
      const journal = readJournal(folder, lives)
      checkLoss(journal, orders)
      checkStoredRecords(folder, orders, journal)
    }
    if (!existsSync(join(folder, 'run.json'))) return
    for (let again = random.pick([0, 1]); again > 0; again--) {
      const death = await syncAndKill(folder, { after: '', ms: 300 + random.below(700) })
      if (death.isKilled) told.syncKills++
    }
    const journal = readJournal(folder, lives)
    storm('syncing')
    for (let again = 0; again < SYNCS_IN_STORM; again++) {
      const synced = await sync(folder)
      checkSums(synced, journal, folder)
      if (Object.values(synced.destinations).every(({ complete }) => complete)) break
    }
    proxy.heal()
    checkLaw(await sync(folder), journal, folder)
    const before = proxy.requestCount
    checkLaw(await sync(folder), journal, folder)
    assert.equal(proxy.requestCount, before, 'the second sync sent something')
    if ([...openRun(folder).records()].length === 0) return
    await compare(folder, run.runId, journal)
    told.points += journal.reduce((points, { step }) => points + step.length, 0)
  }

  async function compare(
    folder: string,
    runId: string,
    journal: ReturnType<typeof readJournal>,
  ): Promise<void> {
    const query = { experiment: EXPERIMENT, tag: 'tracelet.run_id', values: [runId] } as const
    const [seen, ...others] = await readRuns(python!, server.uri, query)
    assert.equal(others.length, 0, 'one remote run')
    const whole = journal.map((series) => ({ ...series, time: series.time.map(Math.floor) }))
    checkPoints('MLflow', pointsOf(seen!), whole)
    const stored = openRun(folder)
    assert.equal(
      seen!.status,
      { running: 'RUNNING', finished: 'FINISHED', failed: 'FAILED', killed: 'KILLED' }[stored.state().state],
    )
    for (const [name, value] of Object.entries(stored.params()))
      assert.equal(seen!.params[name], String(value))
    for (const [name, value] of Object.entries(stored.tags())) assert.equal(seen!.tags[name], value)
    const { artifacts } = await readUploads(python!, server.uri, EXPERIMENT, 'tracelet.run_id', runId)
    assert.deepEqual(Object.values(artifacts).sort(), digestsOf(folder))
  }
})

/** SHA-256 of every file that the run is to have there: an image lies there twice, as MLflow's page wants it. */
function digestsOf(folder: string): string[] {
  return [...openRun(folder).records()]
    .flatMap((record) => {
      if (record.kind === 'images') return record.images.flatMap(({ image }) => [image.digest, image.digest])
      if (record.kind === 'text')
        return typeof record.text === 'string'
          ? createHash('sha256').update(record.text).digest('hex')
          : record.text.digest
      if (record.kind !== 'artifact') return []
      assert.ok(Array.isArray(record.files))
      return record.files.map(({ blob }) => blob.digest)
    })
    .sort()
}
