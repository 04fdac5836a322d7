import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { setImmediate as turnOfLoop } from 'node:timers/promises'
import { monotonicNow } from '../../../src/core/clock.ts'
import { Scheduler, type Served } from '../../../src/pipeline/delivery/scheduler.ts'

class Worker implements Served {
  readonly run: string
  isClosed = false
  hasGrown = false
  turns = 0
  touches = 0
  onTurn: (now: number) => number = () => Infinity

  constructor(run: string) {
    this.run = run
  }

  turn(now: number): number {
    this.turns++
    this.hasGrown = false
    return this.onTurn(now)
  }

  finish(): void {
    this.onTurn = () => {
      this.isClosed = true
      return Infinity
    }
  }

  touch(): void {
    this.touches++
  }
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 5_000
  while (!holds()) {
    assert.ok(performance.now() < end, what)
    await turnOfLoop()
  }
}

function burn(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

describe('the scheduler', () => {
  // one that goes on after a failed test would keep the process busy for ever
  const started: Scheduler[] = []
  const newScheduler = (idle?: Int32Array) => {
    const scheduler = new Scheduler(idle)
    started.push(scheduler)
    return scheduler
  }
  afterEach(async () => {
    for (const scheduler of started.splice(0)) await scheduler.stop()
  })

  test('S1 serves in turn: one with endless work starves neither the others nor the event loop', async () => {
    const scheduler = newScheduler()
    const greedy = new Worker('greedy')
    greedy.onTurn = (now) => {
      burn(1)
      return now
    }
    const modest = new Worker('modest')
    let served = 0
    modest.onTurn = (now) => (++served < 50 ? now : Infinity)
    scheduler.add(greedy)
    scheduler.add(modest)
    let rounds = 0
    let worst = 0
    let before = performance.now()
    await until(() => {
      rounds++
      worst = Math.max(worst, performance.now() - before)
      before = performance.now()
      return served === 50
    }, 'the modest one is served')
    // the round in which the modest one has had enough gives the greedy one a slice of 5 ms
    assert.ok(Math.abs(greedy.turns - modest.turns) <= 6, `${greedy.turns} and ${modest.turns} turns`)
    assert.ok(rounds >= 5, `${rounds} rounds of the event loop`)
    await scheduler.stop()
  })

  test('a turn comes when it is due, not before', async () => {
    const scheduler = newScheduler()
    const worker = new Worker('a')
    const times: number[] = []
    worker.onTurn = (now) => {
      times.push(now)
      return now + 30
    }
    scheduler.add(worker)
    await until(() => times.length === 4, 'four turns')
    for (let at = 1; at < times.length; at++) assert.ok(times[at]! - times[at - 1]! >= 30)
    await scheduler.stop()
  })

  test('S2 raises IDLE whenever it sleeps, and each wake is heeded', async () => {
    const idle = new Int32Array(new SharedArrayBuffer(4))
    const scheduler = newScheduler(idle)
    const worker = new Worker('a')
    scheduler.add(worker)
    await until(() => Atomics.load(idle, 0) === 1, 'idle')
    for (let round = 0; round < 20; round++) {
      const { turns } = worker
      worker.hasGrown = true
      scheduler.look()
      await until(() => worker.turns > turns, 'woken')
      // it was awake until here, but for its last look
      await until(() => Atomics.load(idle, 0) === 1, 'idle again')
    }
    await scheduler.stop()
    assert.equal(Atomics.load(idle, 0), 0, 'one that has stopped wants no wake')
  })

  test('S2 of many it sees growth by polling while there is some, then raises IDLE', async () => {
    const idle = new Int32Array(new SharedArrayBuffer(4))
    const scheduler = newScheduler(idle)
    const workers = Array.from({ length: 100 }, (_, index) => new Worker(`run ${index}`))
    for (const worker of workers) scheduler.add(worker)
    await until(() => Atomics.load(idle, 0) === 1, 'idle')
    const worker = workers[70]!
    const { turns } = worker
    worker.hasGrown = true
    scheduler.look()
    await until(() => worker.turns > turns, 'woken')
    worker.hasGrown = true
    await until(() => worker.turns > turns + 1, 'polled')
    await until(() => Atomics.load(idle, 0) === 1, 'idle again')
    await scheduler.stop()
  })

  test('finish reaches the destinations of that run alone, those added later too', async () => {
    const scheduler = newScheduler()
    const [a, other, late] = [new Worker('a'), new Worker('b'), new Worker('a')]
    scheduler.add(a)
    scheduler.add(other)
    scheduler.finish('a', monotonicNow() + 1_000)
    await until(() => a.isClosed, 'closed')
    scheduler.add(late)
    await until(() => late.isClosed, 'closed though it came late')
    assert.ok(!other.isClosed)
    await scheduler.stop()
    assert.ok(other.isClosed)
  })

  test('S3 when everything is closed no timer is left', async () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const scheduler = newScheduler()
    const worker = new Worker('a')
    worker.onTurn = (now) => now + 60_000
    scheduler.add(worker)
    await until(() => worker.turns > 0, 'served')
    scheduler.finish('a', 0)
    await scheduler.stopped()
    assert.equal(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length, before)
  })

  test('serves a thousand: each that grows, is due or finishes, and forgets the ends of runs', async () => {
    const scheduler = newScheduler()
    const workers = Array.from({ length: 1000 }, (_, i) => new Worker(`run ${i >> 1}`))
    for (const worker of workers) scheduler.add(worker)
    await until(() => workers.every(({ turns }) => turns > 0), 'each gets its first turn')
    const [grown, due] = [workers[7]!, workers[900]!]
    let turns = grown.turns
    grown.hasGrown = true
    scheduler.look()
    await until(() => grown.turns > turns, 'what has grown is seen')
    turns = due.turns
    due.onTurn = (now) => (due.turns === turns + 1 ? now + 20 : Infinity)
    scheduler.wake(due)
    await until(() => due.turns === turns + 2, 'what is due is served')
    for (let run = 0; run < 500; run++) {
      scheduler.finish(`run ${run}`, monotonicNow() + 1000)
      scheduler.hasAll(`run ${run}`)
    }
    await scheduler.stopped()
    assert.ok(workers.every(({ isClosed }) => isClosed))
    // the same run started again must not be taken for finishing
    const again = new Worker('run 3')
    scheduler.add(again)
    await until(() => again.turns > 0, 'it is served')
    assert.equal(again.isClosed, false)
  })
})
