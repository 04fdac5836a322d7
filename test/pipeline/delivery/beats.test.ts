import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SinkState } from '../../../src/core/types.ts'
import { Heartbeat, ParkedBeats } from '../../../src/pipeline/delivery/heartbeat.ts'
import { Account, PROBE_MS } from '../../../src/pipeline/delivery/limiter.ts'
import { Turnstile } from '../../../src/pipeline/delivery/turnstile.ts'
import { Random, SEED } from '../../random.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage, type StageOptions } from './stage.ts'

const BEAT_MS = 15_000

/** A live run whose sink has beats; when each began. */
function beating(journal: MemoryJournal, options: StageOptions = {}): { stage: Stage; beats: number[] } {
  const limits = { beatMs: BEAT_MS, ...options.limits }
  const stage = new Stage(journal, { live: true, ...options, limits })
  const beats: number[] = []
  stage.sink.onBeat = () => {
    beats.push(stage.now)
    return undefined
  }
  return { stage, beats }
}

describe('beats', () => {
  test('one comes whenever no call has begun for so long, none beside a call, none at the end', async () => {
    const journal = new MemoryJournal()
    const { stage, beats } = beating(journal)
    await stage.play(() => beats.length === 2)
    assert.deepEqual(beats, [1_000 + BEAT_MS, 1_000 + 2 * BEAT_MS])
    await stage.play(() => stage.now >= 1_000 + 3 * BEAT_MS)
    stage.now += 5_000
    journal.scalars('loss', 10, 10)
    stage.publish()
    await stage.play(() => stage.sink.points.length === 10)
    const wroteAt = stage.now
    const before = beats.length
    await stage.play(() => beats.length === before + 1)
    assert.equal(beats.at(-1), wroteAt + BEAT_MS)
    assert.equal(stage.sink.mostUnderWay, 1)
    stage.now += BEAT_MS
    await stage.finish()
    assert.equal(beats.length, before + 1)
    assert.equal(stage.closed?.complete, true)
  })

  test('without the limit, or in a sink without beats, there are none and nothing waits for them', async () => {
    for (const limits of [{}, { beatMs: 10 }]) {
      const stage = new Stage(new MemoryJournal(), { live: true, limits })
      let beats = 0
      if (!('beatMs' in limits)) stage.sink.onBeat = () => void beats++
      await stage.play(() => stage.sink.opens === 1)
      stage.delivery.park()
      await stage.play(() => stage.sink.closes === 1)
      stage.now += 3_600_000
      await stage.finish()
      assert.deepEqual([stage.sink.opens, beats], [1, 0])
    }
  })

  test('points that linger go before a beat that would come just ahead of them, else after it', async () => {
    for (const [lingerMs, expected] of [
      [BEAT_MS, 0],
      [3 * BEAT_MS, 2],
    ] as const) {
      const journal = new MemoryJournal()
      const { stage, beats } = beating(journal, { limits: { lingerMs } })
      await stage.play(() => stage.sink.opens === 1)
      stage.now += 1_000
      journal.scalars('loss', 10, 10)
      stage.publish()
      await stage.play(() => stage.sink.points.length === 10)
      assert.equal(beats.length, expected, `${lingerMs}`)
    }
  })

  test('what a beat answers is the state of the cursor, at the place where the run stands', async () => {
    const journal = new MemoryJournal().scalars('loss', 10, 10)
    const { stage, beats } = beating(journal)
    stage.sink.rule = () => ({ status: 'accepted', state: { held: 10 } })
    stage.sink.onBeat = () => {
      beats.push(stage.now)
      return { status: 'accepted', state: { held: 0, beats: beats.length } }
    }
    stage.publish()
    await stage.play(() => stage.saved.at(-1)?.seq === 10)
    assert.deepEqual(stage.cursor.state, { held: 10 })
    await stage.play(() => beats.length === 1)
    await stage.play(() => (stage.cursor.state as { beats?: number }).beats === 1)
    assert.deepEqual([stage.cursor.seq, stage.cursor.settled.delivered], [10, 10])
    await stage.finish()
    assert.deepEqual(stage.cursor.state, { held: 0, beats: 1 })
  })

  test('one that comes while the journal grows: what is read meanwhile waits for its answer', async () => {
    const journal = new MemoryJournal()
    const { stage, beats } = beating(journal, { limits: { inFlight: 4 } })
    let writesBeside: number | undefined
    stage.sink.onBeat = () => {
      beats.push(stage.now)
      if (beats.length === 1) {
        journal.scalars('loss', 250, 250)
        stage.publish()
        for (let turns = 0; turns < 5; turns++) stage.delivery.turn(stage.now)
        writesBeside = stage.sink.writes
      }
      return { status: 'accepted', state: { beats: beats.length } }
    }
    stage.sink.rule = () => ({ status: 'accepted', state: { rows: true } })
    await stage.play(() => stage.sink.points.length === 250)
    assert.deepEqual([beats.length, writesBeside], [1, 0])
    await stage.finish()
    assert.deepEqual(stage.cursor.state, { rows: true })
  })

  test('one that fails is trouble like that of a write: told, backed off from, tried again, recovered', async () => {
    const { stage, beats } = beating(new MemoryJournal())
    stage.sink.onBeat = () => {
      beats.push(stage.now)
      return stage.now < 1_000 + BEAT_MS + 60_000 ? { status: 'retry', reason: 'HTTP 502' } : undefined
    }
    await stage.play(() => stage.issues.some(({ severity }) => severity === 'recovered'))
    assert.ok(beats.length > 4 && beats.length < 20, `${beats.length} tries`)
    assert.ok(beats[1]! - beats[0]! < BEAT_MS, 'it is owed, not only due')
    assert.deepEqual(
      [...new Set(stage.issues.map(({ severity, code }) => `${severity} ${code}`))],
      ['failing ERR_UNREACHABLE', 'recovered ERR_UNREACHABLE'],
    )
    const answeredAt = beats.at(-1)!
    await stage.play(() => beats.at(-1)! > answeredAt)
    assert.equal(beats.at(-1), answeredAt + BEAT_MS)
  })

  test('one that is blocked blocks, one that would be split too: probed until it is taken', async () => {
    for (const answer of [
      { status: 'blocked', scope: 'account', code: 'ERR_AUTH', reason: 'no' },
      { status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason: 'no' },
      { status: 'split', code: 'ERR_AUTH', reason: 'no' },
    ] as const) {
      const { stage, beats } = beating(new MemoryJournal())
      stage.sink.onBeat = () => {
        beats.push(stage.now)
        return beats.length < 3 ? answer : undefined
      }
      await stage.play(() => beats.length === 3)
      await stage.play(() => stage.issues.length === 2)
      assert.deepEqual(
        stage.issues.map(({ severity, code }) => `${severity} ${code}`),
        ['blocked ERR_AUTH', 'recovered ERR_AUTH'],
      )
      assert.deepEqual([beats[1]! - beats[0]!, beats[2]! - beats[1]!], [PROBE_MS, PROBE_MS])
      await stage.finish()
      assert.equal(stage.closed?.complete, true)
    }
  })

  test('one that hangs is given up, and comes again', async () => {
    const account = new Account(8)
    account.patience.ms = () => 20
    const { stage, beats } = beating(new MemoryJournal(), { account })
    stage.waitsForSink = true
    stage.sink.onBeat = (signal) => {
      beats.push(stage.now)
      if (beats.length > 1) return undefined
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve({ status: 'retry', reason: signal.reason.message })),
      )
    }
    await stage.play(() => beats.length === 2)
    assert.ok(beats[1]! - beats[0]! < BEAT_MS)
  })

  test('a throw, or an answer about items, is told as a fault of the sink; points go out all the same', async () => {
    const journal = new MemoryJournal()
    const { stage, beats } = beating(journal)
    stage.sink.onBeat = () => {
      beats.push(stage.now)
      if (beats.length % 2 === 1) throw new Error('no line')
      return { status: 'partial', rejected: [{ index: 0, code: 'ERR_REFUSED', reason: 'no' }] }
    }
    await stage.play(() => beats.length === 4)
    assert.deepEqual(
      stage.issues.map(({ severity, code }) => `${severity} ${code}`),
      ['notice ERR_SINK_BUG', 'notice ERR_SINK_BUG'],
    )
    journal.scalars('loss', 10, 10)
    await stage.finish()
    assert.equal(stage.sink.points.length, 10)
    assert.equal(stage.letters.length, 0)
  })

  test('a rest that its answer asks for holds up what comes next and is no trouble', async () => {
    const journal = new MemoryJournal()
    const { stage, beats } = beating(journal)
    stage.sink.onBeat = () => {
      beats.push(stage.now)
      return { status: 'accepted', restMs: 4_000 }
    }
    await stage.play(() => beats.length === 1)
    const beatAt = stage.now
    await stage.play(() => stage.now > beatAt + 1_000 || stage.sink.points.length > 0).catch(() => {})
    journal.scalars('loss', 10, 10)
    stage.publish()
    await stage.play(() => stage.sink.points.length === 10)
    assert.ok(stage.now >= beatAt + 4_000)
    assert.deepEqual(stage.issues, [])
  })

  test('a run that is parked opens again for one with the state that was saved, once a minute', async () => {
    const journal = new MemoryJournal().scalars('loss', 10, 10)
    const { stage, beats } = beating(journal)
    const seen: SinkState[] = []
    let wroteAt = 0
    stage.sink.rule = () => {
      wroteAt = stage.now
      return { status: 'accepted', state: { line: 10 } }
    }
    stage.sink.onOpen = (state) => {
      seen.push(state)
      return { status: 'ready' }
    }
    stage.publish()
    await stage.play(() => stage.saved.at(-1)?.seq === 10)
    for (let times = 1; times <= 3; times++) {
      stage.delivery.park()
      await stage.play(() => stage.sink.closes === times)
      await stage.play(() => beats.length === times)
      assert.equal(stage.sink.opens, times + 1)
    }
    const gaps = beats.map((at, index) => at - (beats[index - 1] ?? wroteAt))
    assert.ok(
      gaps.every((gap) => gap >= 60_000 && gap < 61_000),
      String(gaps),
    )
    assert.deepEqual(seen.slice(1), Array(3).fill({ line: 10 }))
    stage.delivery.park()
    await stage.play(() => stage.sink.closes === 4)
    await stage.finish()
    assert.equal(stage.sink.opens, 4, 'with nothing to send it is not opened for its end')
  })

  test('a run that is asked for its slot while it is opened for a beat gives the beat first', async () => {
    const { stage, beats } = beating(new MemoryJournal())
    await stage.play(() => stage.sink.opens === 1)
    stage.delivery.park()
    await stage.play(() => stage.sink.closes === 1)
    stage.sink.onOpen = () => {
      setImmediate(() => stage.delivery.park())
      return { status: 'ready' }
    }
    await stage.play(() => stage.sink.closes === 2)
    assert.equal(beats.length, 1)
  })

  test(`a thousand parked runs open for beats at most ten times a second, all in turn, seed ${SEED}`, () => {
    const random = new Random()
    for (const [perSecond, mostPerSecond] of [
      [undefined, 10],
      [80, 10],
      [8, 1],
    ] as const) {
      const queue = new ParkedBeats(new Turnstile(perSecond))
      const runs = Array.from({ length: 1_000 }, () => {
        const heartbeat = new Heartbeat(BEAT_MS, queue)
        heartbeat.opened(random.below(1_000))
        return { heartbeat, at: 0, opened: [] as number[] }
      })
      const untilMs = (3 * 1_000 * 1_000) / mostPerSecond
      const all: number[] = []
      for (let now = 0; now < untilMs; now += 10) {
        for (const run of runs) {
          if (run.at > now) continue
          run.at = run.heartbeat.openAt(now)
          if (run.at > now) continue
          run.heartbeat.opened(now)
          assert.ok(run.heartbeat.isOwed)
          run.heartbeat.called(now)
          run.opened.push(now)
          all.push(now)
        }
      }
      for (let last = mostPerSecond; last < all.length; last++)
        assert.ok(all[last]! - all[last - mostPerSecond]! >= 990)
      const counts = runs.map(({ opened }) => opened.length)
      assert.ok(
        Math.max(...counts) - Math.min(...counts) <= 1,
        `${Math.min(...counts)}…${Math.max(...counts)}`,
      )
      assert.ok(Math.min(...counts) >= 2)
    }
  })
})
