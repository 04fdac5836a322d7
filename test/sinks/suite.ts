/**
 * The conformance suite: what every sink must do, whatever its backend. Decided by declared capabilities and by the
 * faults that a harness can plan, never by name.
 */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { WriteResult } from '../../src/core/types.ts'
import { MemoryJournal } from '../pipeline/delivery/memory-journal.ts'
import { Stage } from '../pipeline/delivery/stage.ts'
import { Random, SEED } from '../random.ts'
import { type Bench, type Point, START_TIME, steps } from './bench.ts'
import type { Fault } from './harness.ts'

export interface Check {
  readonly id: string
  readonly title: string
  /** Absent: every sink. */
  readonly fault?: Fault
  readonly needs?: (bench: Bench) => boolean
  readonly run: (bench: Bench) => Promise<void>
}

const PROMPT_MS = 1_000

/** The faults after which the same batch, written again, must be stored once. */
const passing = (fault: Fault, id: string, check: (answer: WriteResult) => void): Check => ({
  id,
  title: `${id} a write that meets '${fault}' says so, and again it is stored once`,
  fault,
  async run(bench) {
    const run = bench.run()
    const { sink } = await bench.opened(run)
    assertAccepted(await bench.write(sink, bench.batch(steps(0, 5))))
    await bench.harness.failNext(fault, run)
    const batch = bench.batch(steps(5, 5))
    const answer = await bench.write(sink, batch)
    check(answer)
    // A torn write may stand behind the end of a file, until something is written over it.
    const mayBeTorn = bench.harness.definition.capabilities.rewrite === 'append'
    if (fault !== 'lostAnswer' && !mayBeTorn)
      await bench.assertStored(run, steps(0, 5), 'not accepted, not there')
    if (fault === 'lostAnswer' && sink.stored) {
      assert.equal(await sink.stored(batch, new AbortController().signal), true)
    }
    assertAccepted(await bench.write(sink, batch))
    assertAccepted(await bench.write(sink, bench.batch(steps(10, 5))))
    await bench.assertStored(run, steps(0, 15))
  },
})

const isRetry = (answer: WriteResult) => assert.equal(answer.status, 'retry', JSON.stringify(answer))
const isRetryAfter2s = (answer: WriteResult) => {
  isRetry(answer)
  assert.equal(answer.status === 'retry' && answer.afterMs, 2_000)
}
const isBlocked = (scope: 'run' | 'account') => (answer: WriteResult) => {
  assert.equal(answer.status, 'blocked', JSON.stringify(answer))
  assert.equal(answer.status === 'blocked' && answer.scope, scope)
}

