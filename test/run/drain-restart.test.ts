/**
 * The drain thread dies or hangs while main logs in a synchronous loop: another takes over, nothing is lost,
 * nothing comes twice, and no call waits longer than it may.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Stats } from '../../src/core/types.ts'
import { Random, SEED } from '../random.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { type Journaled, readJournal } from './journaled.ts'
import { codesOf, runProgram, startProgram, temporaryFolder } from './program.ts'

const PROGRAMS = 10
const KILLS_EACH = 2

interface Told {
  readonly stats: Stats
  readonly steps: number
  readonly longestMs: number
}

const valueAt = (series: string, step: number) => step / 3 + series.length

function assertOnce(journaled: Journaled, series: string, steps: readonly number[]): void {
  const points = journaled.points.get(series) ?? []
  const seen = points.map(({ step }) => step)
  if (seen.length !== steps.length || seen.some((step, i) => step !== steps[i])) {
    const there = new Set(seen)
    const missing = steps.filter((step) => !there.has(step))
    assert.fail(
      `${series}: ${seen.length} points of ${steps.length}, ${seen.length - there.size} doubled, missing ${missing.slice(0, 5)}`,
    )
  }
  const wrong = points.find(({ step, value }) => value !== valueAt(series, step))
  assert.equal(wrong, undefined, `${series}: ${JSON.stringify(wrong)}`)
}

function assertLaw({ accepted, journaled, coalesced, lost, inRing }: Stats, context: string): void {
  assert.equal(inRing, 0, context)
  assert.equal(accepted, journaled + coalesced + lost.laneFull + lost.disk, context)
}

test(`the drain thread is killed ${PROGRAMS * KILLS_EACH} times at random: every point once, in order, with its value`, async (context) => {
  context.diagnostic(`seed ${SEED}`)
  const random = new Random()
  for (let round = 0; round < PROGRAMS; round++) {
    const folder = temporaryFolder(context)
    const plan = {
      waitsMs: Array.from({ length: KILLS_EACH }, () => 5 + random.below(250)),
      laneSlots: random.pick([256, 4096, 65_536]),
      pauseUs: random.pick([0, 5, 50]),
      seesEvents: random.below(2) === 1,
    }
    const about = `seed ${SEED}, round ${round}: ${JSON.stringify(plan)}`
    const ended = await runProgram(
      folder,
      async ({ startLogging }, { args }) => {
        const plan = JSON.parse(args[0]!) as {
          waitsMs: number[]
          laneSlots: number
          pauseUs: number
          seesEvents: boolean
        }
        // the drain thread is a Worker like any other: remember those that are made
        const threads = (await import('node:worker_threads')).default
        const { syncBuiltinESMExports } = await import('node:module')
        const made: { terminate(): Promise<number> }[] = []
        const Original = threads.Worker
        threads.Worker = class extends Original {
          constructor(...parameters: ConstructorParameters<typeof Original>) {
            super(...parameters)
            made.push(this)
          }
        }
        syncBuiltinESMExports()

        const run = startLogging({ runId: 'r', blockMaxMs: 30_000, laneSlots: plan.laneSlots })
        const bound = run.metric('bound')
        const deadline = performance.now() + 20_000
        let step = 0
        const logUntil = (end: () => boolean) => {
          while (!end() && performance.now() < deadline) {
            run.log({ row: step / 3 + 3, more: step / 3 + 4 }, { step })
            bound.log(step, step / 3 + 5)
            // series that a new drain thread never saw defined
            if (step % 5000 === 0) run.metric('seldom', 'x').log(step, step / 3 + 10)
            if (step % 5000 === 1) run.metric(`new ${step}`).log(step, step / 3 + `new ${step}`.length)
            step++
            const until = performance.now() + plan.pauseUs / 1000
            while (performance.now() < until);
          }
        }
        const after = (ms: number) => {
          const at = performance.now() + ms
          return () => performance.now() >= at
        }
        for (const waitMs of plan.waitsMs) {
          logUntil(after(waitMs))
          const count = made.length
          void made.at(-1)!.terminate()
          // with a turn of the event loop main hears of the death, without one it must find out by itself
          if (plan.seesEvents) {
            logUntil(after(waitMs))
            while (made.length === count && performance.now() < deadline)
              await new Promise((resolve) => setTimeout(resolve, 5))
          } else logUntil(() => made.length > count)
          logUntil(after(50))
        }
        const stats = await run.finish()
        process.stdout.write(JSON.stringify({ stats, steps: step, made: made.length }))
      },
      [JSON.stringify(plan)],
    )
    assert.equal(ended.code, 0, `${about}: ${ended.stderr}`)
    const { stats, steps, made } = JSON.parse(ended.stdout) as Told & { made: number }
    assert.equal(made, 1 + KILLS_EACH, about)
    const journaled = readJournal(join(folder, 'default', 'r'))
    const all = Array.from({ length: steps }, (_, step) => step)
    for (const series of ['row', 'more', 'bound']) assertOnce(journaled, series, all)
    assertOnce(
      journaled,
      'seldom [x]',
      all.filter((step) => step % 5000 === 0),
    )
    for (const step of all.filter((step) => step % 5000 === 1)) assertOnce(journaled, `new ${step}`, [step])
    assert.deepEqual(stats.lost, { laneFull: 0, disk: 0 }, about)
    assert.equal(stats.journaled, journaled.count, about)
    assertLaw(stats, about)
    assert.deepEqual(journaled.states, ['running', 'finished'], about)
    assert.deepEqual(codesOf(ended.stderr), { ERR_DRAIN_RESTARTED: 1 }, ended.stderr)
  }
})

for (const moment of ['before', 'after'] as const) {
  test(`the drain thread is killed just ${moment} finish() was called: it is answered, everything is journaled`, async (context) => {
    const folder = temporaryFolder(context)
    const ended = await runProgram(
      folder,
      async ({ startLogging }, { args }) => {
        const threads = (await import('node:worker_threads')).default
        const { syncBuiltinESMExports } = await import('node:module')
        const made: { terminate(): Promise<number> }[] = []
        const Original = threads.Worker
        threads.Worker = class extends Original {
          constructor(...parameters: ConstructorParameters<typeof Original>) {
            super(...parameters)
            made.push(this)
          }
        }
        syncBuiltinESMExports()
        const run = startLogging({ runId: 'r' })
        run.log({ loss: 0 }, { step: 0 })
        await run.flush()
        run.log({ loss: 1 }, { step: 1 })
        if (args[0] === 'before') void made[0]!.terminate()
        const finishing = run.finish()
        if (args[0] === 'after') setTimeout(() => void made[0]!.terminate(), Number(args[1]))
        process.stdout.write(JSON.stringify({ stats: await finishing }))
      },
      [moment, '1'],
    )
    assert.equal(ended.code, 0, ended.stderr)
    const { stats } = JSON.parse(ended.stdout) as Told
    const journaled = readJournal(join(folder, 'default', 'r'))
    assert.deepEqual(
      journaled.points.get('loss')?.map(({ value }) => value),
      [0, 1],
    )
    assert.deepEqual(journaled.states, ['running', 'finished'])
    assertLaw(stats, ended.stderr)
    assert.equal(stats.destinations.local!.pending, 0)
    assert.ok(ended.ms < 10_000, `took ${ended.ms} ms`)
  })
}

test('the drain thread is killed while finish() waits for a server that is down: its successor delivers everything once', async (context) => {
  const folder = temporaryFolder(context)
  const server = await FakeMlflow.start()
  const { uri } = server
  await server.stop()
  context.after(() => server.stop())
  const program = startProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const threads = (await import('node:worker_threads')).default
      const { syncBuiltinESMExports } = await import('node:module')
      const made: { terminate(): Promise<number> }[] = []
      const Original = threads.Worker
      threads.Worker = class extends Original {
        constructor(...parameters: ConstructorParameters<typeof Original>) {
          super(...parameters)
          made.push(this)
        }
      }
      syncBuiltinESMExports()
      const run = startLogging({ runId: 'r', backend: { mlflow: { uri: args[0]! } } })
      for (let step = 0; step < 500; step++) run.log({ loss: step }, { step })
      const finishing = run.finish('finished', { deadlineMs: 40_000 })
      // by then it has met the end of the run, and every destination is still open
      setTimeout(async () => {
        await made[0]!.terminate()
        process.stderr.write('killed\n')
      }, 800)
      process.stdout.write(JSON.stringify({ stats: await finishing }))
    },
    [uri],
  )
  await program.said('killed')
  await server.listen()
  const ended = await program.ended
  assert.equal(ended.code, 0, ended.stderr)
  const { stats } = JSON.parse(ended.stdout) as Told
  assertLaw(stats, ended.stderr)
  assert.deepEqual([stats.destinations.mlflow!.delivered, stats.destinations.mlflow!.pending], [500, 0])
  assert.equal(server.store.points, 500)
  assert.deepEqual(
    [...server.store.runs.values()].map(({ status }) => status),
    ['FINISHED'],
  )
  assert.ok(ended.ms < 30_000, `finish() was answered only at its deadline, after ${ended.ms} ms`)
})

test('the drain thread is dead when the process exits: another journals what is left', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const threads = (await import('node:worker_threads')).default
    const { syncBuiltinESMExports } = await import('node:module')
    const made: { terminate(): Promise<number> }[] = []
    const Original = threads.Worker
    threads.Worker = class extends Original {
      constructor(...parameters: ConstructorParameters<typeof Original>) {
        super(...parameters)
        made.push(this)
      }
    }
    syncBuiltinESMExports()
    const run = startLogging({ runId: 'r' })
    run.log({ loss: 0 }, { step: 0 })
    await run.flush()
    void made[0]!.terminate()
    for (let step = 1; step < 100; step++) run.log({ loss: step }, { step })
    process.exit(6)
  })
  assert.equal(ended.code, 6, ended.stderr)
  const { points, states } = readJournal(join(folder, 'default', 'r'))
  assert.deepEqual(
    points.get('loss')?.map(({ value }) => value),
    Array.from({ length: 100 }, (_, step) => step),
  )
  assert.deepEqual(states, ['running', 'failed'])
  assert.ok(ended.ms < 5000, `took ${ended.ms} ms`)
})

test('the drain thread hangs on the disk: calls wait at most blockMaxMs, losses are counted, the rest arrives once it is back', async (context) => {
  const folder = temporaryFolder(context)
  // where the journal of a second run would begin stands a pipe that nobody writes to: opening it takes for ever
  const pipe = join(folder, 'default', 'hung', 'journal-00000001.tlj')
  mkdirSync(join(folder, 'default', 'hung'), { recursive: true })
  execFileSync('mkfifo', [pipe])
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const { openSync, closeSync } = await import('node:fs')
      const run = startLogging({ runId: 'r', laneSlots: 1024, blockMaxMs: 150 })
      const bound = run.metric('bound')
      for (let step = 0; step < 100; step++) bound.log(step, step / 3 + 5)
      await run.flush()
      startLogging({ runId: 'hung', laneSlots: 1024, blockMaxMs: 150 })
      let longestMs = 0
      let step = 100
      const until = performance.now() + 1500
      while (performance.now() < until) {
        const since = performance.now()
        bound.log(step, step / 3 + 5)
        step++
        longestMs = Math.max(longestMs, performance.now() - since)
      }
      const whileHung = run.stats()
      // the disk is back: whoever waits finds an empty file
      closeSync(openSync(args[0]!, 'r+'))
      const { setTimeout: sleep } = await import('node:timers/promises')
      const openers = setInterval(() => closeSync(openSync(args[0]!, 'r+')), 20)
      const { inRing } = await run.flush({ timeoutMs: 20_000 })
      clearInterval(openers)
      await sleep(20)
      // a slow logger, too, notices at once that there is room
      bound.log(step, step / 3 + 5)
      const stats = await run.finish('finished', { deadlineMs: 3000 })
      process.stdout.write(JSON.stringify({ stats, whileHung, inRing, steps: step + 1, longestMs }))
      // the pipe is no journal: the other run is of no interest any more
      setTimeout(() => process.exit(0), 10)
    },
    [pipe],
  )
  assert.equal(ended.code, 0, ended.stderr)
  const { stats, whileHung, inRing, steps, longestMs } = JSON.parse(ended.stdout) as Told & {
    whileHung: Stats
    inRing: number
  }
  context.diagnostic(`longest call ${longestMs.toFixed(1)} ms; ${whileHung.lost.laneFull} of ${steps} lost`)
  assert.ok(longestMs >= 100 && longestMs < 150 + 1_000, `a call took ${longestMs} ms`)
  assert.ok(whileHung.lost.laneFull > 0)
  assert.equal(inRing, 0, 'flush() came to its end')
  assert.equal(stats.accepted, steps)
  assertLaw(stats, ended.stderr)
  const points = readJournal(join(folder, 'default', 'r')).points.get('bound')!
  assert.equal(points.length, steps - stats.lost.laneFull)
  assert.ok(
    points.every(
      ({ step, value }, i) => value === valueAt('bound', step) && (i === 0 || step > points[i - 1]!.step),
    ),
  )
  assert.equal(points.at(-1)!.step, steps - 1)
  assert.ok(codesOf(ended.stderr).ERR_LANE_FULL === 1, ended.stderr)
})

test('a run whose journal cannot be opened counts its points as lost and tells why; other runs of the thread go on', async (context) => {
  const folder = temporaryFolder(context)
  mkdirSync(join(folder, 'default', 'bad', 'journal-00000001.tlj'), { recursive: true })
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const bad = startLogging({ runId: 'bad', params: { lr: 1 } })
    const good = startLogging({ runId: 'good' })
    for (let step = 0; step < 5000; step++) {
      bad.log({ loss: step }, { step })
      good.log({ loss: step / 3 + 4 }, { step })
    }
    const flushed = await bad.flush()
    const stats = await good.finish()
    const finished = await bad.finish('finished', { deadlineMs: 500 })
    process.stdout.write(JSON.stringify({ stats, flushed, finished }))
  })
  assert.equal(ended.code, 0, ended.stderr)
  const { stats, flushed, finished } = JSON.parse(ended.stdout) as Told & { flushed: Stats; finished: Stats }
  assertOnce(
    readJournal(join(folder, 'default', 'good')),
    'loss',
    Array.from({ length: 5000 }, (_, step) => step),
  )
  assertLaw(stats, 'good')
  for (const sums of [flushed, finished]) {
    assertLaw(sums, 'bad')
    assert.deepEqual([sums.accepted, sums.journaled, sums.lost.disk], [5000, 0, 5000])
  }
  assert.equal(finished.records.lost, finished.records.accepted)
  assert.equal(codesOf(ended.stderr).ERR_JOURNAL_WRITE, 1, ended.stderr)
})
