/**
 * A backend that refuses everything in the midst of a run, until somebody acts: the key is revoked, or the run is
 * deleted there. Nothing is thrown away for it, the other backends and the loop hear nothing of it, and once it is
 * put right the next sync sends the rest, once; nothing is to be repaired by hand.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stats } from '../../src/index.ts'
import { DEAD_LETTERS_FILE } from '../../src/pipeline/store/dead-letters.ts'
import { tracelet } from '../cli/run-cli.ts'
import { Random } from '../random.ts'
import { IdentityServer } from '../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { checkLoss } from './loss.ts'
import { type Orders, statsPath } from './orders.ts'
import { plan } from './plan.ts'
import { checkDelivered, type Round, sync, wandbRun } from './round.ts'
import { RoundBackends } from './round-backends.ts'
import { isLong } from './seed.ts'
import { SERIES } from './truth.ts'
import { checkProcess, checkSums, readJournal } from './verdict.ts'
import { runAndKill } from './victim.ts'

const RUN = 'refused'
/** Points that are there before it is refused. */
const POINTS_BEFORE = 200
const UNTIL_MS = 30_000
/** A trainer that is not killed has long ended by then. */
const NEVER_KILLED_MS = 100_000
const KILLED_AFTER_MS = 300
const REFUSED_MS = 3_000

interface Refusal {
  readonly what: string
  readonly by: 'identity' | 'wandb'
  readonly code: string
  refuse(standing: Standing): void
  allow(standing: Standing): void
}
interface Standing {
  readonly round: Round
  readonly backends: RoundBackends
}

const REFUSALS: readonly Refusal[] = [
  {
    what: 'the key is revoked',
    by: 'identity',
    code: 'ERR_AUTH',
    refuse: ({ backends }) => backends.identity.failAll({ kind: 'answer', status: 401 }),
    allow: ({ backends }) => backends.heal(),
  },
  {
    what: 'the run is deleted',
    by: 'identity',
    code: 'ERR_REMOTE_RUN_GONE',
    refuse: ({ round }) => {
      round.fakes.identity.runs.get(RUN)!.isGone = true
    },
    allow: ({ round }) => {
      round.fakes.identity.runs.get(RUN)!.isGone = false
    },
  },
  {
    what: "W&B's key is revoked",
    by: 'wandb',
    code: 'ERR_AUTH',
    refuse: ({ backends }) => backends.wandb.failAll({ kind: 'answer', status: 401 }),
    allow: ({ backends }) => backends.heal(),
  },
  {
    what: 'the run is deleted at W&B',
    by: 'wandb',
    code: 'ERR_REMOTE_RUN_GONE',
    refuse: ({ round }) => {
      wandbRun(round.fakes.wandb, RUN)!.isDeleted = true
    },
    allow: ({ round }) => {
      wandbRun(round.fakes.wandb, RUN)!.isDeleted = false
    },
  },
]

async function prepare(context: TestContext): Promise<Standing> {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-refused-'))
  const fakes = {
    identity: await IdentityServer.start(),
    offset: await OffsetServer.start(),
    wandb: await WandbStandIn.start(),
  }
  const random = new Random()
  const backends = await RoundBackends.start(random, join(dir, 'append'), fakes)
  context.after(async () => {
    await backends.stop()
    await Promise.all([fakes.identity.stop(), fakes.offset.stop(), fakes.wandb.stop()])
    rmSync(dir, { recursive: true, force: true })
  })
  return { round: { random, dir, runId: RUN, fakes, alone: (work) => work() }, backends }
}

function ordersOf({ round: { random, dir }, backends }: Standing, finishAfterMs: number): Orders {
  const planned = plan(random, { dir, runId: RUN, backend: backends.config, life: 0, isThere: false }).orders
  return {
    ...planned,
    ...{ pace: 'bursts', rowsPerMs: 1, pauseMs: 40, turns: true, hasWorker: finishAfterMs === 0 },
    ...{ flushEveryMs: 20, recordEveryMs: 30, finishAfterMs, finishDeadlineMs: 5_000 },
  }
}

