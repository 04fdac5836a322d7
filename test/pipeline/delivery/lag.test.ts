import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DESTINATION } from '../../../src/core/counters.ts'
import { LagMarks } from '../../../src/pipeline/delivery/lag-marks.ts'
import { Account } from '../../../src/pipeline/delivery/limiter.ts'
import { Pace } from '../../../src/pipeline/delivery/pace.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage } from './stage.ts'

/** A run and a sink, each with its own pace in points a second, for so long; one clock for both. */
async function race(
  logged: number,
  taken: number,
  forMs: number,
  account = new Account(8),
  journal = new MemoryJournal(),
): Promise<Stage> {
  const stage = new Stage(journal, { live: true, account, limits: { maxItems: 1_000 } })
  const end = stage.now + forMs
  let made = 0
  const produce = () => {
    const due = Math.floor((logged * (Math.min(stage.now, end) - 1_000)) / 1_000) - made
    if (due > 0) journal.scalars('loss', due, due, made)
    made += Math.max(0, due)
    stage.publish()
  }
  stage.sink.rule = (batch) => {
    if ('length' in batch) stage.now += (1_000 * batch.length) / taken
    produce()
    return undefined
  }
  stage.onRest = (next) => {
    if (stage.now >= end || !stage.delivery.isIdle) return false
    stage.now = Math.min(stage.now + 20, next)
    produce()
    return true
  }
  await stage.play(() => stage.now >= end && stage.block[DESTINATION.seq] === journal.seq)
  return stage
}

const behind = (stage: Stage) =>
  stage.issues.filter(({ code }) => code === 'ERR_BEHIND').map(({ message }) => message)

describe('lag', () => {
  test('marks know since when something waits, to a small part of how long', () => {
    const marks = new LagMarks()
    const arrived: number[] = []
    for (let now = 0; now < 600_000; now += 10) {
      arrived.push(now)
      marks.mark(arrived.length, 0, now)
    }
    for (const seq of [0, 1, 500, 20_000, 59_000]) {
      const age = 600_000 - arrived[seq]!
      const known = 600_000 - marks.sinceOf(seq)!
      assert.ok(known <= age && known >= age - 600_000 / 16, `${seq}: ${known} of ${age}`)
    }
    marks.mark(arrived.length, 30_000, 600_000)
    assert.ok(marks.sinceOf(30_000)! >= 300_000)
    marks.mark(arrived.length, arrived.length, 600_000)
    assert.equal(marks.sinceOf(arrived.length), undefined)
  })

  test('a pace is that of the last seconds, and forgotten with the work', () => {
    const pace = new Pace()
    for (let at = 0; at <= 100_000; at += 100)
      pace.look({ at, journaled: 10 * at, settled: 3 * at, delivered: at < 60_000 ? 0 : 2 * at })
    const { overMs, journaled, settled, delivered, before, waiting } = pace.rates!
    assert.equal(overMs, 30_000)
    assert.deepEqual([journaled, settled, delivered], [10_000, 3_000, 2_000])
    assert.deepEqual([before, waiting], [490_000, 700_000])
    pace.forget()
    assert.equal(pace.rates, undefined)
  })

  test('a backend that works and never catches up is told of early, again when it has doubled, and at the end', async () => {
    const stage = await race(3_000, 500, 120_000)
    const told = behind(stage)
    // said after half a minute, when the backlog would take minutes
    assert.match(
      told[0]!,
      /^takes (4\d\d|500) points\/s, the run logs 3,000: it is 2 min \d\d s behind and falls back further/,
    )
    assert.match(told[0]!, /everyN, include, exclude or maxLagMs/)
    assert.match(told[1]!, /it is [45] min/)
    assert.equal(told.at(-1), 'has caught up')
    assert.ok(told.length >= 3 && told.length <= 4, told.join('\n'))
  })

  test('who keeps up, or is behind for a moment only, is not told of', async () => {
    assert.deepEqual(behind(await race(500, 1_000, 90_000)), [])
    // 10 s behind at the end
    assert.deepEqual(behind(await race(600, 500, 50_000)), [])
  })

  test('who was far behind and catches up is not told of', async () => {
    const journal = new MemoryJournal().scalars('old', 200_000, 5_000)
    assert.deepEqual(behind(await race(100, 1_000, 100_000, new Account(8), journal)), [])
  })

  test('runs at one account are told of once', async () => {
    const account = new Account(8)
    const first = await race(3_000, 500, 60_000, account)
    const second = await race(3_000, 500, 60_000, account)
    assert.ok(behind(first).length > 0)
    assert.deepEqual(behind(second), [])
  })

  test('a backend that fails is in an outage, not behind; its lag grows all the same', async () => {
    const journal = new MemoryJournal().scalars('loss', 100, 100)
    const stage = new Stage(journal, { live: true })
    stage.sink.rule = () => (stage.now < 200_000 ? { status: 'retry', reason: 'down' } : undefined)
    let longest = 0
    stage.onRest = () => {
      const since = stage.block[DESTINATION.waitingSince]!
      if (since > 0) longest = Math.max(longest, stage.now - since)
      if (stage.now < 200_000) journal.scalars('loss', 10, 10, journal.seq)
      stage.publish()
      return false
    }
    await stage.play(() => stage.now >= 200_000 && stage.block[DESTINATION.seq] === journal.seq)
    assert.deepEqual(behind(stage), [])
    assert.ok(longest > 150_000, `${longest} ms`)
    await stage.finish()
    assert.equal(stage.block[DESTINATION.waitingSince], 0)
  })

  test('what is settled waits no more, though the uploads of the destination do', async () => {
    const journal = new MemoryJournal().record({ kind: 'text', name: 'a', step: 1, time: 1, text: 'a' })
    journal.scalars('loss', 100, 10)
    const stage = new Stage(journal, { live: true, capabilities: { uploads: ['text'] } })
    stage.uploader.uploadRule = () => ({ status: 'retry', reason: 'slow' })
    await stage.play(() => stage.block[DESTINATION.seq] === journal.seq && stage.uploader.opens > 0)
    assert.equal(stage.block[DESTINATION.waitingSince], 0)
    journal.scalars('loss', 5, 5, 100)
    stage.publish()
    stage.end(1_000)
    await stage.play()
    assert.equal(stage.closed?.complete, false)
    assert.equal(stage.block[DESTINATION.waitingSince], 0)
  })
})
