import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Batch, RunInfo, RunRecord, Sink } from '../../../src/core/types.ts'
import type { SinkDefinition } from '../../../src/sinks/contract.ts'
import { Random, SEED } from '../../random.ts'
import offset from '../../sinks/fakes/offset-sink.ts'
import { randomJournal } from './batching.ts'
import { MemoryJournal } from './memory-journal.ts'
import { Stage, type StageOptions } from './stage.ts'

const LR: RunRecord = { kind: 'params', params: { lr: 0.1 } }

/** A sink that prepares, each of whose writes waits until the gate is opened. */
class Gated {
  readonly stage: Stage
  readonly prepared: Batch[] = []
  readonly written: (Batch | RunRecord)[] = []
  #open: (() => void)[] = []
  isOpen = false

  constructor(journal: MemoryJournal, options: StageOptions = {}) {
    this.stage = new Stage(journal, options)
    this.stage.waitsForSink = true
    this.stage.sink.onPrepare = (batch) => this.prepared.push(batch)
    this.stage.sink.rule = async (item) => {
      this.written.push(item)
      if (!this.isOpen) await new Promise<void>((resolve) => this.#open.push(resolve))
      return undefined
    }
  }

  /** Answers the write that has waited longest. */
  next(): void {
    this.#open.shift()!()
  }

  openForGood(): void {
    this.isOpen = true
    for (const open of this.#open.splice(0)) open()
  }

  /** Until all that can happen without an answer, and without the clock, has happened. */
  async rest(): Promise<void> {
    for (let round = 0; round < 10; round++) {
      let isAtRest = false
      this.stage.onRest = () => {
        isAtRest = true
        return true
      }
      await this.stage.play(() => isAtRest)
      await new Promise(setImmediate)
    }
    this.stage.onRest = undefined
  }
}

const stepsOf = ({ step }: Batch): number[] => [...step]

describe('the next batch', () => {
  for (const shape of ['rows', 'points'] as const) {
    test(`${shape}: it is prepared while the one before is under way, once, and is the one that is written`, async () => {
      const journal = new MemoryJournal().scalars('loss', 35, 7).session()
      const gated = new Gated(journal, { capabilities: { shape }, limits: { maxItems: 10 } })
      const { stage, prepared, written } = gated
      stage.end(1e9)
      for (let batch = 0; batch < 3; batch++) {
        await gated.rest()
        assert.deepEqual([prepared.length, written.length], [batch + 1, batch + 1])
        gated.next()
      }
      gated.openForGood()
      await stage.play()
      assert.equal(written.length, 4)
      assert.ok(prepared.every((batch, at) => batch === written[at + 1]))
      assert.deepEqual(
        stage.sink.points.map(({ step }) => step),
        Array.from({ length: 35 }, (_, step) => step),
      )
      assert.equal(stage.closed?.complete, true)
    })
  }

  test('what is under way has had its turn of the event loop before the thread is held up', async () => {
    const order: string[] = []
    const sink: Sink = {
      open: async () => ({ status: 'ready' }),
      async write() {
        order.push('begin')
        setImmediate(() => order.push('sent'))
        for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
        return { status: 'accepted' }
      },
      prepare: () => void order.push('prepare'),
      writeRecord: async () => ({ status: 'accepted' }),
      close: async () => {},
    }
    const definition = { ...offset, create: () => sink } as unknown as SinkDefinition
    const { maxItems } = definition.limits
    const journal = new MemoryJournal()
    for (let row = 0; row < 5 * maxItems; row++) journal.frame([[row, row, 'loss', row]], [row])
    const real = {
      definition,
      options: { padding: 0, lingerMs: 0 },
      run: { id: 'run-1', folder: '/nowhere' } as RunInfo,
    }
    const stage = new Stage(journal, { real })
    await stage.finish(1e9)
    const each = ['begin', 'sent', 'prepare']
    assert.deepEqual(order, [...each, ...each, ...each, ...each, 'begin', 'sent'])
  })

  test('where several may be under way, the one after them is prepared', async () => {
    const journal = new MemoryJournal().scalars('loss', 60)
    const gated = new Gated(journal, { limits: { maxItems: 10, inFlight: 3 } })
    gated.stage.end(1e9)
    await gated.rest()
    assert.equal(gated.written.length, 3)
    assert.deepEqual(
      gated.prepared.map(({ seq }) => seq),
      [30],
    )
    gated.openForGood()
    await gated.stage.play()
    assert.equal(gated.stage.sink.points.length, 60)
  })

  for (const lingerMs of [0, 500]) {
    test(`it is not cut early to be prepared, with ${lingerMs} ms to linger`, async () => {
      const journal = new MemoryJournal().scalars('loss', 10)
      const gated = new Gated(journal, { live: true, limits: { maxItems: 10, lingerMs } })
      const { stage, prepared, written } = gated
      await stage.play(() => written.length === 1)
      for (const step of [10, 14]) {
        journal.scalars('loss', 4, 4, step)
        stage.publish()
        await gated.rest()
        stage.now += 1_000
        await gated.rest()
      }
      assert.deepEqual(prepared, [])
      gated.next()
      await stage.play(() => written.length === 2)
      assert.deepEqual(stepsOf(written[1] as Batch), [10, 11, 12, 13, 14, 15, 16, 17])
      // one that is full is, once, however the journal grows
      for (const step of [18, 28, 38]) {
        journal.scalars('loss', 10, 10, step)
        stage.publish()
        await gated.rest()
      }
      assert.deepEqual(
        prepared.map(({ seq }) => seq),
        [18],
      )
      gated.openForGood()
      await stage.finish()
      assert.equal(stage.sink.points.length, 48)
    })
  }

  test('no more of the journal is read ahead than it takes, and none for a sink that does not prepare', async () => {
    for (const doesPrepare of [true, false]) {
      const journal = new MemoryJournal().scalars('loss', 10_000, 10)
      let read = 0
      const { reader } = journal
      journal.reader = (from) => {
        const opened = reader.call(journal, from)
        const { next } = opened
        return Object.defineProperty(opened, 'next', {
          value: () => {
            const entry = next.call(opened)
            if (entry !== undefined) read = opened.seq
            return entry
          },
        })
      }
      const gated = new Gated(journal, { limits: { maxItems: 100 } })
      if (!doesPrepare) gated.stage.sink.onPrepare = undefined
      gated.stage.end(1e9)
      await gated.rest()
      assert.ok(read <= (doesPrepare ? 220 : 110), `${read} points were read`)
      gated.openForGood()
      await gated.stage.play()
      assert.equal(gated.stage.sink.points.length, 10_000)
    }
  })

  test('a journal of which nothing is for the destination is not read to its end meanwhile', async () => {
    const journal = new MemoryJournal().record(LR).scalars('loss', 10_000, 10)
    const gated = new Gated(journal, { options: { kinds: ['params'] } })
    let read = 0
    const { reader } = journal
    journal.reader = (from) => {
      const opened = reader.call(journal, from)
      const { next } = opened
      return Object.defineProperty(opened, 'next', {
        value: () => {
          read++
          return next.call(opened)
        },
      })
    }
    gated.stage.end(1e9)
    await gated.rest()
    assert.ok(read < 200, `${read} frames were read`)
    gated.openForGood()
    await gated.stage.play()
    assert.equal(gated.stage.cursor.settled.filtered, 10_000)
    assert.equal(gated.stage.closed?.complete, true)
  })

  test('whatever is refused, halved or tried again, the one that was prepared comes in its turn', async () => {
    const journal = new MemoryJournal().scalars('loss', 30)
    const stage = new Stage(journal, { limits: { maxItems: 10 } })
    const prepared: number[] = []
    const written: [seq: number, length: number][] = []
    stage.sink.onPrepare = ({ seq }) => void prepared.push(seq)
    stage.sink.rule = (item) => {
      const { seq, length } = item as Batch
      written.push([seq, length])
      return undefined
    }
    stage.sink.script = [
      () => ({ status: 'retry', reason: 'not now' }),
      () => ({ status: 'split', code: 'ERR_REFUSED', reason: 'something is bad' }),
    ]
    // while an answer is awaited there is time to prepare
    const { rule } = stage.sink
    stage.sink.rule = async (item, signal) => {
      for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
      return rule!(item, signal)
    }
    stage.waitsForSink = true
    await stage.finish(1e9)
    assert.deepEqual(written, [
      [0, 10],
      [0, 10],
      [0, 5],
      [5, 5],
      [10, 10],
      [20, 10],
    ])
    assert.deepEqual([...new Set(prepared)], [10, 5, 20])
    assert.equal(stage.sink.points.length, 30)
  })

  test('is not held in memory once it has been taken', async () => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const journal = new MemoryJournal().scalars('loss', 20)
    const stage = new Stage(journal, { live: true, limits: { maxItems: 10 } })
    let prepared: WeakRef<Batch> | undefined
    stage.sink.onPrepare = (batch) => {
      prepared = new WeakRef(batch)
    }
    stage.sink.rule = async () => {
      for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
      return undefined
    }
    stage.waitsForSink = true
    await stage.play(() => stage.sink.points.length === 20 && stage.cursor?.seq === 20)
    assert.ok(prepared !== undefined)
    for (let turns = 0; turns < 20 && prepared.deref() !== undefined; turns++) {
      await new Promise(setImmediate)
      gc()
    }
    assert.equal(prepared.deref(), undefined)
    assert.equal(stage.delivery.isClosed, false)
  })

  test('a sink that throws when it is to prepare is told of, and costs nothing', async () => {
    const stage = new Stage(new MemoryJournal().scalars('loss', 30), { limits: { maxItems: 10 } })
    stage.sink.onPrepare = () => {
      throw new Error('no room')
    }
    stage.sink.rule = async () => {
      for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
      return undefined
    }
    stage.waitsForSink = true
    await stage.finish(1e9)
    assert.equal(stage.sink.points.length, 30)
    assert.deepEqual(stage.letters, [])
    const told = stage.issues.filter(({ code }) => code === 'ERR_SINK_BUG')
    assert.ok(told.length === 1 && /no room/.test(told[0]!.message), JSON.stringify(told))
  })

  for (const shape of ['rows', 'points'] as const) {
    test(`${shape}: what is sent, in which order, and the cursor are the same without it (seed ${SEED})`, async () => {
      let prepared = 0
      for (let round = 0; round < 60; round++) {
        const journal = randomJournal(new Random(SEED + round))
        const limits = { maxItems: 1 + (round % 5), inFlight: 1 }
        const [plain, preparing] = await Promise.all(
          [false, true].map(async (doesPrepare) => {
            const stage = new Stage(journal, { capabilities: { shape }, limits })
            const sent: unknown[] = []
            if (doesPrepare) stage.sink.onPrepare = () => void prepared++
            const random = new Random(SEED - round)
            stage.waitsForSink = true
            stage.sink.rule = async (item) => {
              for (let turns = 0; turns < 6; turns++) await new Promise(setImmediate)
              sent.push('kind' in item ? item.kind : [item.seq, item.length, [...(item.rows ?? [])]])
              const dice = random.below(10)
              if (dice === 0) return { status: 'retry', reason: 'not now' }
              if (dice === 1) return { status: 'split', code: 'ERR_REFUSED', reason: 'something is bad' }
              return undefined
            }
            await stage.finish(1e9)
            assert.equal(stage.closed?.complete, true)
            return { sent, cursor: stage.cursor, letters: stage.letters.map(({ seq }) => seq) }
          }),
        )
        assert.deepEqual(preparing, plain, `seed ${SEED}, round ${round}`)
      }
      assert.ok(prepared > 0)
    })
  }
})
