/** S10–S12: aborting, ending and resuming a run. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { START_TIME, steps } from '../bench.ts'
import { assertAccepted, type Check } from './check.ts'

const PROMPT_MS = 1_000

export const LIFE_CHECKS: readonly Check[] = [
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
]

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
