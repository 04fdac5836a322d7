/**
 * Logs rows to a run at W&B until it has logged as many as it is told, or is killed. argv: its orders as JSON. The key
 * stands in the environment. Says on stdout when it begins to log and when it begins to finish.
 */
import { existsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'
import { rowAt, storedRows } from './wandb-rows.ts'

export interface WandbOrders {
  readonly dir: string
  readonly runId: string
  readonly baseUrl: string
  /** Rows of the run when it ends by itself. */
  readonly rows: number
  /** Rows of this process, after which it goes on slowly. */
  readonly atOnce: number
  readonly rowsPerMs: number
}

const SLOW_MS = 5

const orders = JSON.parse(process.argv[2]!) as WandbOrders
const { dir, runId, baseUrl, rows, atOnce, rowsPerMs } = orders
const folder = join(dir, 'default', runId)
// also one that was cut in the midst: what it lacks will never come
const last = existsSync(join(folder, 'run.json')) ? storedRows(folder).at(-1) : undefined
const first = last === undefined ? 0 : Math.round(last.time - rowAt(0).time) + 1
const run = startLogging({ dir, runId, backend: { wandb: { baseUrl, intervalMs: 0 } } })
writeSync(1, 'logging\n')
for (let row = first; row < rows; ) {
  const isSlow = row - first >= atOnce
  for (const end = Math.min(rows, row + (isSlow ? 1 : rowsPerMs)); row < end; row++) {
    const { step, time, values } = rowAt(row)
    run.log(values, { step, time })
  }
  await sleep(isSlow ? SLOW_MS : 1)
}
writeSync(1, 'finishing\n')
const stats = await run.finish('finished', { deadlineMs: 60_000 })
const { pending, records } = stats.destinations.wandb!
if (pending + records.pending > 0) throw new Error(`not delivered: ${JSON.stringify(stats)}`)
