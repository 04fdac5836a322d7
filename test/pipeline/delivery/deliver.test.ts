import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DESTINATION, DESTINATION_STATES } from '../../../src/core/counters.ts'
import { TraceletError } from '../../../src/core/errors.ts'
import type { Batch, RunRecord, WriteResult } from '../../../src/core/types.ts'
import { emptySums } from '../../../src/pipeline/delivery/item.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage } from './stage.ts'

const LR: RunRecord = { kind: 'params', params: { lr: 0.1, depth: 3 } }
const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: 1_700_000_000_000 }

/** journaled = delivered + filtered + rejected + corrupt, when nothing is pending. */
function assertConserved(stage: Stage, points: number, records: number): void {
  const { settled, seq } = stage.cursor
  assert.equal(settled.delivered + settled.filtered + settled.rejected + settled.corrupt, points)
  assert.equal(
    settled.recordsDelivered + settled.recordsFiltered + settled.recordsRejected + settled.recordsCorrupt,
    records,
  )
  assert.equal(seq, points + records)
  for (const [name, sum] of Object.entries(settled)) {
    assert.equal(stage.block[DESTINATION[name as keyof typeof settled]], sum, name)
  }
}

/** Splits until the points that `isBad` are alone. */
const splitOn =
  (isBad: (value: number) => boolean) =>
  (batch: Batch | RunRecord): WriteResult | undefined =>
    'length' in batch && batch.value.some(isBad)
      ? { status: 'split', code: 'ERR_REFUSED', reason: 'some item is bad' }
      : undefined

