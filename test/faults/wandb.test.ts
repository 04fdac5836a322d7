/**
 * Exactly once at W&B: processes that log to a run are killed, and so are syncs of it, while requests fail in every
 * way. At the end each line is there once, in order, as a model of the journal has it (wandb-rows.ts) and, byte for
 * byte, as a delivery of the same journal makes it that nothing befell.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openRun } from '../../src/index.ts'
import { traceletWith } from '../cli/run-cli.ts'
import { Random } from '../random.ts'
import { temporaryFolder } from '../run/program.ts'
import { type StandInRun, WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { FaultProxy, type Passing, type ProxyFault } from './fault-proxy.ts'
import { FAULT_SEED, isLong, replay } from './seed.ts'
import { runAndKill } from './victim.ts'
import type { WandbOrders } from './wandb-program.ts'
import { type Line, modelOf, parseLine } from './wandb-rows.ts'

const ROWS = 50_000
const ROUNDS = isLong ? 6 : 1
const RUN = 'stormed'
const KEY = '0123456789abcdef0123456789abcdef01234567'
const PATIENCE_MS = 60_000

type Strike = ProxyFault | 'restart'
const UNAVAILABLE: Strike = { kind: 'answer', status: 503 }
const LIMITED: Strike = { kind: 'answer', status: 429, headers: { 'retry-after': '1' } }
const BEFORE: Strike = { kind: 'reset' }
const AFTER: Strike = { kind: 'lostAnswer' }
const CUT: Strike = { kind: 'cutAnswer' }
const HANG: Strike = { kind: 'silent' }
const SLOW: Strike = { kind: 'slow', ms: 300 }
const KINDS: readonly Strike[] = [UNAVAILABLE, LIMITED, BEFORE, AFTER, CUT, HANG, SLOW, 'restart']
/** What befalls each process, in this order, before it is killed. A hang is ended by the kill. */
const LIVES: readonly { readonly program: 'wandb-program' | 'sync-program'; readonly strikes: Strike[] }[] = [
  { program: 'wandb-program', strikes: [UNAVAILABLE, AFTER, LIMITED, CUT, HANG] },
  { program: 'wandb-program', strikes: ['restart', BEFORE, SLOW, AFTER] },
  { program: 'sync-program', strikes: [AFTER, HANG] },
  { program: 'wandb-program', strikes: [CUT, UNAVAILABLE, 'restart', LIMITED, HANG] },
  { program: 'wandb-program', strikes: [SLOW, BEFORE, CUT, AFTER] },
  { program: 'sync-program', strikes: [AFTER, HANG] },
  { program: 'wandb-program', strikes: [LIMITED, UNAVAILABLE, BEFORE, 'restart', SLOW] },
]
/** And the process that ends by itself. */
const LAST_STRIKES: readonly Strike[] = [AFTER, CUT]

const isStream = ({ path }: Passing) => path.endsWith('/file_stream')

