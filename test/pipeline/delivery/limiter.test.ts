import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Account, PROBE_MS } from '../../../src/pipeline/delivery/limiter.ts'
import { Turnstile } from '../../../src/pipeline/delivery/turnstile.ts'
import { Random, SEED } from '../../random.ts'

const DOWN = { code: 'ERR_UNREACHABLE', reason: 'down' } as const

describe('an account', () => {
  test('lets in as many writes at once as it has room for, all its runs together, and wakes who waits', () => {
    const account = new Account(2)
    const woken: string[] = []
    const wake = (name: string) => () => void woken.push(name)
    assert.equal(account.readyAt(wake('a'), 0), 0)
    account.begin(() => {}, 0)
    account.begin(() => {}, 0)
    const [b, c] = [wake('b'), wake('c')]
    assert.equal(account.readyAt(b, 0), Infinity)
    assert.equal(account.readyAt(c, 0), Infinity)
    account.end()
    assert.deepEqual(woken, ['b', 'c'])
    assert.equal(account.readyAt(c, 0), 0)
  })

  test('a pause holds for all of them, and the longest one counts', () => {
    const account = new Account(2)
    account.pause(5_000)
    account.pause(2_000)
    assert.equal(
      account.readyAt(() => {}, 0),
      5_000,
    )
  })

  test('hundreds of runs that fail together try no more often than one alone, until one is answered', () => {
    const account = new Account(2)
    for (let run = 0; run < 300; run++) account.failed({}, 1_000, () => 0.999, DOWN)
    assert.ok(account.outageUntil > 1_000 + 29_000 && account.outageUntil <= 31_000)
    assert.equal(account.outage, DOWN)
    account.reached()
    assert.deepEqual([account.outageUntil, account.outage], [0, undefined])
    const alone = {}
    for (let failure = 0; failure < 20; failure++) account.failed(alone, 1_000, () => 0.999, DOWN)
    assert.equal(account.outageUntil, 0, 'a run that fails beside others that do not is its own affair')
  })

  test('when it refuses everything one of them probes, and the others wait for the outcome', () => {
    const account = new Account(4)
    let woken = 0
    const wake = () => void woken++
    account.block(1_000, DOWN)
    assert.ok(account.isBlocked)
    assert.equal(account.readyAt(wake, 0), 1_000 + PROBE_MS)
    account.begin(() => {}, 0)
    assert.equal(account.readyAt(wake, 0), Infinity)
    account.block(40_000, DOWN)
    account.end()
    assert.equal(woken, 1)
    assert.equal(account.readyAt(wake, 0), 40_000 + PROBE_MS)
    account.begin(() => {}, 0)
    account.recovered()
    account.end()
    assert.ok(!account.isBlocked)
    assert.equal(account.readyAt(wake, 0), 0)
  })
})

describe('how often calls of an account begin', () => {
  /** Runs that would each begin a call as often as they may, woken late now and then; when each began. */
  function play(turnstile: Turnstile, runs: number, untilMs: number, random: Random): Map<number, number[]> {
    const begun = new Map(Array.from({ length: runs }, (_, run) => [run, [] as number[]]))
    const who = [...begun.keys()].map((run) => ({ run }))
    const due = who.map((one) => ({ one, at: 0 }))
    let now = 0
    for (;;) {
      const next = due.reduce((first, other) => (other.at < first.at ? other : first))
      if (next.at > untilMs) return begun
      now = Math.max(now, next.at) + (random.below(10) === 0 ? random.below(30) : 0)
      const readyAt = turnstile.readyAt(next.one, now)
      if (readyAt > now) next.at = readyAt
      else {
        turnstile.begin(next.one, now)
        begun.get(next.one.run)!.push(now)
        // it is busy, or has nothing to send for a while
        next.at = now + (random.below(20) === 0 ? 3_000 : random.below(200))
      }
    }
  }

  for (const [perSecond, burst] of [
    [80, 20],
    [11, 2],
    [4, 1],
    [0.5, 1],
  ] as const) {
    test(`${perSecond} a second: no second has more, no more than ${burst} at once, all runs get their turn, seed ${SEED}`, () => {
      const runs = 300
      const untilMs = Math.max(60_000, (4_000 * runs) / perSecond)
      const begun = play(new Turnstile(perSecond), runs, untilMs, new Random())
      const all = [...begun.values()].flat().sort((one, other) => one - other)
      const most = (ms: number): number => {
        let from = 0
        let count = 0
        for (let to = 0; to < all.length; to++) {
          while (all[from]! <= all[to]! - ms) from++
          count = Math.max(count, to - from + 1)
        }
        return count
      }
      assert.ok(most(1_000) <= Math.max(1, perSecond), `${most(1_000)} in a second`)
      assert.ok(most(1) <= burst, `${most(1)} at once`)
      const possible = (perSecond * untilMs) / 1_000
      assert.ok(all.length > 0.8 * possible, `${all.length} of ${possible}`)
      const counts = [...begun.values()].map(({ length }) => length)
      assert.ok(
        Math.max(...counts) <= 2 * Math.min(...counts) + 2,
        `${Math.min(...counts)}…${Math.max(...counts)}`,
      )
    })
  }

  test('without a limit nobody waits', () => {
    const turnstile = new Turnstile()
    for (let call = 0; call < 1_000; call++) {
      assert.equal(turnstile.readyAt({}, 5), 5)
      turnstile.begin({}, 5)
    }
  })

  test('a rest that an answer asked for holds rows and uploads up, and is no trouble of anybody', () => {
    const turnstile = new Turnstile()
    const [rows, uploads] = [new Account(2, turnstile), new Account(2, turnstile)]
    turnstile.rest(2_000, 1_000)
    turnstile.rest(undefined, 1_000)
    turnstile.rest(Number.NaN, 1_000)
    turnstile.rest(500, 1_000)
    for (const account of [rows, uploads]) {
      assert.equal(
        account.readyAt(() => {}, 1_500),
        3_000,
      )
      assert.equal(
        account.readyAt(() => {}, 3_000),
        3_000,
      )
      assert.deepEqual([account.isBlocked, account.pausedUntil, account.outageUntil], [false, 0, 0])
    }
  })
})
