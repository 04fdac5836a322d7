/** One round: processes that train one run are killed one after the other, then the rest is delivered. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Environment } from '../../src/core/options.ts'
import { openRun, type Stats } from '../../src/index.ts'
import { readRunFile } from '../../src/pipeline/store/run-file.ts'
import { tracelet } from '../cli/run-cli.ts'
import { type SyncedRun, syncRun } from '../pipeline/delivery/sync-run.ts'
import type { Random } from '../random.ts'
import { readAppended } from '../sinks/fakes/harnesses.ts'
import type { StandInRun, WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { eventFileOf } from './event-file.ts'
import { checkLoss, type Loss } from './loss.ts'
import { type Orders, statsPath } from './orders.ts'
import { plan } from './plan.ts'
import { type Fakes, RoundBackends, WANDB_KEY } from './round-backends.ts'
import {
  checkEventFile,
  checkLaw,
  checkPoints,
  checkProcess,
  checkRecords,
  checkSums,
  readJournal,
  type StoredSeries,
  sum,
} from './verdict.ts'
import { checkRemoteRecords, checkStoredRecords, checkUploads } from './verdict-records.ts'
import { checkWandbRun } from './verdict-wandb.ts'
import { type Death, type Kill, runAndKill, syncAndKill } from './victim.ts'

/** What no kill may bring about. */
const NEVER = ['ERR_LAW', 'ERR_SINK_BUG', 'ERR_JOURNAL_DAMAGED', 'ERR_CURSOR_DAMAGED', 'ERR_JOURNAL_WRITE']
/** While faults go on, a sync may end with something left; after so many they are over. */
const SYNCS_IN_STORM = 3
const SYNC_DEADLINE_MS = 60_000
/** A sync beside a trainer that lives longer is killed. */
const BESIDE_MS = 2_000

export interface Result {
  /** Of trainers, and of processes that synced. */
  kills: number
  syncKills: number
  /** Times that a process was stopped for a while. */
  pauses: number
  readonly losses: Loss[]
  points: number
  records: number
  readonly faults: Map<string, number>
}

export interface Round {
  readonly random: Random
  readonly dir: string
  readonly runId: string
  readonly fakes: Fakes
  /** Runs one at a time: of two trainers each would keep the other's threads from running. */
  readonly alone: <Result>(work: () => Promise<Result>) => Promise<Result>
}

