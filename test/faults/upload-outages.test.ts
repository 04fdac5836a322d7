/**
 * Outages that befall uploads: files arrive whole when it is over, the points beside them hear nothing of it, and what
 * cannot be sent in time is told with the command that sends it.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Issue, type Run, startLogging } from '../../src/index.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { temporaryFolder } from '../run/program.ts'
import { type FaultyBackend, startFaulty } from './backends.ts'
import type { Passing, ProxyFault } from './fault-proxy.ts'

const FILES = 5
const FILE_BYTES = 100_000
const POINTS = 500
const PATIENCE_MS = 60_000

const PASSING: readonly { readonly name: string; readonly fault: ProxyFault; readonly code: string }[] = [
  { name: 'connections are reset', fault: { kind: 'reset' }, code: 'ERR_UNREACHABLE' },
  { name: 'answers are lost after it was done', fault: { kind: 'lostAnswer' }, code: 'ERR_UNREACHABLE' },
  { name: 'answers are cut', fault: { kind: 'cutAnswer' }, code: 'ERR_UNREACHABLE' },
  { name: '500', fault: { kind: 'answer', status: 500 }, code: 'ERR_SERVER' },
  { name: '500 after it was done', fault: { kind: 'answerInstead', status: 500 }, code: 'ERR_SERVER' },
  { name: '429', fault: { kind: 'answer', status: 429 }, code: 'ERR_RATE_LIMITED' },
]
const LASTING: readonly { readonly name: string; readonly fault: ProxyFault }[] = [
  { name: 'never answered', fault: { kind: 'silent' } },
  { name: 'answers stop in the middle', fault: { kind: 'stalledAnswer' } },
  { name: '401', fault: { kind: 'answer', status: 401, body: 'no' } },
  { name: '503', fault: { kind: 'answer', status: 503 } },
]

const isOfUpload = ({ path }: Passing) => /uploads|mlflow-artifacts/.test(path)

class Play {
  readonly target: FaultyBackend
  readonly run: Run
  readonly issues: Issue[] = []
  readonly #digests = new Map<string, string>()

  private constructor(context: TestContext, target: FaultyBackend) {
    this.target = target
    this.run = startLogging({
      dir: temporaryFolder(context),
      backend: target.backend as never,
      onIssue: (issue) => void this.issues.push(issue),
    })
    const folder = join(temporaryFolder(context), 'weights')
    mkdirSync(folder)
    for (let file = 0; file < FILES; file++) {
      const content = Buffer.alloc(FILE_BYTES, `${file} `)
      writeFileSync(join(folder, `part-${file}`), content)
      this.#digests.set(`part-${file}`, createHash('sha256').update(content).digest('hex'))
    }
    void this.run.logArtifact(folder, { name: 'weights' } as never)
    for (let step = 0; step < POINTS; step++) this.run.log({ loss: step }, { step })
  }

  static async start(context: TestContext, name: 'identity' | 'mlflow', fault: ProxyFault): Promise<Play> {
    const target = await startFaulty(name)
    context.after(() => target.stop())
    target.proxy.failAll(fault, isOfUpload)
    return new Play(context, target)
  }

  get stats() {
    return this.run.stats().destinations[this.target.name]!
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + PATIENCE_MS
    while (!holds()) {
      assert.ok(performance.now() < giveUpAt, `${what}: ${JSON.stringify([this.stats, this.issues])}`)
      await sleep(15)
    }
  }

  assertWhole(): void {
    const held = this.target.uploaded!(this.run.id)
    for (const [name, digest] of this.#digests) assert.equal(held.get(name), digest, name)
    assert.equal(this.target.held(this.run.id)?.points.length, POINTS)
    assert.deepEqual([this.target.held(this.run.id)?.outcome, this.target.crimes()], ['finished', 0])
  }
}

describe('outages of uploads', { concurrency: true }, () => {
  for (const name of ['identity', 'mlflow'] as const) {
    for (const { name: what, fault, code } of PASSING) {
      it(`${name}, ${what}: points go on beside it, and the files arrive when it is over`, async (context) => {
        const play = await Play.start(context, name, fault)
        await play.until('told', () => play.issues.length > 0)
        await play.until('points', () => play.stats.delivered === POINTS)
        assert.equal(play.stats.records.pending, 1)
        play.target.proxy.heal()
        await play.until('uploaded', () => play.stats.records.pending === 0)
        const stats = await play.run.finish('finished', { deadlineMs: PATIENCE_MS })
        const { pending, records } = stats.destinations[name]!
        assert.deepEqual([pending, records.pending, records.rejected], [0, 0, 0])
        const told = play.issues.map(({ code, severity }) => `${severity} ${code}`)
        assert.deepEqual(told, [`warning ${code}`, `recovered ${code}`])
        play.assertWhole()
      })
    }

    for (const { name: what, fault } of LASTING) {
      it(`${name}, ${what} to the end: finish() is in time, and sync sends the files`, async (context) => {
        const play = await Play.start(context, name, fault)
        await play.until('struck', () => play.target.proxy.faults > 0)
        await play.until('points', () => play.stats.delivered === POINTS)
        const from = performance.now()
        const stats = await play.run.finish('finished', { deadlineMs: 800 })
        assert.ok(performance.now() - from < 800 + 6_000)
        const { pending, records } = stats.destinations[name]!
        assert.deepEqual([pending, records.pending, records.rejected], [0, 1, 0])
        assert.match(
          play.issues.at(-1)!.message,
          /0 points and 1 records? for .*send with: npx tracelet sync \//,
        )
        play.target.proxy.heal()
        const synced = await syncRun(play.run.info.folder, { deadlineMs: PATIENCE_MS, environment: {} })
        assert.ok(synced.destinations[name]!.complete, synced.destinations[name]!.reason)
        play.assertWhole()
      })
    }
  }
})
