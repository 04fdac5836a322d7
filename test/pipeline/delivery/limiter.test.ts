import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Account, PROBE_MS } from '../../../src/pipeline/delivery/limiter.ts'

const DOWN = { code: 'ERR_UNREACHABLE', reason: 'down' } as const

describe('an account', () => {
  test('lets in as many writes at once as it has room for, all its runs together, and wakes who waits', () => {
    const account = new Account(2)
    const woken: string[] = []
    const wake = (name: string) => () => void woken.push(name)
    assert.equal(account.readyAt(wake('a')), 0)
    account.begin()
    account.begin()
    const [b, c] = [wake('b'), wake('c')]
    assert.equal(account.readyAt(b), Infinity)
    assert.equal(account.readyAt(c), Infinity)
    account.end()
    assert.deepEqual(woken, ['b', 'c'])
    assert.equal(account.readyAt(c), 0)
  })

  test('a pause holds for all of them, and the longest one counts', () => {
    const account = new Account(2)
    account.pause(5_000)
    account.pause(2_000)
    assert.equal(
      account.readyAt(() => {}),
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
    assert.equal(account.readyAt(wake), 1_000 + PROBE_MS)
    account.begin()
    assert.equal(account.readyAt(wake), Infinity)
    account.block(40_000, DOWN)
    account.end()
    assert.equal(woken, 1)
    assert.equal(account.readyAt(wake), 40_000 + PROBE_MS)
    account.begin()
    account.recovered()
    account.end()
    assert.ok(!account.isBlocked)
    assert.equal(account.readyAt(wake), 0)
  })
})