describe('delivery', () => {
  test('D1 sends every point and record once, in order, and closes complete', async () => {
    const journal = new MemoryJournal().record(LR).scalars('loss', 950, 37).record(FINISHED)
    const stage = new Stage(journal)
    await stage.finish()
    assert.deepEqual(
      stage.sink.points.map(({ step }) => step),
      Array.from({ length: 950 }, (_, step) => step),
    )
    assert.deepEqual(stage.sink.sizes, [...Array(9).fill(100), 50])
    assert.deepEqual(stage.sink.records, [LR, FINISHED])
    assert.deepEqual(stage.closed, {
      type: 'closed',
      run: 'run-1',
      destination: 'scripted',
      complete: true,
      reason: '',
    })
    assertConserved(stage, 950, 2)
    assert.equal(stage.guardsHeld, 0)
    assert.equal(DESTINATION_STATES[stage.block[DESTINATION.state]!], 'closed')
  })

  test('partial rejects by index: the neighbours are delivered, the rejected stand in dead letters', async () => {
    const stage = new Stage(new MemoryJournal().record(LR).scalars('loss', 10, 3))
    stage.sink.rule = (batch) =>
      'length' in batch
        ? { status: 'partial', rejected: [{ index: 4, code: 'ERR_REFUSED', reason: 'no fours' }] }
        : undefined
    await stage.finish()
    assert.deepEqual(
      stage.letters.map(({ seq, code, reason }) => ({ seq, code, reason })),
      [{ seq: 5, code: 'ERR_REFUSED', reason: 'no fours' }],
    )
    assert.equal(stage.sink.points.length, 9)
    assertConserved(stage, 10, 1)
    assert.equal(stage.cursor.settled.rejected, 1)
  })

  test('split halves down to the poison and delivers everything else', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 200, 200))
    const poison = new Set([3, 4, 77].map((step) => step / 2))
    stage.sink.rule = splitOn((value) => poison.has(value))
    await stage.finish()
    assert.deepEqual(
      stage.letters.map((letter) => letter.kind === 'point' && letter.step),
      [3, 4, 77],
    )
    assert.equal(stage.sink.points.length, 197)
    // in order, though halved
    assert.deepEqual(
      stage.sink.points.map(({ step }) => step),
      stage.sink.points.map(({ step }) => step).sort((a, b) => a - b),
    )
    assertConserved(stage, 200, 0)
  })

  test('a record that splits is rejected with the names of its parts', async () => {
    const stage = new Stage(new MemoryJournal().record(LR).record(LR))
    stage.sink.script = [
      () => ({ status: 'split', code: 'ERR_REFUSED', reason: 'no' }),
      () => ({
        status: 'partial',
        rejected: [{ index: 1, code: 'ERR_PARAM_CONFLICT', reason: 'is 4 there' }],
      }),
    ]
    await stage.finish()
    assert.equal(stage.letters.length, 2)
    const [whole, part] = stage.letters
    assert.deepEqual('items' in whole! && whole.items, [])
    assert.deepEqual('items' in part! && part.items, ['depth'])
    assert.match(part!.reason, /depth: is 4 there/)
    assertConserved(stage, 0, 2)
    assert.equal(stage.cursor.settled.recordsRejected, 2)
  })

  test('retry comes again after a back-off that doubles, and asks for nothing else before', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 250, 250))
    const times: number[] = []
    stage.sink.rule = () => {
      times.push(stage.now)
      return times.length <= 5 ? { status: 'retry', reason: 'HTTP 500' } : undefined
    }
    stage.publish()
    stage.delivery.finish(stage.now + 3_600_000, stage.now)
    await stage.play()
    const waits = times.slice(1, 6).map((time, index) => time - times[index]!)
    // random() is 0.5; towards the deadline the ceiling is 1 s
    assert.deepEqual(waits, [250, 500, 500, 500, 500])
    assert.equal(stage.sink.points.length, 250)
    assertConserved(stage, 250, 0)
  })

  test('retry while the run goes on backs off up to 30 s', async () => {
    const journal = new MemoryJournal().scalars('loss', 5, 5)
    const stage = new Stage(journal, { live: true })
    const times: number[] = []
    stage.sink.rule = () => {
      times.push(stage.now)
      return times.length <= 9 ? { status: 'retry', reason: 'HTTP 500' } : undefined
    }
    await stage.play(() => stage.sink.points.length === 5)
    const waits = times.slice(1).map((time, index) => time - times[index]!)
    assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
  })

  test('afterMs is waited for exactly, and pauses the account', async () => {
    const journal = new MemoryJournal().scalars('loss', 5, 5)
    const stage = new Stage(journal, { live: true })
    const times: number[] = []
    stage.sink.rule = () => {
      times.push(stage.now)
      return times.length === 1 ? { status: 'retry', reason: 'HTTP 429', afterMs: 7_000 } : undefined
    }
    await stage.play(() => stage.sink.points.length === 5)
    assert.deepEqual(times, [1_000, 8_000])
  })

  test('D3 what may have been stored is asked for before it is sent again', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 200, 200))
    stage.sink.isStored = ({ seq }) => seq === 0
    stage.sink.script = [
      () => ({ status: 'retry', reason: 'no answer' }),
      () => ({ status: 'retry', reason: 'refused', unsent: true }),
    ]
    await stage.finish()
    // the first batch was found there, the second was certainly not sent
    assert.equal(stage.sink.storedAsked, 1)
    assert.deepEqual(stage.sink.sizes, [100])
    assertConserved(stage, 200, 0)
  })

  test('D4 blocked dead-letters nothing, tells once, and is probed every 30 s', async () => {
    const journal = new MemoryJournal().scalars('loss', 5, 5)
    const stage = new Stage(journal, { live: true })
    const times: number[] = []
    stage.sink.rule = () => {
      times.push(stage.now)
      return times.length <= 3
        ? { status: 'blocked', scope: 'run', code: 'ERR_REMOTE_RUN_GONE', reason: 'deleted' }
        : undefined
    }
    await stage.play(() => stage.sink.points.length === 5)
    assert.deepEqual(times, [1_000, 31_000, 61_000, 91_000])
    assert.equal(stage.letters.length, 0)
    assert.deepEqual(
      stage.issues.map(({ severity, code }) => [severity, code]),
      [
        ['blocked', 'ERR_REMOTE_RUN_GONE'],
        ['recovered', 'ERR_REMOTE_RUN_GONE'],
      ],
    )
  })

  test('a blocked destination closes at once when the run is finished; its cursor stands', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 150, 150))
    let writes = 0
    stage.sink.rule = () =>
      ++writes > 1
        ? { status: 'blocked', scope: 'account', code: 'ERR_AUTH', reason: 'key revoked' }
        : undefined
    await stage.finish()
    assert.equal(stage.now, 1_000)
    assert.equal(stage.closed?.complete, false)
    assert.match(stage.closed!.reason, /key revoked/)
    assert.equal(stage.cursor.seq, 100)
    assert.equal(stage.cursor.settled.delivered, 100)
  })

  test('a throw is a bug, treated as split: only the item that provokes it is lost', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 20, 20))
    stage.sink.rule = (batch) => {
      if ('length' in batch && batch.value.includes(6.5)) throw new Error('cannot encode 6.5')
      return undefined
    }
    await stage.finish()
    assert.deepEqual(
      stage.letters.map(({ seq, code }) => [seq, code]),
      [[13, 'ERR_SINK_BUG']],
    )
    assert.equal(stage.sink.points.length, 19)
    assert.equal(stage.issues.length, 1)
    assert.equal(stage.issues[0]?.code, 'ERR_SINK_BUG')
  })

  test('an answer that breaks the contract is a bug, too', async () => {
    for (const broken of [
      undefined,
      { status: 'fine' },
      { status: 'partial', rejected: [{ index: 1, code: 'x', reason: 'y' }] },
      { status: 'partial', rejected: [{ index: 0.5, code: 'x', reason: 'y' }] },
      { status: 'partial', rejected: [0, 0].map((index) => ({ index, code: 'x', reason: 'y' })) },
    ]) {
      const stage = new Stage(new MemoryJournal().scalars('loss', 1))
      stage.sink.write = async () => broken as WriteResult
      await stage.finish()
      assert.deepEqual(
        stage.letters.map(({ code }) => code),
        ['ERR_SINK_BUG'],
      )
    }
  })

  test('D4 a sink that throws on everything does not eat the run', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 1_000, 1_000))
    stage.sink.rule = () => {
      throw new Error('broken')
    }
    await stage.finish()
    assert.ok(stage.letters.length <= 8, `${stage.letters.length} letters`)
    assert.equal(stage.closed?.complete, false)
    assert.match(stage.closed!.reason, /broken/)
  })

  test('D2 with inFlight 1 writes never overlap; with 3 they do, and the cursor follows the settled prefix', async () => {
    for (const inFlight of [1, 3]) {
      const stage = new Stage(new MemoryJournal().scalars('loss', 1_000, 1_000), { limits: { inFlight } })
      let release: () => void = () => {}
      const held = new Promise<void>((resolve) => (release = resolve))
      let seen = 0
      stage.sink.rule = async (batch) => {
        seen++
        if ((batch as Batch).seq === 200) await held
        return undefined
      }
      stage.delivery.finish(1e9, stage.now)
      await stage.play(() => seen >= 3)
      if (inFlight === 3) {
        // later batches settle, the cursor stays before the one that is held
        await stage.play(() => stage.sink.points.length === 900)
        stage.now += 1_000
        await stage.play(() => stage.saved.at(-1)?.seq === 200)
        assert.equal(stage.cursor.settled.delivered, 200)
      }
      release()
      await stage.play()
      assert.equal(stage.sink.mostUnderWay, inFlight)
      assertConserved(stage, 1_000, 0)
    }
  })

  test('a record cuts a batch where order matters, and passes beside it where not', async () => {
    const journal = () =>
      new MemoryJournal().scalars('loss', 50, 50).record(LR).scalars('loss', 50, 50, 50).record(FINISHED)
    const ordered = new Stage(journal())
    await ordered.finish()
    assert.deepEqual(ordered.sink.sizes, [50, 50])
    const free = new Stage(journal(), { limits: { inFlight: 2 } })
    await free.finish()
    assert.deepEqual(free.sink.sizes, [100])
    for (const stage of [ordered, free]) {
      assert.deepEqual(stage.sink.records, [LR, FINISHED])
      assertConserved(stage, 100, 2)
    }
  })

  test('the cursor stays before a batch that encloses an unsettled record', async () => {
    const journal = new MemoryJournal().scalars('loss', 50, 50).record(LR).scalars('loss', 150, 150, 50)
    const stage = new Stage(journal, { limits: { inFlight: 2 } })
    stage.sink.rule = (item) => ('kind' in item ? { status: 'retry', reason: 'later' } : undefined)
    stage.delivery.finish(3_000, stage.now)
    await stage.play()
    assert.equal(stage.closed?.complete, false)
    assert.ok(stage.sink.points.length >= 100)
    assert.equal(stage.saved.at(-1)?.seq ?? 0, 0)
  })

  test('a state waits for everything before it', async () => {
    const journal = new MemoryJournal().scalars('loss', 300, 300).record(FINISHED)
    const stage = new Stage(journal, { limits: { inFlight: 4 } })
    const order: string[] = []
    stage.sink.rule = (item) => {
      order.push('kind' in item ? item.kind : 'points')
      return order.length === 2 ? { status: 'retry', reason: 'once' } : undefined
    }
    await stage.finish()
    assert.equal(order.at(-1), 'state')
    assert.equal(order.length, 5)
    assertConserved(stage, 300, 1)
  })

  test('kinds of records that the sink does not declare are filtered, damage is corrupt', async () => {
    const journal = new MemoryJournal()
      .record(LR)
      .scalars('loss', 10, 10)
      .corrupt(7, 2)
      .scalars('loss', 3, 3, 50)
    const stage = new Stage(journal, { capabilities: { records: ['state'] } })
    await stage.finish()
    assertConserved(stage, 20, 3)
    assert.equal(stage.cursor.settled.recordsFiltered, 1)
    assert.equal(stage.cursor.settled.corrupt, 7)
    assert.equal(stage.cursor.settled.recordsCorrupt, 2)
    assert.deepEqual(stage.sink.records, [])
  })

  test('rows: each once, whole; points that lost to a later one of their series are delivered and superseded', async () => {
    const journal = new MemoryJournal()
      .frame([
        [0, 0, 'loss', 1],
        [0, 0, 'acc', 0.5],
        [1, 1, 'loss', 2],
      ])
      .frame(
        [
          [0, 0, 'loss', 1.5],
          [1, 1, 'acc', 0.6],
        ],
        [0],
      )
      .frame([[2, 2, 'loss', 3]])
    const stage = new Stage(journal, { capabilities: { shape: 'rows' } })
    await stage.finish()
    assert.deepEqual(
      stage.sink.rows.map((row) => row.map(({ name, step, value }) => [name, step, value])),
      [
        [
          ['loss', 0, 1.5],
          ['acc', 0, 0.5],
        ],
        [
          ['loss', 1, 2],
          ['acc', 1, 0.6],
        ],
        [['loss', 2, 3]],
      ],
    )
    assertConserved(stage, 6, 0)
    assert.equal(stage.cursor.settled.superseded, 1)
  })

  test('a rejected row puts its points into dead letters, those that lost are delivered all the same', async () => {
    const journal = new MemoryJournal()
    for (let step = 0; step < 9; step++) {
      const points = [0, 1, 2].map((at) => [step, step, at === 2 ? 'acc' : 'loss', step + at / 10] as const)
      journal.frame(points, [step])
    }
    for (const answer of ['partial', 'split'] as const) {
      const stage = new Stage(journal, { capabilities: { shape: 'rows' } })
      stage.sink.rule = (batch) => {
        const at = (batch as Batch).step.indexOf(4)
        if (at < 0) return undefined
        if (answer === 'split') return { status: 'split', code: 'ERR_REFUSED', reason: 'no' }
        const index = (batch as Batch).rows!.indexOf(at)
        return { status: 'partial', rejected: [{ index, code: 'ERR_REFUSED', reason: 'no' }] }
      }
      await stage.finish()
      assert.deepEqual(
        stage.letters.map((letter) => [letter.seq, letter.kind === 'point' && letter.name]),
        [
          [13, 'loss'],
          [14, 'acc'],
        ],
      )
      assert.equal(stage.sink.rows.length, 8)
      assertConserved(stage, 27, 0)
      assert.equal(stage.cursor.settled.rejected, 2)
      assert.equal(stage.cursor.settled.superseded, 9)
    }
  })

  test('limits: no batch exceeds maxItems or maxBytes, and a point that alone does is rejected', async () => {
    const long = 'x'.repeat(500)
    const journal = new MemoryJournal()
    for (let step = 0; step < 60; step++)
      journal.frame([
        [step, step, step % 2 ? 'ab' : 'abcd', step],
        ...(step === 30 ? [[step, step, long, 1] as const] : []),
      ])
    const stage = new Stage(journal, { limits: { maxBytes: 100, pointBytes: (nameBytes) => nameBytes * 5 } })
    await stage.finish()
    // 20 and 10 bytes in turn
    assert.ok(
      stage.sink.sizes.every((size) => size <= 7),
      String(stage.sink.sizes),
    )
    assert.deepEqual(
      stage.letters.map(({ seq, code }) => [seq, code]),
      [[31, 'ERR_REFUSED']],
    )
    assertConserved(stage, 61, 0)
  })

  test('lingers to fill a batch while the journal has no more, and not when the run is finished', async () => {
    const journal = new MemoryJournal()
    const stage = new Stage(journal, { live: true, limits: { lingerMs: 1_000 } })
    await stage.play(() => stage.sink.opens === 1)
    journal.scalars('loss', 10, 10)
    stage.publish()
    await stage.play(() => stage.sink.points.length === 10)
    assert.equal(stage.now, 2_000)
    journal.scalars('loss', 5, 5, 10)
    await stage.finish()
    assert.equal(stage.now, 2_000)
    assert.equal(stage.sink.points.length, 15)
  })

  test('D5 closed comes by the deadline though the sink hears no signal, and the guard stays until it ends', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 10, 10))
    let release: () => void = () => {}
    stage.sink.rule = () => new Promise((resolve) => (release = () => resolve({ status: 'accepted' })))
    const realStart = performance.now()
    await stage.finish(400)
    assert.ok(stage.now <= 1_400)
    assert.ok(performance.now() - realStart < 10_000)
    assert.equal(stage.closed?.complete, false)
    assert.match(stage.closed!.reason, /deadline/)
    assert.equal(stage.guardsHeld, 1)
    assert.equal(stage.saved.at(-1)?.seq ?? 0, 0)
    release()
    for (let rounds = 0; rounds < 10; rounds++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(stage.guardsHeld, 0)
    assert.equal(stage.saved.at(-1)?.seq ?? 0, 0)
  })

  test('calls that only the deadline ended are no trouble of the backend: it may be slow', async () => {
    const journal = new MemoryJournal().scalars('loss', 500, 500)
    const stage = new Stage(journal, { limits: { inFlight: 4 } })
    stage.sink.rule = (_, signal) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () =>
          resolve({ status: 'retry', code: 'ERR_UNREACHABLE', reason: `given up: ${signal.reason.message}` }),
        ),
      )
    await stage.finish(1_000)
    assert.deepEqual(stage.issues, [])
    assert.deepEqual([stage.closed?.complete, stage.closed?.reason], [false, 'the deadline passed'])
    assert.equal(stage.sink.mostUnderWay, 4)
  })

  test('what is answered on the abort at the deadline still counts', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 10, 10))
    stage.sink.rule = (_, signal) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve({ status: 'accepted' })))
    await stage.finish(400)
    assert.equal(stage.cursor.seq, 10)
    assert.equal(stage.guardsHeld, 0)
  })

  test('open is tried again after retry, asks the state last committed, and tells the url', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 10, 10), {
      cursor: {
        seq: 4,
        back: 4,
        settled: { ...emptySums(), delivered: 4 },
        state: { remote: 'abc' },
      },
    })
    const states: unknown[] = []
    stage.sink.onOpen = (state) => {
      states.push(state)
      return states.length < 3
        ? { status: 'retry', reason: 'refused' }
        : { status: 'ready', url: 'http://x/run', state: { remote: 'abc', generation: 2 } }
    }
    await stage.finish()
    assert.deepEqual(states, [{ remote: 'abc' }, { remote: 'abc' }, { remote: 'abc' }])
    assert.deepEqual(
      stage.sink.points.map(({ step }) => step),
      [4, 5, 6, 7, 8, 9],
    )
    assert.deepEqual(stage.cursor.state, { remote: 'abc', generation: 2 })
    assert.ok(stage.told.some((message) => message.type === 'url' && message.url === 'http://x/run'))
    assertConserved(stage, 10, 0)
  })

  test('state of the answers is committed with the prefix only', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 300, 300), { limits: { inFlight: 3 } })
    stage.sink.rule = (batch) => {
      const { seq } = batch as Batch
      return seq === 100
        ? { status: 'blocked', scope: 'run', code: 'ERR_QUOTA', reason: 'full' }
        : { status: 'accepted', state: { last: seq } }
    }
    await stage.finish()
    assert.equal(stage.cursor.seq, 100)
    assert.deepEqual(stage.cursor.state, { last: 0 })
  })

  test('a failing backend is told of once when it starts, at most once a minute, and once when it recovers', async () => {
    const journal = new MemoryJournal().scalars('loss', 5, 5)
    const stage = new Stage(journal, { live: true })
    stage.sink.rule = () => (stage.now < 200_000 ? { status: 'retry', reason: 'HTTP 502' } : undefined)
    await stage.play(() => stage.sink.points.length === 5)
    const severities = stage.issues.map(({ severity }) => severity)
    assert.equal(severities.at(-1), 'recovered')
    assert.equal(severities.filter((severity) => severity === 'recovered').length, 1)
    const failing = severities.filter((severity) => severity === 'failing').length
    assert.ok(failing >= 3 && failing <= 4, `${failing} times in 200 s`)
  })

  test('one failure alone is not worth telling, one that is followed by a long wait is', async () => {
    for (const [afterMs, told] of [
      [undefined, []],
      [60_000, ['failing', 'recovered']],
    ] as const) {
      const stage = new Stage(new MemoryJournal().scalars('loss', 5, 5), { live: true })
      stage.sink.script = [() => ({ status: 'retry', reason: 'reset', ...(afterMs && { afterMs }) })]
      await stage.play(() => stage.sink.points.length === 5)
      assert.deepEqual(
        stage.issues.map(({ severity }) => severity),
        told,
      )
    }
  })

  test('a sink that cannot be made blocks its run: told, probed, and closed at once at the end', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 5, 5), { live: true })
    stage.createError = new TraceletError('ERR_OPTION', 'no such certificate file')
    await stage.play(() => stage.now > 31_000)
    assert.deepEqual(
      stage.issues.map(({ severity, code }) => [severity, code]),
      [['blocked', 'ERR_OPTION']],
    )
    assert.equal(stage.slots, 0)
    await stage.finish()
    assert.match(stage.closed!.reason, /certificate/)
    assert.ok(stage.now < 70_000)
    assert.equal(stage.guardsHeld, 0)
  })

  test('a journal that cannot be read blocks where it will not mend itself, else it is read again', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 250, 100), { live: true })
    await stage.play(() => stage.sink.points.length === 100)
    stage.readError = new Error('EIO')
    await stage.play(() => stage.issues.length > 0)
    stage.readError = undefined
    await stage.play(() => stage.sink.points.length === 250)
    stage.readError = new TraceletError('ERR_JOURNAL_FORMAT', 'of a newer version')
    await stage.finish()
    assert.equal(stage.closed?.complete, false)
    assert.match(stage.closed!.reason, /newer version/)
    assert.equal(stage.cursor.seq, 250)
    assert.equal(stage.letters.length, 0)
  })

  test('D1 when dead letters cannot be written the cursor does not move over their items', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 3, 3), { live: true })
    stage.sink.rule = splitOn((value) => value === 0.5)
    stage.diskError = new TraceletError('ERR_JOURNAL_WRITE', 'no space')
    await stage.play(() => stage.now > 20_000)
    assert.equal(stage.saved.length, 0)
    stage.diskError = undefined
    await stage.finish()
    assert.equal(stage.letters.length, 1)
    assert.equal(stage.cursor.settled.rejected, 1)
    assertConserved(stage, 3, 0)
  })

  test('D6 without the guard nothing is opened; it is asked for again', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 3, 3), { live: true })
    stage.guardError = new TraceletError('ERR_RUN_BUSY', 'process 7 delivers it')
    await stage.play(() => stage.now > 20_000)
    assert.equal(stage.sink.opens, 0)
    assert.deepEqual(
      stage.issues.map(({ code }) => code),
      ['ERR_RUN_BUSY'],
    )
    stage.guardError = undefined
    await stage.play(() => stage.sink.points.length === 3)
    // another process takes over
    stage.guardIsOurs = false
    stage.guardError = new TraceletError('ERR_RUN_BUSY', 'process 8 delivers it')
    const { length } = stage.saved
    stage.delivery.touch()
    await stage.play()
    assert.equal(stage.closed?.complete, false)
    assert.ok(stage.saved.length <= length + 1)
  })

  test('D6 a guard that was deleted is taken again; one whose cursor has moved meanwhile is not', async () => {
    for (const movedTo of [undefined, 3]) {
      const stage = new Stage(new MemoryJournal().scalars('loss', 5, 5), { live: true })
      await stage.play(() => stage.saved.at(-1)?.seq === 5)
      stage.guardIsOurs = false
      if (movedTo !== undefined) stage.saved.push({ ...stage.cursor, seq: movedTo })
      stage.delivery.touch()
      if (movedTo !== undefined) await stage.play()
      else {
        stage.guardIsOurs = true
        await stage.finish()
      }
      assert.equal(stage.closed?.complete, movedTo === undefined)
    }
  })

  test('parking waits for what is under way', async () => {
    const journal = new MemoryJournal().scalars('loss', 250, 250)
    const stage = new Stage(journal, { live: true })
    let release: () => void = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    stage.sink.rule = async () => {
      await held
      return undefined
    }
    await stage.play(() => stage.sink.writes === 1)
    stage.delivery.park()
    stage.delivery.turn(stage.now)
    stage.delivery.turn(stage.now)
    assert.equal(stage.sink.closes, 0)
    release()
    await stage.play(() => stage.sink.points.length === 250)
    assert.deepEqual(stage.sink.sizes, [100, 100, 50])
    assert.deepEqual([stage.sink.opens, stage.sink.closes], [2, 1])
  })

  test('a run that is parked is not opened again for a row that is open, but when it is complete', async () => {
    const journal = new MemoryJournal()
    const stage = new Stage(journal, { live: true, capabilities: { shape: 'rows' } })
    journal.frame([[0, 0, 'loss', 1]])
    stage.publish()
    await stage.play(() => stage.delivery.isIdle)
    stage.delivery.park()
    await stage.play(() => stage.sink.closes === 1)
    for (let turns = 0; turns < 20; turns++) {
      stage.now += 1_000
      stage.delivery.turn(stage.now)
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(stage.sink.opens, 1)
    journal.frame([[1, 1, 'loss', 2]], [0])
    stage.publish()
    await stage.play(() => stage.sink.rows.length === 1)
    assert.equal(stage.sink.opens, 2)
    stage.delivery.park()
    await stage.play(() => stage.sink.closes === 2)
    await stage.finish()
    assert.equal(stage.sink.rows.length, 2)
    assert.equal(stage.closed?.complete, true)
  })

  test('parking settles, closes the sink and opens again where it stopped', async () => {
    const journal = new MemoryJournal().scalars('loss', 250, 250)
    const stage = new Stage(journal, { live: true })
    await stage.play(() => stage.sink.points.length >= 100)
    stage.delivery.park()
    await stage.play(() => stage.sink.closes === 1)
    assert.equal(stage.cursor.seq, 100)
    await stage.play(() => stage.sink.points.length === 250)
    assert.equal(stage.sink.opens, 2)
    await stage.finish()
    assertConserved(stage, 250, 0)
  })
})
