import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createCounters, destinationCounters } from '../../../src/core/counters.ts'
import { Health } from '../../../src/pipeline/delivery/health.ts'
import { Account, PROBE_MS } from '../../../src/pipeline/delivery/limiter.ts'
import { Trouble } from '../../../src/pipeline/delivery/trouble.ts'

function trouble() {
  const account = new Account(2)
  const health = new Health({ block: destinationCounters(createCounters(1), 0), tell: () => {} })
  return new Trouble(account, health, () => 0.999)
}

describe('waiting for a destination that fails', () => {
  it('doubles its waits up to half a minute', () => {
    const subject = trouble()
    const waits = Array.from({ length: 8 }, () => {
      subject.retry({ reason: 'down' }, 0)
      return Math.round(subject.notBefore / 0.999)
    })
    assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  })

  it('tries at once when the run ends, and then every second', () => {
    const subject = trouble()
    for (let failure = 0; failure < 8; failure++) subject.retry({ reason: 'down' }, 0)
    subject.finish(100)
    assert.equal(subject.notBefore, 100)
    subject.retry({ reason: 'down' }, 100)
    assert.equal(subject.notBefore, 100 + 999)
  })

  it('keeps to the silence that the account asked for, though the run ends', () => {
    const subject = trouble()
    subject.retry({ reason: 'too many', afterMs: 5_000 }, 0)
    subject.finish(100)
    assert.equal(subject.notBefore, 5_000)
  })

  it('does not come back at once though a server says so', () => {
    const subject = trouble()
    const waits = Array.from({ length: 5 }, () => {
      subject.retry({ reason: 'too many', afterMs: 0 }, 0)
      return subject.notBefore
    })
    assert.ok(waits[0]! > 400 && waits.at(-1)! > 900 && waits.at(-1)! <= 1_000, waits.join())
  })

  it('waits with the others when the account is out of reach, though not when the run ends', () => {
    const account = new Account(2)
    const health = new Health({ block: destinationCounters(createCounters(1), 0), tell: () => {} })
    const subject = new Trouble(account, health, () => 0.999)
    for (let run = 0; run < 300; run++)
      account.failed({}, 0, () => 0.999, { code: 'ERR_UNREACHABLE', reason: 'down' })
    assert.ok(subject.notBefore > 29_000)
    subject.finish(100)
    assert.ok(subject.notBefore <= 100)
  })

  it('is told of a refusal that others have met at the account, and why', () => {
    const account = new Account(2)
    const told: string[] = []
    const block = destinationCounters(createCounters(1), 0)
    const tell = (severity: string, code: string, message: string) =>
      void told.push(`${severity} ${code} ${message}`)
    const subject = new Trouble(account, new Health({ block, tell }), () => 0.999)
    assert.equal(subject.reason, '')
    account.block(0, { code: 'ERR_AUTH', reason: 'key revoked' })
    assert.equal(subject.reason, 'key revoked')
    for (let now = 0; now < 20_000; now += 1_000) subject.waitWithOthers(now)
    assert.deepEqual(told, ['blocked ERR_AUTH key revoked'])
    account.recovered()
    subject.recovered(40_000, 39_000)
    assert.deepEqual(told.slice(1), ['recovered ERR_AUTH delivering again'])
    assert.equal(subject.reason, '')
  })

  it('does not take for its recovery what was under way when it refused', () => {
    for (const scope of ['run', 'account'] as const) {
      const subject = trouble()
      subject.blocked({ status: 'blocked', scope, code: 'ERR_AUTH', reason: 'revoked' }, 10)
      subject.recovered(20, 5)
      assert.ok(subject.isBlocked, scope)
      subject.recovered(30, 25)
      assert.ok(!subject.isBlocked, scope)
    }
  })

  it('does not press a backend that refuses everything, though the run ends', () => {
    const subject = trouble()
    subject.blocked({ status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason: 'revoked' }, 0)
    subject.finish(100)
    assert.equal(subject.notBefore, PROBE_MS)
    assert.ok(subject.isBlocked)
  })
})
