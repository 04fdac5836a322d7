/**
 * A process that delivers a journal to W&B as `tracelet sync --to wandb` does, and tells what it took. argv: its
 * orders as JSON; the key stands in the environment.
 */
import { newDestination } from '../src/cli/sync/to.ts'
import { isSynced } from '../src/pipeline/delivery/sync-outcome.ts'
import { syncRuns } from '../src/pipeline/delivery/sync-runs.ts'

export interface DeliveryOrders {
  /** Of the run. */
  readonly folder: string
  readonly baseUrl: string
  /** At W&B; another one is another destination, which gets everything from the beginning. */
  readonly project: string
}
export interface Delivery {
  readonly delivered: number
  readonly pending: number
  /** Of the whole process while it delivered, its start not included. */
  readonly cpuMs: number
  /** Its start included. */
  readonly wallMs: number
  readonly rssBytes: number
}

const DEADLINE_MS = 600_000

const { folder, baseUrl, project } = JSON.parse(process.argv[2]!) as DeliveryOrders
const name = `wandb:${project}`
const to = await newDestination(name, [`baseUrl=${baseUrl}`, `project=${project}`], process.env)
const before = process.cpuUsage()
const outcomes = await syncRuns([folder], {
  destinations: [name],
  prepare: to.add,
  environment: process.env,
  deadlineMs: DEADLINE_MS,
})
const outcome = outcomes[0]!
const { user, system } = process.cpuUsage(before)
if (!isSynced(outcome)) throw new Error(`${outcome.error.code}: ${outcome.error.message}`)
const found = outcome.destinations[name]!
tell({
  delivered: found.delivered,
  pending: found.pending,
  cpuMs: (user + system) / 1000,
  wallMs: performance.now(),
  rssBytes: process.resourceUsage().maxRSS * 1024,
})

function tell(delivery: Delivery): void {
  process.stdout.write(`${JSON.stringify(delivery)}\n`)
}
