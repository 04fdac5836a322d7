/** S21: the limits that hold for a destination, those that hang on its options included, are what the pipeline keeps to. */
import assert from 'node:assert/strict'
import { DESTINATION } from '../../../src/core/counters.ts'
import type { Batch, SinkLimits } from '../../../src/core/types.ts'
import { tuned } from '../../../src/sinks/contract.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Stage } from '../../pipeline/delivery/stage.ts'
import type { Bench } from '../bench.ts'
import { type Check, range, watched } from './check.ts'

const MAX_ROWS = 25_000

export const LIMIT_CHECKS: readonly Check[] = [
  {
    id: 'S21',
    title:
      'S21 no batch exceeds the limits, and each is filled as far as they allow, rows of one point and wide ones',
    async run(bench) {
      for (const options of optionSets(bench)) {
        const { limits } = tuned(bench.harness.definition, options)
        for (const width of [1, 40]) {
          const rows = Math.ceil(Math.min(MAX_ROWS, 2 * limits.maxItems + 1) / width)
          const series = range(width).map((index) => `s${index}`)
          const journal = new MemoryJournal()
          for (let first = 0; first < rows; first += 50) {
            const frame = range(Math.min(50, rows - first)).map((offset) => first + offset)
            journal.frame(
              frame.flatMap((row) => series.map((name, index) => [row, row, name, index] as const)),
              frame,
            )
          }
          const sizes: { items: number; bytes: number }[] = []
          const definition = watched(bench.harness.definition, {
            write: (batch) => sizes.push(sizeOf(batch, limits)),
          })
          const run = bench.run()
          const stage = new Stage(journal, { real: { definition, options, run } })
          await stage.finish(600_000)
          assert.equal(stage.closed?.reason, '')
          assert.deepEqual(stage.letters, [])
          assert.equal((await bench.stored(run)).length, rows * width)
          for (const { items, bytes } of sizes)
            assert.ok(items <= limits.maxItems && bytes <= limits.maxBytes)
          for (const { items, bytes } of sizes.slice(0, -1)) {
            const isFull = items === limits.maxItems || bytes > limits.maxBytes / 2
            assert.ok(isFull, `${items} items of up to ${bytes} bytes were sent before the last batch`)
          }
        }
      }
      assert.equal(bench.harness.oversize(), 0)
    },
  },
  {
    id: 'S21',
    title: 'S21 a batch that is not full waits as long as the limits say',
    async run(bench) {
      for (const options of optionSets(bench)) {
        const { lingerMs } = tuned(bench.harness.definition, options).limits
        const journal = new MemoryJournal().frame(
          range(5).map((row) => [row, row, 'loss', row]),
          range(5),
        )
        const { definition } = bench.harness
        const stage = new Stage(journal, { real: { definition, options, run: bench.run() }, live: true })
        const begunAt = stage.now
        await stage.play(() => stage.block[DESTINATION.delivered] === 5)
        const waitedMs = stage.now - begunAt
        assert.ok(
          waitedMs >= lingerMs && waitedMs < lingerMs + 1_000,
          `${waitedMs} ms instead of ${lingerMs}`,
        )
        await stage.finish()
        assert.equal(stage.closed?.reason, '')
      }
    },
  },
  {
    id: 'S21',
    title: 'S21 limits that hang on options differ with them',
    needs: ({ harness }) => harness.definition.tune !== undefined,
    async run(bench) {
      const { definition, tuning } = bench.harness
      assert.ok(tuning !== undefined, 'the harness has no options that change a limit')
      const [plain, other] = optionSets(bench).map((options) => tuned(definition, options).limits)
      assert.notDeepEqual(other, plain)
    },
  },
]

/** The options of the harness, and where the sink declares a `tune` those that change limits. */
function optionSets(bench: Bench): Readonly<Record<string, unknown>>[] {
  const { options, harness } = bench
  return harness.tuning === undefined ? [options] : [options, bench.optionsWith(harness.tuning)]
}

function sizeOf(batch: Batch, { pointBytes, rowBytes = 0 }: SinkLimits): { items: number; bytes: number } {
  const rows = (batch.rows?.length ?? 1) - 1
  const bytesOf = (id: number) => {
    const { name, context } = batch.describe(id)
    return Math.max(1, pointBytes(Buffer.byteLength(name) + Buffer.byteLength(context)))
  }
  const points = batch.series.reduce((sum, id) => sum + bytesOf(id), 0)
  return { items: batch.rows === undefined ? batch.length : rows, bytes: points + rows * rowBytes }
}