for (let round = 0; round < ROUNDS; round++) {
  test(`${ROWS} rows over kills and faults: each line once, in order (${replay(round)})`, async (context) => {
    process.env.WANDB_API_KEY = KEY
    const random = new Random(FAULT_SEED + round)
    const dir = temporaryFolder(context)
    const folder = join(dir, 'default', RUN)
    const standIn = await WandbStandIn.start()
    const proxy = await FaultProxy.start(standIn.url)
    context.after(async () => {
      await proxy.stop()
      await standIn.stop()
    })
    const befell = new Map<Strike, number>()
    // the answer to the making of the run is lost, too
    standIn.failNext({ kind: 'lostAnswer' }, ({ operation }) => operation === 'UpsertBucket')

    let kills = 0
    const live = { dir, runId: RUN, baseUrl: proxy.uri, rowsPerMs: 4 }
    for (const { program, strikes } of LIVES) {
      const orders: WandbOrders = { ...live, rows: ROWS * 2, atOnce: 6_000 + random.below(2_000) }
      const argument = program === 'wandb-program' ? JSON.stringify(orders) : folder
      const { isKilled, stderr } = await runAndKill(program, argument, {
        after: '',
        when: strikeAll(proxy, strikes, befell),
        ms: random.below(200),
      })
      assert.ok(isKilled, stderr)
      kills++
      proxy.heal()
    }
    const last: WandbOrders = { ...live, rows: ROWS, atOnce: ROWS }
    const struck = strikeAll(proxy, LAST_STRIKES, befell)
    const { isKilled, stderr } = await runAndKill('wandb-program', JSON.stringify(last), {
      after: 'finishing',
      ms: 2 * PATIENCE_MS,
    })
    await struck
    assert.equal(isKilled, false, stderr)
    assert.ok(kills >= 5, `${kills} kills`)
    assert.equal(standIn.faults.count, 1)
    for (const kind of KINDS)
      assert.ok((befell.get(kind) ?? 0) >= 3, `${JSON.stringify(kind)}: ${befell.get(kind)}`)

    const run = only(standIn)
    const requests = proxy.requestCount
    const again = await traceletWith(dir, { WANDB_API_KEY: KEY }, 'sync', folder)
    assert.equal(again.code, 0, again.stdout + again.stderr)
    assert.equal(proxy.requestCount, requests, 'the sync of what is complete sent something')
    const { history, events, renumbered } = modelOf(folder)
    assert.ok(renumbered > 100 && history.length >= ROWS, `${renumbered} of ${history.length}`)
    assertLines('history', run.history, history)
    assertLines('events', run.events, events)
    assert.deepEqual([run.state, run.exitCode, run.problems], ['finished', 0, []])
    await assertSameAsUndisturbed(dir, folder, run)
    const faults = [...proxy.injected].map(([kind, count]) => `${count} ${kind}`).join(', ')
    context.diagnostic(`${history.length} rows, ${renumbered} renumbered; ${kills} kills; ${faults}`)
  })
}

async function strikeAll(
  proxy: FaultProxy,
  strikes: readonly Strike[],
  befell: Map<Strike, number>,
): Promise<void> {
  for (const strike of strikes) {
    const met = proxy.met(isStream)
    if (strike !== 'restart') proxy.failNext(strike, isStream)
    await within(PATIENCE_MS, met, `no request for ${JSON.stringify(strike)}`)
    if (strike === 'restart') {
      await proxy.down()
      await sleep(200)
      await proxy.up()
    }
    befell.set(strike, (befell.get(strike) ?? 0) + 1)
  }
}

async function within<Value>(ms: number, value: Promise<Value>, what: string): Promise<Value> {
  const over = new AbortController()
  const late = sleep(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(what)
  })
  try {
    return await Promise.race([value, late])
  } finally {
    over.abort()
    late.catch(() => {})
  }
}

function only(standIn: WandbStandIn): StandInRun {
  assert.deepEqual(standIn.runs.size, 1)
  return [...standIn.runs.values()][0]!
}

function assertLines(what: string, lines: readonly string[], model: readonly Line[]): void {
  for (let n = 0; n < Math.min(lines.length, model.length); n++)
    assert.deepEqual(parseLine(lines[n]!), model[n], `${what}, line ${n}`)
  assert.equal(lines.length, model.length, `lines of the ${what}`)
}

/** The same journal, sent to another server in one go. */
async function assertSameAsUndisturbed(dir: string, folder: string, run: StandInRun): Promise<void> {
  const other = await WandbStandIn.start()
  try {
    const { code, stdout, stderr } = await traceletWith(
      dir,
      { WANDB_API_KEY: KEY },
      ...['sync', folder, '--to', 'wandb:other', '--to-option', `baseUrl=${other.url}`],
    )
    assert.equal(code, 0, stdout + stderr)
    const calm = only(other)
    assert.deepEqual(calm.problems, [])
    for (const name of ['history', 'events'] as const) {
      const differs = calm[name].findIndex((line, n) => line !== run[name][n])
      assert.equal(differs, -1, `${name} ${differs}: ${run[name][differs]} is ${calm[name][differs]}`)
      assert.equal(run[name].length, calm[name].length, name)
    }
    assert.deepEqual(run.summary, calm.summary)
    assert.deepEqual(run.config, calm.config)
    assert.equal(openRun(folder).info.nonce.length > 0, true)
  } finally {
    await other.stop()
  }
}
