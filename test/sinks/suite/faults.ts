/** S1–S7: what a write answers, and what is stored then. */
import assert from 'node:assert/strict'
import type { WriteResult } from '../../../src/core/types.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { type Bench, type Point, steps } from '../bench.ts'
import type { Fault } from '../harness.ts'
import { assertAccepted, type Check, play, range } from './check.ts'

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

export const FAULT_CHECKS: readonly Check[] = [
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
]

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
