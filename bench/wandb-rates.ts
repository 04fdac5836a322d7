/** Deliveries of a backlog to W&B's stand-in: tracelet's and the real wandb-core's, in turns. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startLogging } from '../src/index.ts'
import { workerUrl } from '../src/pipeline/worker-url.ts'
import type { Bench } from './harness.ts'
import { median } from './statistics.ts'
import { OfflineRun } from './wandb-core.ts'
import type { Delivery, DeliveryOrders } from './wandb-delivery.ts'
import { ROW_KEYS, rowAt } from './wandb-rows.ts'
import type { RunSeen, WandbServer } from './wandb-server.ts'

/** What one delivery took. */
interface Taken {
  readonly rowsPerSecond: number
  /** Lines behind those of the first request; nothing where it brought more than half of them. */
  readonly fromFirstLine: number | undefined
  /** From the start of its process to its end. */
  readonly wallS: number
  readonly cpuUs: number
}
interface Contestant {
  readonly name: string
  readonly rows: number
  readonly deliver: (round: number) => Promise<Taken>
}

const SECOND_MS = 1000

export async function rates(bench: Bench, server: WandbServer, python: string | undefined): Promise<void> {
  const folder = bench.temporaryFolder()
  const contestants: Contestant[] = []
  for (const rows of bench.quick ? [2_000] : [10_000, 50_000, 200_000, 1_000_000]) {
    const journal = await writeJournal(folder, rows)
    contestants.push({
      name: nameOf('tracelet', rows),
      rows,
      deliver: (round) => deliverOurs(bench, server, journal, rows, round),
    })
  }
  for (const rows of python === undefined ? [] : [10_000, 50_000]) {
    const offline = await OfflineRun.write(python!, server, folder, rows)
    contestants.push({
      name: nameOf('wandb-core', rows),
      rows,
      deliver: (round) => deliverTheirs(bench, server, offline, rows, round),
    })
  }
  const taken = new Map<string, Taken[]>(contestants.map(({ name }) => [name, []]))
  for (let round = 0; round < bench.either(1, 7); round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const { name, deliver } = contestants[(round + turn) % contestants.length]!
      taken.get(name)!.push(await deliver(round))
      await server.forget()
    }
  }
  report(bench, taken)
}

function report(bench: Bench, taken: ReadonlyMap<string, readonly Taken[]>): void {
  const figure = (table: string, unit: string, of: (taken: Taken) => number | undefined) => {
    for (const [name, all] of taken) {
      const samples = all.map(of).filter((sample) => sample !== undefined)
      if (samples.length > 0) bench.samples(table, name, unit, samples)
    }
  }
  figure("from the run's creation to the last line", 'rows/s', (one) => one.rowsPerSecond)
  figure('from the first line to the last', 'rows/s', (one) => one.fromFirstLine)
  figure('the whole process', 's', (one) => one.wallS)
  figure('CPU', 'µs a row', (one) => one.cpuUs)
  const rate = (name: string, rows: number) =>
    median(taken.get(nameOf(name, rows))!.map((one) => one.rowsPerSecond))
  const cpu = (rows: number) => median(taken.get(nameOf('tracelet', rows))!.map((one) => one.cpuUs))
  if (bench.quick) return bench.goal('our CPU, 2,000 rows', cpu(2_000), { atMost: 10 }, 'µs a row')
  if (taken.has(nameOf('wandb-core', 50_000))) {
    const ratio = rate('tracelet', 50_000) / rate('wandb-core', 50_000)
    bench.goal('rows/s against wandb-core, 50,000 rows', ratio, { atLeast: 3 }, '×')
  }
  const flat = rate('tracelet', 1_000_000) / rate('tracelet', 50_000)
  bench.goal('rows/s of a backlog of 1,000,000 rows against one of 50,000', flat, { atLeast: 0.8 }, '×')
  bench.goal('our CPU, 1,000,000 rows', cpu(1_000_000), { atMost: 10 }, 'µs a row')
}

function nameOf(who: string, rows: number): string {
  return `${who}, ${rows.toLocaleString('en')} rows`
}

/** @returns the run's folder */
async function writeJournal(dir: string, rows: number): Promise<string> {
  const run = startLogging({ backend: 'local', dir, project: 'bench', runId: `ours-${rows}` })
  for (let step = 0; step < rows; step++) run.log(rowAt(step), { step })
  await run.finish()
  return run.info.folder
}

async function deliverOurs(bench: Bench, server: WandbServer, folder: string, rows: number, round: number) {
  const project = `bench-${round}`
  const delivery = await deliver(server, { folder, baseUrl: server.url, project })
  const seen = await server.run(`stander/${project}/ours-${rows}`)
  bench.law(`tracelet, ${rows.toLocaleString('en')} rows`, {
    logged: rows,
    delivered: delivery.delivered / ROW_KEYS.length,
    received: seen.lines,
  })
  return { ...ratesOf(seen), wallS: delivery.wallMs / SECOND_MS, cpuUs: (delivery.cpuMs * 1000) / rows }
}

async function deliverTheirs(
  bench: Bench,
  server: WandbServer,
  offline: OfflineRun,
  rows: number,
  round: number,
) {
  const id = `core-${rows}-${round}`
  const { wallS, cpuS } = await offline.sync(server, id)
  const seen = await server.run(`stander/bench/${id}`)
  bench.law(`wandb-core, ${rows.toLocaleString('en')} rows`, { logged: rows, received: seen.lines })
  return { ...ratesOf(seen), wallS, cpuUs: (cpuS * 1e6) / rows }
}

function ratesOf({ createdAtMs, growth, lines }: RunSeen): Pick<Taken, 'rowsPerSecond' | 'fromFirstLine'> {
  const [first, last] = [growth[0]!, growth.at(-1)!]
  const behind = lines - first.lines
  return {
    rowsPerSecond: (lines * SECOND_MS) / (last.atMs - createdAtMs),
    fromFirstLine: behind < lines / 2 ? undefined : (behind * SECOND_MS) / (last.atMs - first.atMs),
  }
}

async function deliver(server: WandbServer, orders: DeliveryOrders): Promise<Delivery> {
  const program = fileURLToPath(workerUrl('./wandb-delivery', import.meta.url))
  const env = { ...process.env, WANDB_API_KEY: server.key }
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(orders)], { env })
  return JSON.parse(stdout) as Delivery
}

/** Both deliver the same rows, key by key; what only one of them has is its own business. */
export async function agree(bench: Bench, server: WandbServer, python: string): Promise<void> {
  const folder = bench.temporaryFolder()
  const rows = 1000
  const offline = await OfflineRun.write(python, server, folder, rows)
  await offline.sync(server, 'theirs')
  await deliver(server, { folder: await writeJournal(folder, rows), baseUrl: server.url, project: 'same' })
  const theirs = await server.rows('stander/bench/theirs')
  const ours = await server.rows(`stander/same/ours-${rows}`)
  const same = ours.filter((row, i) =>
    ['_step', ...ROW_KEYS].every((key) => row[key] === theirs[i]?.[key] && row[key] !== undefined),
  )
  bench.law('rows that are the same at the server, key by key', {
    theirs: theirs.length,
    ours: ours.length,
    same: same.length,
  })
}
