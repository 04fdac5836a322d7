import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Pulse } from '../../src/pipeline/delivery-pulse.ts'

const LOOK_MS = 10

test('a thread that answers is left alone; one that does not is told of once, and again when it had moved meanwhile', async () => {
  let isBusy = true
  let answers = true
  const told: number[] = []
  const pulse: Pulse = new Pulse({
    lookMs: LOOK_MS,
    isBusy: () => isBusy,
    ask: () => {
      if (answers) pulse.beat()
    },
    onStill: (forMs) => told.push(forMs),
  })
  await delay(30 * LOOK_MS)
  assert.deepEqual(told, [])
  answers = false
  while (told.length === 0) await delay(LOOK_MS)
  await delay(30 * LOOK_MS)
  assert.deepEqual(told, [3 * LOOK_MS])
  pulse.beat()
  while (told.length === 1) await delay(LOOK_MS)
  isBusy = false
  await delay(2 * LOOK_MS)
  const { length } = told
  await delay(30 * LOOK_MS)
  assert.equal(told.length, length, 'nothing is asked of one that has nothing to do')
})
