/** What a trainer is told to do, and when it is killed: drawn by chance. */
import type { Backend } from '../../src/index.ts'
import type { Random } from '../random.ts'
import type { Orders } from './orders.ts'
import type { Kill, Pause } from './victim.ts'

export interface Life {
  readonly dir: string
  readonly runId: string
  readonly backend: Backend
  /** How many processes have written to the run before. */
  readonly life: number
  /** Whether there is a run that can be resumed. */
  readonly isThere: boolean
}

/** The second are more points than a lane holds. */
const FLAT_ROWS = [1_500, 10_000] as const
const FINISH_DEADLINE_MS = 5_000

export function plan(
  random: Random,
  { dir, runId, backend, life, isThere }: Life,
): { orders: Orders; kill: Kill } {
  const after = random.pick(['', 'logging', 'logging', 'logging', 'finishing'] as const)
  const pace = random.pick(['flat', 'steady', 'bursts'] as const)
  const turns = random.next() < 0.7
  const entry = random.pick(['runId', 'resume', 'resume', 'rewind'] as const)
  const orders: Orders = {
    dir,
    runId,
    life,
    diaries: dir,
    backend,
    entry: isThere ? entry : 'runId',
    style: random.pick(['handles', 'rows', 'mixed']),
    pace,
    rowsPerMs: 1 + random.below(6),
    pauseMs: 5 + random.below(300),
    turns,
    hasWorker: random.next() < 0.4,
    flushEveryMs: turns && random.next() < 0.5 ? 1 + random.below(60) : 0,
    recordEveryMs: random.next() < 0.6 ? 2 + random.below(80) : 0,
    flatRows: random.pick(FLAT_ROWS),
    finishAfterMs: after === 'finishing' ? 50 + random.below(300) : 0,
    finishDeadlineMs: FINISH_DEADLINE_MS,
  }
  const range = { '': 400, logging: pace === 'flat' ? 200 : 900, finishing: 150 }[after]
  const ms = random.below(range)
  return { orders, kill: { after, ms, pauses: random.next() < 0.25 ? pausesWithin(random, ms) : [] } }
}

/** Before the kill, or across it: a process that is stopped can be killed too. */
function pausesWithin(random: Random, ms: number): Pause[] {
  return [{ atMs: random.below(ms + 1), ms: 5 + random.below(300) }]
}
