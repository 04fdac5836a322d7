/** S6 on the whole: faults and kills at random, through the pipeline. */
import assert from 'node:assert/strict'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import type { Stage } from '../../pipeline/delivery/stage.ts'
import { Random, SEED } from '../../random.ts'
import { type Point, START_TIME } from '../bench.ts'
import { type Check, play, range } from './check.ts'

export const STORM_CHECKS: readonly Check[] = [
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
