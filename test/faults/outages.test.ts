/**
 * Every way in which a backend can be out of order, at the start, in the middle and at the end of a run: what was
 * logged is there once when it is over, nobody had to repair anything, and each outage was told with its code.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Issue, type Run, type Stats, startLogging } from '../../src/index.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { temporaryFolder } from '../run/program.ts'
import { BACKENDS, type BackendName, type FaultyBackend, startFaulty } from './backends.ts'
import type { ProxyFault } from './fault-proxy.ts'

interface Outage {
  readonly name: string
  /** 'down': nothing listens. */
  readonly fault: ProxyFault | 'down'
  /** Of which the user hears. */
  readonly code: string
  /** A call is never answered, so only the deadline, or a minute, ends it. */
  readonly hangs?: true
  /** Nothing is tried for half a minute. */
  readonly blocks?: true
}

const html = { 'content-type': 'text/html' }
const OUTAGES: readonly Outage[] = [
  { name: 'nothing listens', fault: 'down', code: 'ERR_UNREACHABLE' },
  { name: 'connections are reset', fault: { kind: 'reset' }, code: 'ERR_UNREACHABLE' },
  {
    name: 'requests are taken and never answered',
    fault: { kind: 'silent' },
    code: 'ERR_UNREACHABLE',
    hangs: true,
  },
  {
    name: 'answers stop in the middle',
    fault: { kind: 'stalledAnswer' },
    code: 'ERR_UNREACHABLE',
    hangs: true,
  },
  { name: 'answers are lost after it was done', fault: { kind: 'lostAnswer' }, code: 'ERR_UNREACHABLE' },
  { name: 'answers are cut in the middle', fault: { kind: 'cutAnswer' }, code: 'ERR_UNREACHABLE' },
  { name: 'half of each answer comes as all', fault: { kind: 'shortAnswer' }, code: 'ERR_SERVER' },
  ...[500, 502, 503, 504].map((status) => ({
    name: `${status}`,
    fault: { kind: 'answer', status, headers: html, body: `<title>${status}</title>` } as const,
    code: 'ERR_SERVER',
  })),
  { name: '500 after it was done', fault: { kind: 'answerInstead', status: 500 }, code: 'ERR_SERVER' },
  {
    name: '503 with a time to wait',
    fault: { kind: 'answer', status: 503, headers: { 'retry-after': '1' } },
    code: 'ERR_SERVER',
  },
  { name: '429 without a time', fault: { kind: 'answer', status: 429 }, code: 'ERR_RATE_LIMITED' },
  {
    name: '429 with a time to wait',
    fault: { kind: 'answer', status: 429, headers: { 'retry-after': '1' } },
    code: 'ERR_RATE_LIMITED',
  },
  {
    name: '429 with a date in the past',
    fault: { kind: 'answer', status: 429, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } },
    code: 'ERR_RATE_LIMITED',
  },
  {
    name: 'the login page of a proxy',
    fault: { kind: 'answer', status: 200, headers: html, body: '<html><title>Please log in</title></html>' },
    code: 'ERR_SERVER',
  },
  {
    name: 'a login page after it was done',
    fault: { kind: 'answerInstead', status: 200, headers: html, body: '<html>' },
    code: 'ERR_SERVER',
  },
  { name: '401', fault: { kind: 'answer', status: 401, body: 'no' }, code: 'ERR_AUTH', blocks: true },
  { name: '403', fault: { kind: 'answer', status: 403, body: 'no' }, code: 'ERR_AUTH', blocks: true },
  {
    name: 'a redirect',
    fault: { kind: 'answer', status: 301, headers: { location: 'https://elsewhere/' } },
    code: 'ERR_SERVER',
    blocks: true,
  },
]

const KEYS = ['loss', 'acc'] as const
const valueAt = (name: string, step: number) => step / 3 + name.length
const SLACK_MS = 1_500

/** A run at one backend, and what it was told. */
class Play {
  readonly target: FaultyBackend
  readonly run: Run
  readonly issues: Issue[] = []
  readonly #heard: (() => void)[] = []
  steps = 0

