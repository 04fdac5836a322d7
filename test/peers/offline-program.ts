/**
 * The program that the test of W&B's files kills: logs rows to one run until then, and keeps a diary of it.
 * argv: its orders as JSON. Says `logging` when what earlier lives have left is in the file.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { startLogging } from '../../src/index.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import { paced } from '../faults/paced-loop.ts'
import { Diary, ENTRY, threadIds } from '../faults/progress.ts'

export interface OfflineOrders {
  readonly dir: string
  readonly runId: string
  /** First step to log. */
  readonly from: number
  readonly rowsPerSecond: number
  readonly diary: string
  readonly lateness: string
}

const LIMIT_MS = 60_000

async function main(orders: OfflineOrders): Promise<void> {
  const { dir, runId, from, rowsPerSecond } = orders
  const main = String(process.pid)
  new Worker(workerUrl('../faults/lateness', import.meta.url), {
    workerData: { path: orders.lateness },
  }).unref()
  const before = new Set(threadIds())
  const run = startLogging({ dir, runId, project: 'killed', backend: { 'wandb-offline': { dir } } })
  let step = from
  const log = () => {
    run.log(offlineValues(step), { step })
    step++
  }
  log()
  await run.flush()
  for (;;) {
    const { pending, url } = run.stats().destinations['wandb-offline']!
    if (url !== '' && pending === 0) break
    await sleep(5)
  }
  // all that came with tracelet may be on the way of a row
  const onTheWay = threadIds().filter((id) => !before.has(id) && id !== main)
  const diary = new Diary(orders.diary, { drain: onTheWay, helpers: [] })
  diary.write(ENTRY.rows, step)
  process.stdout.write('logging\n')
  paced(rowsPerSecond, LIMIT_MS, log, () => diary.note(step))
}

/** What is logged at a step: known from the step alone. */
export function offlineValues(step: number): Record<string, number> {
  return { loss: Math.sin(step) / 3, 'val/größe': step * 1e10 + 0.1, odd: ODD[step % ODD.length]! }
}
const ODD = [Number.NaN, Infinity, -Infinity, 0.1 + 0.2, 5e-324]

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2]!) as OfflineOrders)
