/** One round: processes that train one run are killed one after the other, then the rest is delivered. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type SyncedRun, syncRun } from '../../src/pipeline/delivery/sync-run.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import type { Random } from '../random.ts'
import type { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { eventFileOf } from './event-file.ts'
import { checkLoss, type Loss } from './loss.ts'
import type { Orders } from './orders.ts'
import {
  checkEventFile,
  checkLaw,
  checkOffsetFake,
  checkRecords,
  readJournal,
  type StoredSeries,
} from './verdict.ts'
import { type Kill, runAndKill } from './victim.ts'

/** What no kill may bring about. */
const NEVER = ['ERR_LAW', 'ERR_SINK_BUG', 'ERR_JOURNAL_DAMAGED', 'ERR_CURSOR_DAMAGED', 'ERR_JOURNAL_WRITE']

export interface Result {
  kills: number
  syncKills: number
  readonly losses: Loss[]
  points: number
}

export interface Round {
  readonly random: Random
  readonly dir: string
  readonly runId: string
  readonly server: OffsetServer
  /** Runs one at a time: of two trainers each would keep the other's threads from running. */
  readonly alone: <Result>(work: () => Promise<Result>) => Promise<Result>
}

export async function playRound(round: Round): Promise<Result> {
  const story: string[] = []
  try {
    return await play(round, story)
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${story.join('\n')}`, { cause: error })
  }
}

/** @param story what was done, for the report of a failure */
async function play(round: Round, story: string[]): Promise<Result> {
  const { random, dir, runId, server } = round
  const result: Result = { kills: 0, syncKills: 0, losses: [], points: 0 }
  const folder = join(dir, 'default', runId)
  const lives: Orders[] = []
  for (let life = random.pick([1, 1, 2, 3]); life > 0; life--) {
    const { orders, kill } = plan(round, lives.length)
    lives.push(orders)
    story.push(JSON.stringify({ orders, kill }))
    const death = await round.alone(() => runAndKill('trainer', JSON.stringify(orders), kill))
    story.push(death.isKilled ? 'killed' : 'ended', death.stderr)
    checkSaid(death.stderr)
    if (death.isKilled) result.kills++
    // killed before it had described the run
    if (!existsSync(join(folder, 'run.json'))) continue
    result.losses.push(...checkLoss(readJournal(folder, lives), orders))
  }
  if (!existsSync(join(folder, 'run.json'))) return result
  for (let again = random.pick([0, 0, 1, 2]); again > 0; again--) {
    story.push('sync, killed')
    const death = await runAndKill('sync-program', folder, { after: 'syncing', ms: random.below(80) })
    checkSaid(death.stderr)
    if (death.isKilled) result.syncKills++
  }
  story.push('sync')
  const journal = readJournal(folder, lives)
  result.points = journal.reduce((points, { step }) => points + step.length, 0)
  checkRecords(folder, lives, journal)
  const synced = await sync(folder)
  checkDelivered(round, folder, journal, synced)
  await checkNothingIsSentAgain(round, folder, journal)
  rmSync(folder, { recursive: true, force: true })
  server.runs.delete(runId)
  return result
}

export function plan({ random, dir, runId, server }: Round, life: number): { orders: Orders; kill: Kill } {
  const after = random.pick(['', 'logging', 'logging', 'logging', 'finishing'] as const)
  const pace = random.pick(['flat', 'steady', 'bursts'] as const)
  const turns = random.next() < 0.7
  const orders: Orders = {
    dir,
    runId,
    life,
    diaries: dir,
    backend: {
      tensorboard: {},
      offset: {
        module: fileURLToPath(workerUrl('../sinks/fakes/offset-sink', import.meta.url)),
        url: server.url,
      },
    },
    style: random.pick(['handles', 'rows', 'mixed']),
    pace,
    rowsPerMs: 1 + random.below(12),
    pauseMs: 5 + random.below(300),
    turns,
    hasWorker: random.next() < 0.4,
    flushEveryMs: turns && random.next() < 0.5 ? 1 + random.below(60) : 0,
    finishAfterMs: after === 'finishing' ? 50 + random.below(300) : 0,
  }
  const range = { '': 400, logging: pace === 'flat' ? 200 : 900, finishing: 150 }[after]
  return { orders, kill: { after, ms: random.below(range) } }
}

export async function sync(folder: string): Promise<SyncedRun> {
  const said: string[] = []
  const synced = await syncRun(folder, {
    deadlineMs: 60_000,
    environment: {},
    onMessage: (message) => {
      if (message.type === 'issue') said.push(`${message.issue.code} ${message.issue.message}`)
    },
  })
  checkSaid(said.join('\n'))
  return synced
}

function checkDelivered(
  { runId, server }: Round,
  folder: string,
  journal: readonly StoredSeries[],
  synced: SyncedRun,
): void {
  checkLaw(synced, journal)
  checkOffsetFake(server.points(runId), journal)
  const eventFile = eventFileOf(folder)
  // killed before anything was journaled: nothing is opened for nothing
  if (eventFile === undefined) assert.equal(synced.journaled + synced.recordsJournaled, 0)
  else checkEventFile(eventFile, journal)
  assert.deepEqual({ gaps: server.gaps, conflicts: server.conflicts }, { gaps: 0, conflicts: 0 })
}

async function checkNothingIsSentAgain(
  { runId, server }: Round,
  folder: string,
  journal: readonly StoredSeries[],
): Promise<void> {
  const look = () => {
    const run = server.runs.get(runId)
    const eventFile = eventFileOf(folder)
    const events =
      eventFile === undefined ? '' : createHash('sha256').update(readFileSync(eventFile)).digest('hex')
    return { lines: run?.lines.length, writes: run?.writes, events }
  }
  const before = look()
  const again = await sync(folder)
  assert.deepEqual(look(), before, 'the second sync sent something')
  checkLaw(again, journal)
}

function checkSaid(text: string): void {
  for (const code of NEVER) assert.ok(!text.includes(code), text)
}
