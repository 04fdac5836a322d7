import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Batch } from '../../../src/core/types.ts'
import { Account } from '../../../src/pipeline/delivery/limiter.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage } from './stage.ts'

describe('a backend that takes smaller batches than its sink declares', () => {
  /** Refuses more than `limit` points. */
  function stageWith(account: Account, limit: () => number, points: number, inFlight = 1): Stage {
    const stage = new Stage(new MemoryJournal().scalars('loss', points, 100), {
      account,
      limits: { inFlight },
    })
    stage.sink.rule = (batch) =>
      (batch as Batch).length > limit()
        ? { status: 'split', code: 'ERR_REFUSED', reason: '413', tooLarge: true }
        : undefined
    return stage
  }

  it('is asked for a smaller one once, not for each batch', async () => {
    for (const inFlight of [1, 3]) {
      const account = new Account(8)
      const first = stageWith(account, () => 30, 3_000, inFlight)
      await first.finish()
      assert.equal(first.sink.points.length, 3_000)
      const refused = first.sink.writes - first.sink.sizes.length
      assert.ok(refused >= 2 && refused <= 2 * inFlight, `${refused} refused`)
      assert.equal(account.batchSize.limit, 25)
      const sibling = stageWith(account, () => 30, 1_000)
      await sibling.finish()
      assert.equal(sibling.sink.writes, sibling.sink.sizes.length, 'another run at it need not learn again')
      assert.equal(sibling.letters.length + first.letters.length, 0)
    }
  })

  it('is given larger ones again when it takes them, slowly', async () => {
    const account = new Account(8)
    let limit = 30
    const small = stageWith(account, () => limit, 300)
    await small.finish()
    limit = 1_000
    const soon = stageWith(account, () => limit, 300)
    await soon.finish()
    assert.equal(Math.max(...soon.sink.sizes), 25)
    for (const expected of [25, 50, 100]) {
      const later = stageWith(account, () => limit, 400)
      later.now = 1_000 + 700_000 * (expected / 25)
      await later.finish()
      assert.equal(later.sink.sizes[0], expected)
    }
  })

  it('that takes not even one point is waited for, and costs none', async () => {
    let isSilly = true
    const stage = new Stage(new MemoryJournal().scalars('loss', 50, 50), { live: true })
    stage.sink.rule = () =>
      isSilly ? { status: 'split', code: 'ERR_REFUSED', reason: '413', tooLarge: true } : undefined
    await stage.play(() => stage.issues.length > 0)
    assert.deepEqual(
      stage.issues.map(({ severity, code }) => [severity, code]),
      [['blocked', 'ERR_SERVER']],
    )
    assert.match(stage.issues[0]!.message, /not even one point .*413/)
    isSilly = false
    await stage.play(() => stage.sink.points.length === 50)
    await stage.finish()
    assert.deepEqual([stage.sink.points.length, stage.letters.length], [50, 0])
  })
})
