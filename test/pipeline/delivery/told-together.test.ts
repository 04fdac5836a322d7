import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToldTogether } from '../../../src/pipeline/delivery/told-together.ts'
import type { FromDelivery } from '../../../src/pipeline/messages.ts'

function closedOf(one: string, other: string): FromDelivery | undefined {
  const told: FromDelivery[] = []
  const together = new ToldTogether((message) => told.push(message))
  for (const reason of [one, other])
    together.half()({ type: 'closed', run: 'run', destination: 'fake', complete: reason === '', reason })
  assert.equal(told.length, 1)
  return told[0]
}

test('two deliveries are closed once, complete when both are, and say what both say once', () => {
  const of = (complete: boolean, reason: string) => ({
    ...{ type: 'closed', run: 'run', destination: 'fake', complete, reason },
  })
  const passed = 'the deadline passed'
  assert.deepEqual(closedOf('', ''), of(true, ''))
  assert.deepEqual(closedOf('', passed), of(false, passed))
  assert.deepEqual(
    closedOf(passed, `${passed}; it does not answer`),
    of(false, `${passed}; it does not answer`),
  )
  assert.deepEqual(closedOf(`${passed}; a`, `${passed}; b`), of(false, `${passed}; a; b`))
})
