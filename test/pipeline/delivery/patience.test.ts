import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Patience } from '../../../src/pipeline/delivery/patience.ts'

describe('how long an answer is waited for', () => {
  test('a minute, where answers come within seconds', () => {
    const patience = new Patience()
    for (let call = 0; call < 100; call++) patience.answered(10_000)
    assert.equal(patience.ms(0), 60_000)
  })

  test('longer at a server that was slow, until it has been quick for a while', () => {
    const patience = new Patience()
    patience.answered(50_000)
    assert.equal(patience.ms(0), 150_000)
    for (let call = 0; call < 30; call++) patience.answered(100)
    assert.equal(patience.ms(0), 60_000)
  })

  test('twice as long each time that the same was given up, so that it comes to an end however long it takes', () => {
    const patience = new Patience()
    assert.deepEqual(
      [0, 1, 2, 3, 60].map((silences) => patience.ms(silences)),
      [60_000, 120_000, 240_000, 480_000, 3_600_000],
    )
  })
})
