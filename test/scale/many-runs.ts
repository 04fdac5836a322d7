/**
 * A program with many runs open at once, which tells what they take. argv: its orders as JSON; one line of JSON on
 * stdout for each look, and one for the end.
 */
import { readdirSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { type Run, startLogging } from '../../src/index.ts'
import { type ManyRuns, type ManyRunsEnd, type ManyRunsLook, POINTS_PER_RUN } from './orders.ts'

const STEPS = POINTS_PER_RUN / 2

const { dir, backend, looks, awaitsDelivery, idleMs, end, deadlineMs } = JSON.parse(
  process.argv[2]!,
) as ManyRuns
const runs: Run[] = []
const startedMs: number[] = []
for (const count of looks) {
  await openUpTo(count)
  await settle()
  tell(look())
}
if (end === 'exit') process.exit(0)
const idleCpu = await cpuWhileIdle()
const since = performance.now()
const stats = await Promise.all(runs.map((run) => run.finish('finished', { deadlineMs })))
const finishMs = performance.now() - since
tell({
  idleCpu,
  finishMs,
  broken: stats.flatMap((of, i) => faultOf(of, runs[i]!.id)),
  pending: stats.reduce((sum, of) => sum + pendingOf(of), 0),
} satisfies ManyRunsEnd)

async function openUpTo(count: number): Promise<void> {
  const first = runs.length
  for (let i = first; i < count; i++) {
    const before = performance.now()
    const run = startLogging({
      dir,
      backend,
      runId: `run-${i}`,
      rowMaxAgeMs: 300,
      params: { number: i },
      tags: { of: 'many' },
    })
    startedMs.push(performance.now() - before)
    runs.push(run)
    run.log({ a: i, b: -i }, { step: 0 })
    if (i % 20 === 0) await nextTurn()
  }
  for (let step = 1; step < STEPS; step++) {
    for (let i = first; i < count; i++) runs[i]!.log({ a: i + step, b: -i }, { step })
    await sleep(50)
  }
}

async function settle(): Promise<void> {
  while (awaitsDelivery && runs.some((run) => pendingOf(run.stats()) > 0)) await sleep(100)
  await sleep(1000)
  globalThis.gc?.()
}

function look(): ManyRunsLook {
  const last = startedMs.slice(-50).sort((a, b) => a - b)
  return {
    runs: runs.length,
    rssBytes: process.memoryUsage.rss(),
    descriptors: entries('/proc/self/fd'),
    threads: entries('/proc/self/task'),
    startMs: last[last.length >> 1]!,
  }
}

async function cpuWhileIdle(): Promise<number> {
  const before = process.cpuUsage()
  const since = performance.now()
  await sleep(idleMs)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / (performance.now() - since)
}

function pendingOf({ destinations }: ReturnType<Run['stats']>): number {
  return Object.values(destinations).reduce((sum, { pending, records }) => sum + pending + records.pending, 0)
}

function faultOf(stats: ReturnType<Run['stats']>, id: string): string[] {
  const { accepted, journaled, coalesced, lost, inRing } = stats
  const faults: string[] = []
  if (accepted !== POINTS_PER_RUN) faults.push(`${id}: ${accepted} points accepted`)
  if (accepted !== journaled + coalesced + lost.laneFull + lost.disk + inRing)
    faults.push(`${id}: ${accepted} accepted, ${journaled} journaled`)
  for (const [name, { delivered, filtered, rejected, corrupt, pending }] of Object.entries(
    stats.destinations,
  )) {
    if (journaled !== delivered + filtered + rejected + corrupt + pending)
      faults.push(`${id}: ${journaled} journaled, but ${name} has ${delivered} and ${pending} are pending`)
  }
  return faults
}

function entries(folder: string): number {
  try {
    return readdirSync(folder).length
  } catch {
    return 0
  }
}

function tell(what: ManyRunsLook | ManyRunsEnd): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}
