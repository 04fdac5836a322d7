/** S6 on the whole: faults and kills at random, through the pipeline. */
import assert from 'node:assert/strict'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Random, SEED } from '../../random.ts'
import { type Point, START_TIME } from '../bench.ts'
import { type Check, play, range } from './check.ts'
import { playThroughKills } from './kills.ts'

export const STORM_CHECKS: readonly Check[] = [
  {
    id: 'S6',
    title: 'S6 through the pipeline: faults and kills at random, everything is stored once and in order',
    async run(bench) {
      const random = new Random(SEED)
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
      const { settled } = await playThroughKills(bench, run, random, {
        turns: 40,
        lives: 40,
        start: (cursor) => play(bench, journal, run, cursor).stage,
      })
      await bench.assertStored(run, points, `seed ${SEED}`)
      assert.equal(settled.delivered, points.length, `seed ${SEED}`)
      assert.equal(settled.recordsDelivered + settled.recordsFiltered, 5, `seed ${SEED}`)
    },
  },
]
