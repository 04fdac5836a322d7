import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Slots } from '../../../src/pipeline/delivery/slots.ts'
import { Random, SEED } from '../../random.ts'

class Holder {
  isIdle = false
  parked = 0
  park(): void {
    this.parked++
  }
}

describe('places for open runs', () => {
  test('an idle run makes room at once, a busy one when it has had its time', () => {
    const slots = new Slots<Holder>(2)
    const [a, b, c, d] = [new Holder(), new Holder(), new Holder(), new Holder()]
    assert.ok(slots.take(a, 0) && slots.take(b, 0))
    assert.ok(slots.take(a, 1), 'who has a place keeps it')
    b.isIdle = true
    assert.equal(slots.take(c, 10), false)
    assert.deepEqual([a.parked, b.parked], [0, 1])
    assert.equal(slots.take(d, 10), false)
    assert.equal(a.parked, 0)
    slots.makeRoom(1_000)
    assert.equal(a.parked, 1)
    slots.makeRoom(2_000)
    assert.deepEqual([a.parked, b.parked], [1, 1], 'nobody is asked twice')
  })

  test('whoever waits longest is next, and a newcomer does not pass him', () => {
    const slots = new Slots<Holder>(1)
    const [a, b, c] = [new Holder(), new Holder(), new Holder()]
    slots.take(a, 0)
    slots.take(b, 1)
    slots.take(c, 2)
    slots.give(a)
    assert.deepEqual(slots.next(), [b])
    assert.equal(slots.take(c, 3), false)
    assert.equal(slots.take(a, 3), false)
    assert.equal(slots.take(b, 3), true)
    slots.give(b)
    assert.deepEqual(slots.next(), [c])
  })

  test(`never more than the most are open, and all get their turn, seed ${SEED}`, () => {
    const random = new Random()
    const slots = new Slots<Holder>(8)
    const holders = Array.from({ length: 40 }, () => new Holder())
    const open = new Set<Holder>()
    const served = new Set<Holder>()
    for (let now = 0; now < 40_000; now += 20) {
      const holder = random.pick(holders)
      if (open.has(holder) && holder.parked > 0) {
        open.delete(holder)
        holder.parked = 0
        slots.give(holder)
        for (const next of slots.next()) if (slots.take(next, now)) open.add(next)
      } else if (slots.take(holder, now)) open.add(holder)
      slots.makeRoom(now)
      for (const one of open) served.add(one)
      assert.ok(open.size <= 8)
    }
    assert.equal(served.size, 40)
  })
})
