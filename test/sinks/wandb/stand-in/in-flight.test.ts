import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InFlight } from './in-flight.ts'

describe('requests of a run in flight', () => {
  it('are rivals when the first is answered or goes on, and not when its client gave it up', async () => {
    for (const [end, isRival] of [
      ['answered', true],
      ['gone', false],
      [undefined, true],
    ] as const) {
      const inFlight = new InFlight()
      const first = inFlight.begin('a')
      const second = inFlight.begin('a')
      const asked = second.hasRival()
      if (end) first.close(end)
      assert.equal(await asked, isRival, end)
    }
  })

  it('are none of another run, of no run, and none that is over', async () => {
    const inFlight = new InFlight()
    const [first, other] = [inFlight.begin('a'), inFlight.begin('b')]
    assert.equal(await other.hasRival(), false)
    assert.deepEqual([inFlight.begin(undefined).others, inFlight.begin(undefined).others], [[], []])
    first.close('answered')
    // its connection is still open, and it has nothing more to do
    assert.equal(await inFlight.begin('a').hasRival(), false)
  })
})