export async function playRound(round: Round): Promise<Result> {
  const story: string[] = []
  const { dir, runId, fakes } = round
  const backends = await RoundBackends.start(round.random, join(dir, `${runId}-append`), fakes)
  try {
    return await play(round, backends, story)
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${story.join('\n')}`, { cause: error })
  } finally {
    await backends.stop()
  }
}

/** @param story what was done, for the report of a failure */
async function play(round: Round, backends: RoundBackends, story: string[]): Promise<Result> {
  const { random, dir, runId, fakes } = round
  const result: Result = {
    ...{ kills: 0, syncKills: 0, pauses: 0, points: 0, records: 0 },
    ...{ losses: [], faults: backends.faults() },
  }
  const folder = join(dir, 'default', runId)
  const lives: Orders[] = []
  backends.storm('killing')
  for (let life = random.pick([1, 1, 2, 3]); life > 0; life--) {
    const isThere = existsSync(join(folder, 'run.json'))
    const run = { dir, runId, backend: backends.config, life: lives.length, isThere }
    const { orders, kill } = plan(random, run)
    lives.push(orders)
    const isSynced = random.next() < 0.2
    story.push(JSON.stringify({ orders, kill, isSynced }))
    const death = await round.alone(() => trainAndKill(orders, kill, isSynced ? folder : undefined))
    story.push(death.isKilled ? 'killed' : 'ended', death.stderr)
    checkSaid(death.stderr)
    if (death.isKilled) result.kills++
    else checkProcess(JSON.parse(readFileSync(statsPath(orders), 'utf8')) as Stats)
    result.pauses += death.pauses
    // killed before it had described the run
    if (!existsSync(join(folder, 'run.json'))) continue
    const journal = readJournal(folder, lives)
    result.losses.push(...checkLoss(journal, orders))
    result.records += checkStoredRecords(folder, orders, journal)
  }
  if (existsSync(join(folder, 'run.json'))) {
    await killSyncs(round, folder, story, result)
    await deliver(round, backends, folder, lives, story)
    result.points = openRun(folder)
      .series()
      .reduce((points, series) => points + series.points, 0)
    rmSync(folder, { recursive: true, force: true })
    fakes.identity.runs.delete(runId)
    fakes.offset.runs.delete(runId)
    forgetWandbRun(fakes, runId)
  }
  return { ...result, faults: backends.faults() }
}

/** @param synced folder of the run, which another process is to sync while it is trained, in vain or after the kill */
async function trainAndKill(orders: Orders, kill: Kill, synced: string | undefined): Promise<Death> {
  let beside: Promise<Death> | undefined
  const death = await runAndKill('trainer', JSON.stringify(orders), kill, () => {
    if (synced === undefined) return
    beside = runAndKill('sync-program', synced, { after: '', ms: BESIDE_MS })
    // told when it is awaited
    beside.catch(() => {})
  })
  const said = await beside
  if (said !== undefined) checkSaid(said.stderr)
  return death
}

async function killSyncs({ random }: Round, folder: string, story: string[], result: Result): Promise<void> {
  for (let again = random.pick([0, 0, 1, 2]); again > 0; again--) {
    story.push('sync, killed')
    const death =
      random.next() < 0.5
        ? await runAndKill('sync-program', folder, { after: 'syncing', ms: random.below(120) })
        : await syncAndKill(folder, { after: '', ms: 100 + random.below(500) })
    checkSaid(death.stderr)
    if (death.isKilled) result.syncKills++
  }
}

/** Syncs until all is delivered, the last time without faults, and once more; looks at everything. */
async function deliver(
  round: Round,
  backends: RoundBackends,
  folder: string,
  lives: readonly Orders[],
  story: string[],
): Promise<void> {
  const journal = readJournal(folder, lives)
  checkRecords(folder, lives, journal)
  backends.storm('syncing')
  for (let again = 0; again < SYNCS_IN_STORM; again++) {
    const synced = await sync(folder)
    story.push(`sync: ${JSON.stringify(synced.destinations)}`)
    checkSums(synced, journal, folder)
    if (Object.values(synced.destinations).every(({ complete }) => complete)) break
  }
  backends.heal()
  if (round.random.next() < 0.5) {
    const { code, stdout, stderr } = await tracelet(dirname(folder), 'sync', folder)
    assert.equal(code, 0, stdout + stderr)
    // whoever was killed is closed as such by the next sync
    if (sum(journal.map(({ step }) => step.length)) > 0)
      assert.notEqual(openRun(folder).state().state, 'running', stdout)
  }
  const synced = await sync(folder)
  story.push(`synced: ${JSON.stringify(synced.destinations)}`)
  checkDelivered(round, backends, folder, journal, synced)
  await checkNothingIsSentAgain(round, backends, folder, journal)
}

export async function sync(folder: string, environment: Environment = {}): Promise<SyncedRun> {
  const said: string[] = []
  const synced = await syncRun(folder, {
    deadlineMs: SYNC_DEADLINE_MS,
    environment: { WANDB_API_KEY: WANDB_KEY, ...environment },
    onMessage: (message) => {
      if (message.type === 'issue') said.push(`${message.issue.code} ${message.issue.message}`)
    },
  })
  checkSaid(said.join('\n'))
  return synced
}

/** Every backend holds what the journal does, and the sums say so. */
export function checkDelivered(
  { runId, fakes: { identity, offset, wandb } }: Round,
  { appendFolder }: RoundBackends,
  folder: string,
  journal: readonly StoredSeries[],
  synced: SyncedRun,
): void {
  checkLaw(synced, journal, folder)
  const { gaps, conflicts, oversize } = offset
  assert.deepEqual(
    { gaps, conflicts, oversize, identityOversize: identity.oversize },
    { gaps: 0, conflicts: 0, oversize: 0, identityOversize: 0 },
  )
  const eventFile = eventFileOf(folder)
  if (eventFile === undefined) {
    // killed before anything was journaled: nothing is opened for nothing
    assert.equal(synced.journaled + synced.recordsJournaled, 0)
    return
  }
  checkEventFile(eventFile, journal)
  const { nonce } = readRunFile(folder).run
  const stream = offset.runs.get(runId)!
  const keyed = identity.runs.get(runId)!
  const appended = readAppended(appendFolder, { id: runId })
  checkPoints('the offset fake', offset.points(runId), journal)
  checkPoints('the append fake', appended.points, journal)
  // it keeps no order: two writes are under way at once
  const byRow = [...keyed.points.values()].sort((a, b) => Math.abs(a.step) - Math.abs(b.step))
  checkPoints('the identity fake', byRow, journal)
  checkUploads(identity.storedUploads(runId), folder)
  assert.deepEqual([stream.nonce, keyed.nonce], [nonce, nonce])
  checkRemoteRecords('the offset fake', stream, folder)
  checkRemoteRecords('the identity fake', keyed, folder)
  checkRemoteRecords('the append fake', appended, folder)
  assert.deepEqual(wandb.problems, [])
  checkWandbRun(wandbRun(wandb, runId)!, folder, journal)
}

/** Under its own id, which can stand in an address as it is. */
export function wandbRun(wandb: WandbStandIn, runId: string): StandInRun | undefined {
  return [...wandb.runs.values()].find(({ name }) => name === runId)
}
function forgetWandbRun({ wandb }: Fakes, runId: string): void {
  const run = wandbRun(wandb, runId)
  if (run === undefined) return
  wandb.runs.delete(run.path)
  wandb.requests.length = 0
}

async function checkNothingIsSentAgain(
  { runId, fakes }: Round,
  { appendFolder }: RoundBackends,
  folder: string,
  journal: readonly StoredSeries[],
): Promise<void> {
  const look = () => {
    const run = fakes.offset.runs.get(runId)
    const eventFile = eventFileOf(folder)
    const events =
      eventFile === undefined ? '' : createHash('sha256').update(readFileSync(eventFile)).digest('hex')
    const { lines, writes } = run ?? {}
    const appended = readAppended(appendFolder, { id: runId }).points.length
    const toWandb = wandbRun(fakes.wandb, runId)?.requests
    return { lines: lines?.length, writes, events, appended, toWandb }
  }
  const before = look()
  const again = await sync(folder)
  assert.deepEqual(look(), before, 'the second sync sent something')
  checkLaw(again, journal, folder)
}

function checkSaid(text: string): void {
  for (const code of NEVER) assert.ok(!text.includes(code), text)
}