  private constructor(context: TestContext, target: FaultyBackend) {
    this.target = target
    this.run = startLogging({
      dir: temporaryFolder(context),
      backend: target.backend as never,
      onIssue: (issue) => {
        this.issues.push(issue)
        for (const hear of this.#heard) hear()
      },
    })
  }

  static async start(context: TestContext, name: BackendName, outage?: Outage): Promise<Play> {
    const target = await startFaulty(name)
    context.after(() => target.stop())
    if (outage) await Play.strike(target, outage)
    return new Play(context, target)
  }

  static async strike(target: FaultyBackend, { fault }: Outage): Promise<void> {
    if (fault === 'down') await target.proxy.down()
    else target.proxy.failAll(fault)
  }

  async heal(): Promise<void> {
    this.target.proxy.heal()
    await this.target.proxy.up()
  }

  log(steps: number): void {
    for (const end = this.steps + steps; this.steps < end; this.steps++) {
      const row = Object.fromEntries(KEYS.map((key) => [key, valueAt(key, this.steps)]))
      this.run.log(row, { step: this.steps })
    }
  }

  get points(): number {
    return this.steps * KEYS.length
  }

  get stats() {
    return this.run.stats().destinations[this.target.name]!
  }

  async until(what: string, holds: () => boolean, patienceMs = 45_000): Promise<void> {
    const giveUpAt = performance.now() + patienceMs
    while (!holds()) {
      assert.ok(
        performance.now() < giveUpAt,
        `${what}: ${JSON.stringify([this.stats, this.issues, [...this.target.proxy.injected]])}`,
      )
      await sleep(15)
    }
  }

  /** Told of, or for what hangs: begun. */
  async untilStruck(outage: Outage): Promise<void> {
    if (outage.hangs) await this.until('struck', () => this.target.proxy.faults > 0)
    else await this.until('told', () => this.issues.length > 0)
  }

  async sync(): Promise<void> {
    const synced = await syncRun(this.run.info.folder, {
      deadlineMs: 60_000,
      environment: this.target.environment,
    })
    const { complete, reason } = synced.destinations[this.target.name]!
    assert.ok(complete, reason)
  }

  assertLaw(stats: Stats): void {
    const { delivered, filtered, rejected, corrupt, pending, records } = stats.destinations[this.target.name]!
    assert.deepEqual(
      [stats.accepted, stats.journaled, stats.lost.laneFull + stats.lost.disk],
      [this.points, this.points, 0],
    )
    assert.equal(delivered + filtered + rejected + corrupt + pending, this.points)
    assert.deepEqual([filtered, rejected, corrupt, records.rejected], [0, 0, 0, 0])
  }

  /** All that was logged is there, once, with its value. */
  assertWhole(): void {
    const held = this.target.held(this.run.id)
    assert.ok(held !== undefined, 'one run')
    const seen = held.points.map(({ name, step, value }) => `${name} ${step} ${value}`).sort()
    const truth = KEYS.flatMap((name) =>
      Array.from({ length: this.steps }, (_, step) => `${name} ${step} ${valueAt(name, step)}`),
    ).sort()
    assert.deepEqual([seen.length, new Set(seen).size], [truth.length, truth.length])
    assert.deepEqual(seen, truth)
    assert.deepEqual([held.outcome, this.target.crimes()], ['finished', 0])
  }

  assertTold({ code }: Outage): void {
    const told = this.issues.filter(({ code }) => code !== 'ERR_DEADLINE' && code !== 'ERR_MAPPED')
    assert.equal(told[0]?.code, code, JSON.stringify(this.issues))
    assert.ok(told[0].message.length > 20)
    const troubles = told.filter(({ severity }) => severity !== 'recovered')
    assert.ok(troubles.length <= 2, `once a minute: ${JSON.stringify(told)}`)
  }
}

/** Ends it with a deadline that it must keep, whatever the backend does. */
async function finishInTime(play: Play, deadlineMs: number): Promise<Stats> {
  const from = performance.now()
  const stats = await play.run.finish('finished', { deadlineMs })
  const took = performance.now() - from
  assert.ok(took <= deadlineMs + SLACK_MS, `finish() took ${took.toFixed(0)} ms of ${deadlineMs}`)
  play.assertLaw(stats)
  return stats
}

// all at once, each at a backend of its own: most of the time they wait
describe('outages', { concurrency: true }, () => {
  for (const name of BACKENDS) describe(name, { concurrency: true }, () => outagesOf(name))
})

function outagesOf(name: BackendName): void {
  for (const outage of OUTAGES) {
    it(`${outage.name} at the start and at the end: finish() is in time with its numbers, sync sends the rest`, async (context) => {
      const play = await Play.start(context, name, outage)
      play.log(200)
      await play.untilStruck(outage)
      const stats = await finishInTime(play, 700)
      const { pending, reason } = stats.destinations[name]!
      // what was done though its answer was lost may count as pending, never as delivered without an answer
      assert.equal(pending, play.points)
      assert.notEqual(reason, '')
      const last = play.issues.at(-1)!
      assert.equal(last.code, 'ERR_DEADLINE')
      assert.match(last.message, /400 points and \d+ records for .*send with: npx tracelet sync \//)
      if (!outage.hangs) play.assertTold(outage)
      await play.heal()
      await play.sync()
      play.assertWhole()
    })

    it(`${outage.name} in the middle: it goes on by itself when that is over`, async (context) => {
      const play = await Play.start(context, name)
      play.log(200)
      await play.until('the first points', () => play.stats.delivered > 0)
      await Play.strike(play.target, outage)
      play.log(300)
      await play.untilStruck(outage)
      const delivered = play.stats.delivered
      play.log(100)
      await play.heal()
      if (outage.hangs) {
        // what hangs is waited for: a server may take that long
        await finishInTime(play, 700)
        await play.sync()
      } else {
        await play.until('all', () => play.stats.delivered === play.points)
        assert.ok(delivered < play.points)
        const stats = await finishInTime(play, 30_000)
        assert.equal(stats.destinations[name]!.pending, 0)
        play.assertTold(outage)
        const recovered = play.issues.filter(({ severity }) => severity === 'recovered')
        assert.equal(recovered.length, 1, JSON.stringify(play.issues))
        assert.match(recovered[0]!.message, /delivering again after .*: nothing was lost/)
      }
      play.assertWhole()
    })
  }

  it('its run is deleted and restored: it is blocked alone, and goes on by itself', async (context) => {
    const play = await Play.start(context, name)
    play.log(100)
    await play.until('the first points', () => play.stats.delivered === play.points)
    play.target.deleteRun(play.run.id)
    play.log(100)
    await play.until('told', () => play.issues.length > 0)
    assert.deepEqual(
      play.issues.map(({ code, severity }) => [code, severity]),
      [['ERR_REMOTE_RUN_GONE', 'error']],
    )
    assert.equal(play.stats.state, 'blocked')
    play.target.restoreRun(play.run.id)
    play.log(100)
    await play.until('all', () => play.stats.delivered === play.points)
    await finishInTime(play, 30_000)
    play.assertWhole()
  })

  it('a server that takes a second over each answer is not taken for dead, and all arrives', async (context) => {
    const play = await Play.start(context, name)
    play.target.proxy.failAll({ kind: 'slow', ms: 1_000 })
    play.log(400)
    const stats = await finishInTime(play, 60_000)
    assert.equal(stats.destinations[name]!.pending, 0)
    assert.deepEqual(play.issues, [])
    play.assertWhole()
  })

  const isLong = process.env.TRACELET_TEST_LONG === '1'
  it('a server that takes ten seconds over each answer: all arrives, or finish() is in time', {
    skip: !isLong,
  }, async (context) => {
    const play = await Play.start(context, name)
    play.target.proxy.failAll({ kind: 'slow', ms: 10_000 })
    play.log(400)
    const stats = await finishInTime(play, 15_000)
    assert.ok(stats.destinations[name]!.pending > 0)
    assert.ok(
      play.issues.every(({ code }) => code === 'ERR_DEADLINE'),
      JSON.stringify(play.issues),
    )
    await syncRun(play.run.info.folder, {
      deadlineMs: 300_000,
      environment: play.target.environment,
    })
    play.assertWhole()
  })
}