export const CHECKS: readonly Check[] = [
  {
    id: 'S1',
    title: 'S1 what is accepted is stored, once and in order',
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      for (const first of [0, 10, 20]) assertAccepted(await bench.write(sink, bench.batch(steps(first, 10))))
      await bench.assertStored(run, steps(0, 30))
    },
  },
  passing('cut', 'S2', isRetry),
  passing('serverError', 'S2', isRetry),
  passing('full', 'S2', ({ status }) => assert.ok(status === 'retry' || status === 'blocked', status)),
  passing('tooMany', 'S3', isRetryAfter2s),
  passing('unavailable', 'S3', isRetryAfter2s),
  {
    id: 'S4',
    title: 'S4 one poison point costs itself, not its neighbours',
    needs: ({ harness }) => harness.poison !== undefined,
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      const bad: Point = { ...bench.harness.poison!, step: 4 }
      const good = [0, 1, 2, 3, 5, 6].map((step): Point => ({ name: 'train/loss', step, value: step }))
      const batch = bench.batch([...good.slice(0, 4), bad, ...good.slice(4)])
      const answer = await bench.write(sink, batch)
      if (answer.status === 'split') {
        await bench.assertStored(run, [])
        for (const half of [good.slice(0, 4), [bad], good.slice(4)]) {
          const halved = await bench.write(sink, bench.batch(half))
          if (half[0] === bad) assert.ok(['split', 'partial'].includes(halved.status), halved.status)
          else assertAccepted(halved)
        }
      } else {
        assert.equal(answer.status, 'partial')
        const rejected = answer.status === 'partial' ? answer.rejected : []
        assert.deepEqual(
          rejected.map(({ index }) => index),
          [bench.indexOf(batch, 4)],
        )
        assert.ok(rejected[0]!.code !== '' && rejected[0]!.reason !== '')
      }
      await bench.assertStored(run, good)
    },
  },
  {
    id: 'S4',
    title: 'S4 through the pipeline the poison ends as a dead letter, and everything else arrives',
    needs: ({ harness }) => harness.poison !== undefined,
    async run(bench) {
      const { name, value } = bench.harness.poison!
      const journal = new MemoryJournal()
      for (let step = 0; step < 40; step++) {
        journal.frame([[step, step, step === 17 ? name : 'train/loss', step === 17 ? value : step]], [step])
      }
      const { stage, run } = play(bench, journal)
      await stage.finish()
      assert.deepEqual(
        stage.letters.map(({ seq }) => seq),
        [17],
      )
      assert.equal(stage.closed?.complete, true)
      const stored = await bench.stored(run)
      assert.deepEqual(
        stored.map(({ step }) => step).sort((a, b) => a - b),
        range(40).filter((step) => step !== 17),
      )
    },
  },
  {
    id: 'S5',
    title: 'S5 refused credentials block the account, and nothing is claimed',
    fault: 'unauthorized',
    run: (bench) => blocks(bench, 'unauthorized', 'account'),
  },
  {
    id: 'S5',
    title: 'S5 a deleted run blocks the run, and is not made anew',
    fault: 'gone',
    async run(bench) {
      await blocks(bench, 'gone', 'run')
    },
  },
  passing('lostAnswer', 'S6', isRetry),
  {
    id: 'S6',
    title: 'S6 stored but not committed: the same batch after a restart is there once',
    async run(bench) {
      const run = bench.run()
      const { sink, state } = await bench.opened(run)
      const first = await bench.write(sink, bench.batch(steps(0, 10)))
      assertAccepted(first)
      const committed = (first.status === 'accepted' ? first.state : undefined) ?? state
      // killed after this was stored, before its state was
      assertAccepted(await bench.write(sink, bench.batch(steps(10, 10))))
      const { sink: second } = await bench.opened(run, committed)
      // cut elsewhere than before
      assertAccepted(await bench.write(second, bench.batch(steps(10, 15))))
      await bench.assertStored(run, steps(0, 25))
    },
  },
  passing('falseSuccess', 'S7', ({ status }) => assert.notEqual(status, 'accepted')),
  {
    id: 'S8',
    title: 'S8 batches as large as the limits allow stay within what the backend takes',
    async run(bench) {
      const { limits, capabilities } = bench.harness.definition
      const long = Math.min(250, capabilities.maxNameLength)
      // Names that cost most when escaped, and plain ones: the byte limit and the item limit are both met.
      const names = ['é"\\\u0001'.repeat(long).slice(0, long), 'x']
      for (const name of names) {
        const count = Math.min(limits.maxItems * 2 + 1, 25_000)
        const { stage, run } = play(bench, new MemoryJournal().scalars(name, count, 5_000))
        await stage.finish(600_000)
        assert.equal(stage.closed?.reason, '')
        assert.equal((await bench.stored(run)).length, count)
        assert.equal(stage.letters.length, 0)
      }
      assert.equal(bench.harness.oversize(), 0)
    },
  },
  {
    id: 'S9',
    title: 'S9 odd values have the outcome that is declared',
    async run(bench) {
      const { values } = bench.harness.definition.capabilities
      const odd: [number, 'kept' | 'mapped' | 'rejected'][] = [
        [Number.NaN, values.nan],
        [Infinity, values.infinity],
        [-Infinity, values.infinity],
        [-0, values.negativeZero],
        [Number.MAX_VALUE, values.precision === 'double' ? 'kept' : 'mapped'],
        [5e-324, values.precision === 'double' ? 'kept' : 'mapped'],
        [1 / 3, 'kept'],
      ]
      const run = bench.run()
      const { sink } = await bench.opened(run)
      const points = odd.map(([value], step): Point => ({ name: 'odd', step, value }))
      const batch = bench.batch(points)
      const answer = await bench.write(sink, batch)
      const rejected = answer.status === 'partial' ? answer.rejected.map(({ index }) => index) : []
      assert.ok(answer.status === 'accepted' || answer.status === 'partial', JSON.stringify(answer))
      const stored = await bench.stored(run)
      for (const [step, [value, outcome]] of odd.entries()) {
        const there = stored.filter((point) => point.step === step)
        assert.equal(rejected.includes(bench.indexOf(batch, step)), outcome === 'rejected', `${value}`)
        assert.equal(there.length, outcome === 'rejected' ? 0 : 1, `${value} is ${outcome}`)
        if (outcome === 'kept')
          assert.ok(Object.is(there[0]!.value, bench.expected(points[step]!).value), `${value}`)
      }
    },
  },
  {
    id: 'S9',
    title: 'S9 odd steps and names are stored as they are, an empty batch is accepted',
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      assertAccepted(await bench.write(sink, bench.batch([])))
      const odd = [7, 3, 5, 2 ** 53 - 1, -(2 ** 53 - 1), -1, 0]
      // Each at a time of its own: some backends keep the order of times.
      const points = odd.map(
        (step, at): Point => ({ name: 'odd steps', step, value: at, time: START_TIME + at }),
      )
      const { maxNameLength } = bench.harness.definition.capabilities
      const names = [
        'größe/损失 🎯',
        '__proto__',
        'constructor',
        'a.b c-d_e/f',
        'n'.repeat(Math.min(250, maxNameLength)),
      ]
      const named = names.flatMap((name, at): Point[] => [
        { name, step: at + 10, value: at },
        { name, context: 'val', step: at + 10, value: -at - 1 },
      ])
      assertAccepted(await bench.write(sink, bench.batch(points)))
      assertAccepted(await bench.write(sink, bench.batch(named)))
      await bench.assertStored(run, [...points, ...named])
    },
  },
  {
    id: 'S9',
    title: 'S9 different series never share a name at the backend',
    async run({ harness }) {
      const { maxNameLength } = harness.definition.capabilities
      const long = 'n'.repeat(maxNameLength)
      const pieces = [
        'a',
        'b',
        ' ',
        '/',
        '.',
        '-',
        '_',
        '[',
        ']',
        '(',
        ')',
        '@',
        '%',
        '#',
        '\u0000',
        'é',
        'A',
        '日',
      ]
      const series = pieces.flatMap((one) =>
        pieces.flatMap((two) => [
          { name: `a${one}${two}b`, context: '' },
          { name: `a${one}`, context: `${two}b` },
          { name: 'a', context: `${one}${two}b` },
        ]),
      )
      series.push(
        { name: long, context: '' },
        { name: `${long}n`, context: '' },
        { name: `${long}o`, context: '' },
      )
      const distinct = new Map(series.map((one) => [JSON.stringify([one.name, one.context]), one]))
      const keys = new Set([...distinct.values()].map((one) => harness.keyOf({ id: 0, ...one })))
      assert.equal(keys.size, distinct.size)
    },
  },
  {
    id: 'S10',
    title: 'S10 an abort settles a write that hangs, and close leaves nothing behind',
    fault: 'hang',
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      await bench.harness.failNext('hang', run)
      const controller = new AbortController()
      const write = sink.write(bench.batch(steps(0, 5)), controller.signal)
      await delay(50)
      controller.abort(new Error('the deadline passed'))
      const answer = await promptly(write, 'write after abort')
      assert.notEqual(answer.status, 'accepted')
      await promptly(sink.close(), 'close')
    },
  },
  {
    id: 'S10',
    title: 'S10 a signal that is aborted already settles every call promptly',
    async run(bench) {
      const { sink } = await bench.opened(bench.run())
      await promptly(sink.write(bench.batch(steps(0, 5)), AbortSignal.abort()), 'write')
      await promptly(
        sink.writeRecord({ kind: 'params', params: { a: 1 } }, 9, AbortSignal.abort()),
        'writeRecord',
      )
      const other = bench.sink(bench.run())
      await promptly(other.open(undefined, AbortSignal.abort()), 'open')
      await promptly(other.close(), 'close of a sink that is not open')
    },
  },
  {
    id: 'S11',
    title: 'S11 records of the declared kinds can be seen at the backend; close twice is harmless',
    async run(bench) {
      const { records } = bench.harness.definition.capabilities
      for (const state of ['finished', 'failed', 'killed'] as const) {
        const run = bench.run()
        const { sink } = await bench.opened(run)
        const { signal } = new AbortController()
        if (records.includes('params')) {
          const params = { lr: 0.001, optimizer: 'adam', deep: true, none: null }
          assertAccepted(await sink.writeRecord({ kind: 'params', params }, 0, signal))
        }
        if (records.includes('tags')) {
          assertAccepted(
            await sink.writeRecord({ kind: 'tags', tags: { stage: 'größe', note: '' } }, 1, signal),
          )
        }
        assertAccepted(await bench.write(sink, bench.batch(steps(0, 3))))
        if (records.includes('state')) {
          assertAccepted(
            await sink.writeRecord({ kind: 'state', state, time: START_TIME + 1_000 }, 8, signal),
          )
        }
        await sink.close()
        await sink.close()
        const stored = await bench.harness.stored(run)
        if (records.includes('params')) {
          assert.equal(stored.params.lr, '0.001')
          assert.equal(stored.params.optimizer, 'adam')
          assert.ok('deep' in stored.params && 'none' in stored.params)
        }
        if (records.includes('tags')) assert.equal(stored.tags.stage, 'größe')
        if (records.includes('state')) assert.equal(stored.outcome, state)
        await bench.assertStored(run, steps(0, 3))
      }
    },
  },
  {
    id: 'S12',
    title: 'S12 a run that is opened again goes on in the same place',
    async run(bench) {
      const run = bench.run()
      let state: unknown
      for (const first of [0, 10, 20]) {
        const opened = await bench.opened(run, state as never)
        const answer = await bench.write(opened.sink, bench.batch(steps(first, 10)))
        assertAccepted(answer)
        state = (answer.status === 'accepted' ? answer.state : undefined) ?? opened.state
        state = state === undefined ? undefined : JSON.parse(JSON.stringify(state))
        await opened.sink.close()
      }
      await bench.assertStored(run, steps(0, 30))
    },
  },
  {
    id: 'S12',
    title: 'S12 a run whose creation was forgotten is found again, not made twice',
    async run(bench) {
      const run = bench.run()
      await bench.opened(run)
      const { sink } = await bench.opened(run)
      assertAccepted(await bench.write(sink, bench.batch(steps(0, 10))))
      await bench.assertStored(run, steps(0, 10))
    },
  },
  {
    id: 'S12',
    title: 'S12 two runs do not mix',
    async run(bench) {
      const [a, b] = [bench.run(), bench.run()]
      const [first, second] = [await bench.opened(a), await bench.opened(b)]
      await Promise.all([
        bench.write(first.sink, bench.batch(steps(0, 5))).then(assertAccepted),
        bench.write(second.sink, bench.batch(steps(100, 5))).then(assertAccepted),
      ])
      await bench.assertStored(a, steps(0, 5))
      await bench.assertStored(b, steps(100, 5))
    },
  },
  {
    id: 'S6',
    title: 'S6 through the pipeline: faults and kills at random, everything is stored once and in order',
    async run(bench) {
      const random = new Random(SEED)
      const { faults } = bench.harness
      const transient = faults.filter((fault) => !['gone', 'hang', 'unauthorized'].includes(fault))
      const journal = new MemoryJournal()
      const points: Point[] = []
      for (let step = 0; step < 1_500; step += 30) {
        const frame = range(30).map((offset) => step + offset)
        // Rows of two points, closed one frame late.
        journal.frame(
          frame.flatMap((at) => [[at, at, 'train/loss', at] as const, [at, at, 'acc', at / 7] as const]),
          step === 0 ? [] : frame.map((at) => at - 30),
        )
        for (const at of frame) {
          const time = START_TIME + at
          points.push(
            { name: 'train/loss', step: at, value: at, time },
            { name: 'acc', step: at, value: at / 7, time },
          )
        }
        if (step % 300 === 0) journal.record({ kind: 'params', params: { [`p${step}`]: step } })
      }
      const run = bench.run()
      let cursor = undefined as Stage['cursor'] | undefined
      for (let lives = 0; ; lives++) {
        assert.ok(lives < 100, `seed ${SEED}: it does not come to an end`)
        const { stage } = play(bench, journal, run, cursor)
        const turns = random.below(40)
        let turn = 0
        const killed = () => turn++ >= turns && lives < 40
        stage.delivery.finish(stage.now + 1e9, stage.now)
        await stage.play(() => {
          if (random.next() < 0.1 && transient.length > 0 && stage.saved.length > 0) {
            void bench.harness.failNext(random.pick(transient), run)
          }
          return killed() || stage.closed !== undefined
        })
        cursor = stage.saved.at(-1) ?? cursor
        if (stage.closed?.complete) break
        assert.equal(stage.closed, undefined, `seed ${SEED}: ${stage.closed?.reason}`)
        // Killed: the process is gone and so is everything it was writing.
        await stage.abandon()
      }
      await bench.assertStored(run, points, `seed ${SEED}`)
      const { settled } = cursor!
      assert.equal(settled.delivered, points.length, `seed ${SEED}`)
      assert.equal(settled.recordsDelivered + settled.recordsFiltered, 5, `seed ${SEED}`)
    },
  },
]

