/** S8, S9: limits, odd values, names and steps. */
import assert from 'node:assert/strict'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { type Point, START_TIME } from '../bench.ts'
import { assertAccepted, type Check, play } from './check.ts'

export const VALUE_CHECKS: readonly Check[] = [
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
]
