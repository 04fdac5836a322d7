import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  createCounters,
  DESTINATION,
  DESTINATION_STATES,
  destinationCounters,
} from '../../../src/core/counters.ts'
import { Health, REPEAT_MS } from '../../../src/pipeline/delivery/health.ts'

function stage() {
  const block = destinationCounters(createCounters(1), 0)
  const told: string[] = []
  const health = new Health({
    block,
    tell: (severity, _code, message) => told.push(`${severity} ${message}`),
  })
  return { health, told, state: () => DESTINATION_STATES[block[DESTINATION.state]!] }
}

describe('what a destination says of its health', () => {
  test('one failure is a blip; the second is told, then once a minute, and the end once', () => {
    const { health, told } = stage()
    health.failing('ERR_UNREACHABLE', 'down', 100, 0, 'account')
    assert.deepEqual(told, [])
    for (let now = 1_000; now <= 2 * REPEAT_MS; now += 1_000)
      health.failing('ERR_UNREACHABLE', 'down', 100, now, 'account')
    assert.deepEqual(told, ['failing down', 'failing down'])
    health.live(2 * REPEAT_MS + 1)
    assert.deepEqual(told.slice(2), ['recovered delivering again'])
  })

  test('a trouble that comes and goes is told of no more often than one that lasts', () => {
    const { health, told } = stage()
    for (let now = 0; now < 10 * REPEAT_MS; now += 500) {
      for (let failure = 0; failure < 3; failure++) health.failing('ERR_SERVER', '503', 100, now, 'account')
      health.live(now + 100)
    }
    const begun = told.filter((line) => line.startsWith('failing'))
    assert.ok(begun.length >= 9 && begun.length <= 11, told.join('\n'))
    assert.equal(told.length, 2 * begun.length, 'each that was told has its end')
  })

  test('a cursor that cannot be saved is not mended by a backend that takes what it is sent', () => {
    const { health, told, state } = stage()
    for (let now = 0; now < 10_000; now += 100) {
      health.live(now)
      health.diskFails('ERR_JOURNAL_WRITE', 'disk full', now + 50)
    }
    assert.deepEqual(told, ['failing disk full'])
    assert.equal(state(), 'retrying')
    health.diskWorks(10_000)
    assert.deepEqual(told.slice(1), ['recovered delivering again'])
    assert.deepEqual([state(), health.reason], ['live', ''])
    health.diskWorks(10_001)
    assert.equal(told.length, 2)
  })

  test('a disk that works again does not end an outage of the backend', () => {
    const { health, told, state } = stage()
    health.diskFails('ERR_JOURNAL_WRITE', 'disk full', 0)
    health.failing('ERR_UNREACHABLE', 'down', 100, 10, 'account')
    health.diskWorks(20)
    assert.deepEqual(told, ['failing disk full'])
    assert.equal(state(), 'retrying')
    health.live(30)
    assert.deepEqual(told.slice(1), ['recovered delivering again'])
  })
})