/** Nothing that a sink ever says may hold a secret: run after each check. */
export function assertNoSecret(bench: Bench): void {
  for (const text of bench.said) {
    for (const secret of bench.harness.secrets) {
      assert.ok(!text.includes(secret), 'S13 a secret stands in an answer or notice')
    }
  }
}

async function blocks(bench: Bench, fault: Fault, scope: 'run' | 'account'): Promise<void> {
  const run = bench.run()
  const { sink } = await bench.opened(run)
  const first = await bench.write(sink, bench.batch(steps(0, 5)))
  assertAccepted(first)
  await bench.harness.failNext(fault, run)
  const answer = await bench.write(sink, bench.batch(steps(5, 5)))
  isBlocked(scope)(answer)
  assert.ok(answer.status === 'blocked' && answer.code.startsWith('ERR_') && answer.reason !== '')
  if (fault !== 'gone') return bench.assertStored(run, steps(0, 5))
  isBlocked('run')(await bench.write(sink, bench.batch(steps(5, 5))))
  await sink.close()
  // Opening it with what the cursor says must not hide that everything is gone.
  const again = bench.sink(run)
  const state = first.status === 'accepted' ? first.state : undefined
  const opened = await again.open(state, new AbortController().signal)
  const reached = opened.status === 'ready' ? await bench.write(again, bench.batch(steps(5, 5))) : opened
  assert.equal(reached.status, 'blocked', JSON.stringify(reached))
}

function play(bench: Bench, journal: MemoryJournal, run = bench.run(), cursor?: Stage['cursor']) {
  const real = { definition: bench.harness.definition, options: bench.options, run }
  return { run, stage: new Stage(journal, { real, ...(cursor && { cursor }) }) }
}

export function assertAccepted(answer: WriteResult): void {
  assert.equal(answer.status, 'accepted', JSON.stringify(answer))
}

async function promptly<Answer>(call: Promise<Answer>, what: string): Promise<Answer> {
  const timer = new AbortController()
  const late = delay(PROMPT_MS, 'late', { signal: timer.signal }).catch(() => 'late')
  const first = await Promise.race([
    call,
    late.then(() => assert.fail(`${what} took more than ${PROMPT_MS} ms`)),
  ])
  timer.abort()
  return first as Answer
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}