async function untilReceived(
  { round: { fakes } }: Standing,
  by: Refusal['by'],
  points: number,
): Promise<void> {
  const giveUpAt = performance.now() + UNTIL_MS
  const received = () =>
    by === 'identity'
      ? (fakes.identity.runs.get(RUN)?.points.size ?? 0)
      : SERIES * (wandbRun(fakes.wandb, RUN)?.history.length ?? 0)
  while (received() < points) {
    assert.ok(performance.now() < giveUpAt, 'the backend gets nothing')
    await sleep(5)
  }
}

for (const refusal of REFUSALS) {
  for (const isKilled of [false, true]) {
    test(`${refusal.what} in the midst of a run${isKilled ? ' that is then killed' : ''}, and it is put right later`, async (context) => {
      const standing = await prepare(context)
      const { round, backends } = standing
      const folder = join(round.dir, 'default', RUN)
      const orders = ordersOf(standing, isKilled ? 0 : 2_000)
      const refused = untilReceived(standing, refusal.by, POINTS_BEFORE).then(() => refusal.refuse(standing))
      const { stderr } = await runAndKill('trainer', JSON.stringify(orders), {
        after: '',
        when: refused,
        ms: isKilled ? KILLED_AFTER_MS : NEVER_KILLED_MS,
      })
      await refused
      if (!isKilled) {
        const stats = JSON.parse(readFileSync(statsPath(orders), 'utf8')) as Stats
        checkProcess(stats)
        assert.ok(stats.destinations[refusal.by]!.pending > 0)
        for (const name of ['identity', 'offset', 'append', 'tensorboard', 'wandb']) {
          if (name === refusal.by) continue
          const { pending, records } = stats.destinations[name]!
          assert.deepEqual([pending, records.pending], [0, 0], name)
        }
        // a request that was under way may be answered well after the refusal: then it is told anew
        const told = stderr.split(`${refusal.code}:`).length - 1
        assert.ok(told === 1 || told === 2, stderr)
        assert.match(stderr, /npx tracelet sync /)
      }
      const journal = readJournal(folder, [orders])
      checkLoss(journal, orders)

      // as long as it is refused, a sync leaves it at that, and says so
      const vain = await tracelet(dirname(dirname(folder)), 'sync', RUN)
      assert.equal(vain.code, 1, vain.stdout + vain.stderr)
      const still = await sync(folder)
      checkSums(still, journal, folder)
      assert.equal(still.destinations[refusal.by]!.complete, false)
      assert.equal(still.destinations.offset!.complete, true)
      assert.ok(!existsSync(join(folder, DEAD_LETTERS_FILE)), 'nothing is thrown away')

      refusal.allow(standing)
      const { code, stdout, stderr: said } = await tracelet(dirname(dirname(folder)), 'sync', RUN)
      assert.equal(code, 0, stdout + said)
      checkDelivered(round, backends, folder, journal, await sync(folder))
    })
  }

  test(`${refusal.what} and it is put right while the run goes on: that process sends the rest by itself`, {
    skip: !isLong && 'takes a minute: TRACELET_TEST_LONG=1',
  }, async (context) => {
    const standing = await prepare(context)
    const { round, backends } = standing
    const folder = join(round.dir, 'default', RUN)
    const paced = { pauseMs: 1_000, recordEveryMs: 300, finishDeadlineMs: 30_000 }
    const orders = { ...ordersOf(standing, 38_000), ...paced }
    const allowed = untilReceived(standing, refusal.by, POINTS_BEFORE).then(async () => {
      refusal.refuse(standing)
      await sleep(REFUSED_MS)
      refusal.allow(standing)
    })
    await runAndKill('trainer', JSON.stringify(orders), { after: '', when: allowed, ms: NEVER_KILLED_MS })
    await allowed
    const stats = JSON.parse(readFileSync(statsPath(orders), 'utf8')) as Stats
    checkProcess(stats)
    for (const [name, { pending, records, rejected }] of Object.entries(stats.destinations))
      assert.deepEqual([pending, records.pending, rejected], [0, 0, 0], name)
    checkDelivered(round, backends, folder, readJournal(folder, [orders]), await sync(folder))
  })
}
