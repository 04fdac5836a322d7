/** S18: what is filtered or thinned on the way, with faults and kills at random. */
import assert from 'node:assert/strict'
import type { ThinnedStretch } from '../../../src/core/types.ts'
import { emptySums } from '../../../src/pipeline/delivery/item.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Stage } from '../../pipeline/delivery/stage.ts'
import { extremesOf } from '../../pipeline/delivery/thinned.ts'
import { Random, SEED } from '../../random.ts'
import { type Point, START_TIME } from '../bench.ts'
import { type Check, range } from './check.ts'
import { playThroughKills } from './kills.ts'

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
      const { definition } = bench.harness
      const { journal, points } = logged(random)
      const run = bench.run()
      const real = { definition, options: bench.options, run }
      const routes = [{ from: 0, ...OPTIONS }]
      const { settled } = await playThroughKills(bench, run, random, {
        turns: 30,
        lives: 30,
        cursor: { seq: 0, back: 0, settled: emptySums(), state: undefined, routes, thinned: THINNED },
        start: (cursor) => new Stage(journal, { real, ...(cursor && { cursor }), options: OPTIONS }),
      })
      await bench.assertStored(run, points, `seed ${SEED}`)
      const { delivered, filtered, recordsDelivered, recordsFiltered } = settled
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
