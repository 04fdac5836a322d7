/** S20: a batch that was prepared, or another one in its place, is stored as if nothing had been prepared. */
import assert from 'node:assert/strict'
import type { Batch } from '../../../src/core/types.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Stage } from '../../pipeline/delivery/stage.ts'
import { Random, SEED } from '../../random.ts'
import { type Bench, type Point, START_TIME, steps } from '../bench.ts'
import { assertAccepted, type Check, range, watched } from './check.ts'
import { playThroughKills } from './kills.ts'

const prepares = (bench: Bench): boolean => bench.sink(bench.run()).prepare !== undefined

/** Most rows that a journal of this check has: enough for any sink that sends thousands at once. */
const MAX_ROWS = 25_000

export const PREPARE_CHECKS: readonly Check[] = [
  {
    id: 'S20',
    title: 'S20 what is prepared is stored when it is written, and not before',
    needs: prepares,
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      const first = bench.batch(steps(0, 5))
      sink.prepare!(first)
      await bench.assertStored(run, [])
      assertAccepted(await bench.write(sink, first))
      await bench.assertStored(run, steps(0, 5))
      // while the one before it is under way, twice
      const second = bench.batch(steps(5, 5))
      const third = bench.batch(steps(10, 5))
      const write = bench.write(sink, second)
      sink.prepare!(third)
      sink.prepare!(third)
      assertAccepted(await write)
      await bench.assertStored(run, steps(0, 10))
      assertAccepted(await bench.write(sink, third))
      await bench.assertStored(run, steps(0, 15))
      sink.prepare!(bench.batch(steps(15, 5)))
      await sink.close()
      await bench.assertStored(run, steps(0, 15))
    },
  },
  {
    id: 'S20',
    title:
      'S20 another batch than was prepared is stored as it is: halves of it, a shorter one, one after a record',
    needs: prepares,
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      sink.prepare!(bench.batch(steps(0, 10)))
      assertAccepted(await bench.write(sink, bench.batch(steps(0, 5))))
      assertAccepted(await bench.write(sink, bench.batch(steps(5, 5))))
      sink.prepare!(bench.batch(steps(10, 10)))
      assertAccepted(await bench.write(sink, bench.batch(steps(10, 3))))
      const next = bench.batch(steps(13, 4))
      sink.prepare!(next)
      if (bench.harness.definition.capabilities.records.includes('tags')) {
        const record = { kind: 'tags', tags: { a: 'b' } } as const
        assertAccepted(await sink.writeRecord(record, 3, new AbortController().signal))
      }
      assertAccepted(await bench.write(sink, next))
      await bench.assertStored(run, steps(0, 17))
    },
  },
  {
    id: 'S20',
    title: 'S20 what becomes of a batch changes nothing for the one that was prepared meanwhile',
    needs: prepares,
    async run(bench) {
      const isTransient = (fault: string) => !['hang', 'unauthorized', 'gone'].includes(fault)
      for (const fault of bench.harness.faults.filter(isTransient)) {
        const run = bench.run()
        const { sink } = await bench.opened(run)
        const [first, second, third] = [0, 5, 10].map((step) => bench.batch(steps(step, 5)))
        assertAccepted(await bench.write(sink, first!))
        await bench.harness.failNext(fault, run)
        const write = bench.write(sink, second!)
        sink.prepare!(third!)
        assert.notEqual((await write).status, 'accepted', fault)
        assertAccepted(await bench.write(sink, second!))
        assertAccepted(await bench.write(sink, third!))
        await bench.assertStored(run, steps(0, 15), fault)
      }
    },
  },
  {
    id: 'S20',
    title: 'S20 a batch that was refused in part changes nothing for the one that was prepared meanwhile',
    needs: (bench) => prepares(bench) && bench.harness.poison !== undefined,
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      const good = range(3).map((step): Point => ({ name: 'train/loss', step, value: step }))
      const write = bench.write(sink, bench.batch([...good, { ...bench.harness.poison!, step: 3 }]))
      const next = bench.batch(steps(4, 5))
      sink.prepare!(next)
      if ((await write).status === 'split') assertAccepted(await bench.write(sink, bench.batch(good)))
      assertAccepted(await bench.write(sink, next))
      await bench.assertStored(run, [...good, ...steps(4, 5)])
    },
  },
  {
    id: 'S20',
    title: 'S20 through the pipeline: the next batch is prepared once, and all is stored once and in order',
    needs: prepares,
    async run(bench) {
      const random = new Random(SEED)
      const { maxItems } = bench.harness.definition.limits
      const rows = Math.min(MAX_ROWS, 5 * maxItems + 1)
      const journal = new MemoryJournal()
      for (let first = 0; first < rows; first += 100) {
        const frame = range(Math.min(100, rows - first)).map((offset) => first + offset)
        journal.frame(
          frame.map((row) => [row, row, 'loss', row]),
          frame,
        )
      }
      const prepared = new Set<Batch>()
      let inTime = 0
      const definition = watched(bench.harness.definition, {
        prepare(batch) {
          assert.ok(!prepared.has(batch), 'a batch is prepared twice')
          prepared.add(batch)
        },
        write(batch) {
          if (prepared.has(batch)) inTime++
        },
      })
      const run = bench.run()
      const real = { definition, options: bench.options, run }
      const { settled } = await playThroughKills(bench, run, random, {
        turns: 30,
        lives: 10,
        start: (cursor) => new Stage(journal, { real, ...(cursor && { cursor }) }),
      })
      const points = range(rows).map(
        (step): Point => ({ name: 'loss', step, value: step, time: START_TIME + step }),
      )
      await bench.assertStored(run, points, `seed ${SEED}`)
      assert.equal(settled.delivered, rows)
      assert.ok(rows <= maxItems || inTime > 0, `${prepared.size} batches were prepared, and none came`)
    },
  },
]
