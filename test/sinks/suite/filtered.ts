/** S18: what is filtered or thinned on the way, with faults and kills at random. */
import assert from 'node:assert/strict'
import type { Cursor, ThinnedStretch } from '../../../src/core/types.ts'
import { emptySums } from '../../../src/pipeline/delivery/item.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Stage } from '../../pipeline/delivery/stage.ts'
import { extremesOf } from '../../pipeline/delivery/thinned.ts'
import { Random, SEED } from '../../random.ts'
import { type Point, START_TIME } from '../bench.ts'
import { type Check, range } from './check.ts'

const ROWS = 900
const OPTIONS = { exclude: ['*/debug'], everyN: 3 }
/** As a delivery that was late has left them. */
const THINNED: readonly ThinnedStretch[] = [
  { from: 400, to: 1_100, bucket: 64 },
  { from: 1_500, to: 2_222, bucket: 100 },
]

export const FILTERED_CHECKS: readonly Check[] = [
  {
    id: 'S18',
    title:
      'S18 through faults and kills: of what is filtered and thinned the same is stored, once, and all is counted',
    async run(bench) {
      const random = new Random(SEED)
      const { faults, definition } = bench.harness
      const transient = faults.filter((fault) => !['gone', 'hang', 'unauthorized'].includes(fault))
      const { journal, points } = logged(random)
      const run = bench.run()
      const routes = [{ from: 0, ...OPTIONS }]
      let cursor: Cursor = {
        seq: 0,
        back: 0,
        settled: emptySums(),
        state: undefined,
        routes,
        thinned: THINNED,
      }
      for (let lives = 0; ; lives++) {
        assert.ok(lives < 100, `seed ${SEED}: it does not come to an end`)
        const real = { definition, options: bench.options, run }
        const stage = new Stage(journal, { real, cursor, options: OPTIONS })
        const turns = random.below(30)
        let turn = 0
        stage.delivery.finish(stage.now + 1e9, stage.now)
        await stage.play(() => {
          if (random.next() < 0.1 && transient.length > 0 && stage.saved.length > 0)
            void bench.harness.failNext(random.pick(transient), run)
          return (turn++ >= turns && lives < 30) || stage.closed !== undefined
        })
        cursor = stage.saved.at(-1) ?? cursor
        if (stage.closed?.complete) break
        assert.equal(stage.closed, undefined, `seed ${SEED}: ${stage.closed?.reason}`)
        await stage.abandon()
      }
      await bench.assertStored(run, points, `seed ${SEED}`)
      const { delivered, filtered, recordsDelivered, recordsFiltered } = cursor.settled
      assert.deepEqual([delivered, delivered + filtered], [points.length, journal.seq - journal.records])
      assert.equal(recordsDelivered + recordsFiltered, journal.records)
    },
  },
]

/** Rows of three points in frames that close them one frame late, and which of their points are for the backend. */
function logged(random: Random): { journal: MemoryJournal; points: Point[] } {
  const journal = new MemoryJournal()
  const all: (Point & { readonly seq: number })[] = []
  for (let first = 0; first < ROWS; first += 30) {
    const rows = range(30).map((offset) => first + offset)
    const frame = rows.flatMap((row) =>
      ['train/loss', 'train/debug', 'acc'].map(
        (name) => [row, row, name, Math.fround(random.next())] as const,
      ),
    )
    frame.forEach(([, step, name, value], at) => {
      all.push({ seq: journal.seq + at, name, step, value, time: START_TIME + step })
    })
    journal.frame(frame, first === 0 ? [] : rows.map((row) => row - 30))
    if (first % 150 === 0) journal.record({ kind: 'params', params: { [`p${first}`]: first } })
  }
  const routed = all.filter(({ name, step }) => name !== 'train/debug' && step % OPTIONS.everyN === 0)
  const routedSeqs = new Set(routed.map(({ seq }) => seq))
  const keeps = extremesOf(journal, THINNED, (seq) => routedSeqs.has(seq))
  return { journal, points: routed.filter(({ seq }) => keeps(seq)).map(({ seq: _, ...point }) => point) }
}
