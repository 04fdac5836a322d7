/** S23: of every kind of record there is, what a sink declares arrives, all else is filtered, and each counts once. */
import assert from 'node:assert/strict'
import type { RecordKind, RunInfo, RunRecord } from '../../../src/core/types.ts'
import { encodePng } from '../../../src/pipeline/parking/png.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { START_TIME } from '../bench.ts'
import { writeBlob } from '../blobs.ts'
import { type Check, play } from './check.ts'
import { fileOf } from './uploads.ts'

const numbers = (...values: readonly number[]) => Float64Array.from(values)

export const KIND_CHECKS: readonly Check[] = [
  {
    id: 'S23',
    title: 'S23 records of every kind: those declared arrive, the others are filtered, all are counted',
    async run(bench) {
      const { records, uploads = [] } = bench.harness.definition.capabilities
      const isTaken = (kind: RecordKind) => records.includes(kind) || uploads.includes(kind)
      const run = bench.run()
      const story = Object.values(oneOfEach(run))
      const journal = new MemoryJournal().scalars('loss', 10)
      for (const record of story) journal.record(record)
      const { stage } = play(bench, journal, run)
      await stage.finish(600_000)
      assert.deepEqual([stage.closed?.reason, stage.letters], ['', []])
      const sums = [stage.cursor, ...(uploads.length > 0 ? [stage.uploadsCursor] : [])]
      const total = (name: 'recordsDelivered' | 'recordsFiltered') =>
        sums.reduce((sum, { settled }) => sum + settled[name], 0)
      const taken = story.filter(({ kind }) => isTaken(kind)).length
      assert.deepEqual([total('recordsDelivered'), total('recordsFiltered')], [taken, story.length - taken])
      const { alerts, inputs, files } = await bench.harness.stored(run)
      if (isTaken('alert') && alerts !== undefined) assert.deepEqual(alerts, ['loss is NaN'])
      if (isTaken('input') && inputs !== undefined) assert.deepEqual(inputs, ['data:latest'])
      if (isTaken('files') && files !== undefined)
        assert.deepEqual(files, { 'logs/größe.txt': fileOf(run, 'logs/größe.txt', 'second').blob.digest })
    },
  },
]

/** In the order of the journal: a kind that is not here does not compile. */
function oneOfEach(run: RunInfo): Readonly<Record<Exclude<RecordKind, 'rewind'>, RunRecord>> {
  const place = { step: 4, time: START_TIME + 4 }
  const blob = (content: string | Uint8Array, type: string) => writeBlob(run.folder, content, type)
  const pixels = { width: 1, height: 1, channels: 1, data: Uint8Array.of(7), isPlanar: false } as const
  const png = blob(encodePng(pixels), 'image/png')
  const table = blob('{"columns":["a"],"data":[[1]]}', 'application/json')
  const about = { time: START_TIME, bytes: 1 }
  return {
    params: { kind: 'params', params: { lr: 0.1 } },
    tags: { kind: 'tags', tags: { stage: 'x' } },
    notes: { kind: 'notes', notes: '# why' },
    metric: { kind: 'metric', name: 'loss', summary: ['min'] },
    dataset: { kind: 'dataset', name: 'mnist', digest: 'abc', source: 'data/', sourceType: 'local' },
    console: { kind: 'console', stream: 'stdout', text: 'a line', time: START_TIME },
    text: { kind: 'text', name: 'sample', ...place, text: 'hello' },
    histogram: { kind: 'histogram', name: 'w', ...place, edges: numbers(0, 1, 2), counts: numbers(3, 4) },
    images: { kind: 'images', name: 'pics', ...place, images: [{ image: png, width: 1, height: 1 }] },
    table: { kind: 'table', name: 'worst', ...place, table, columns: 1, rows: 1 },
    figure: { kind: 'figure', name: 'plot', ...place, figure: png, width: 1, height: 1 },
    prCurve: {
      ...{ kind: 'prCurve', name: 'pr', ...place },
      ...{ truePositives: numbers(2, 0), falsePositives: numbers(1, 0) },
      ...{ trueNegatives: numbers(0, 1), falseNegatives: numbers(0, 2) },
    },
    artifact: {
      ...{ kind: 'artifact', name: 'data', type: 'dataset', ...about, aliases: ['best'] },
      files: [fileOf(run, 'a', 'A')],
    },
    model: { kind: 'model', name: 'net', ...about, files: [fileOf(run, 'weights', 'W')] },
    files: { kind: 'files', ...about, files: [fileOf(run, 'logs/größe.txt', 'second')] },
    input: { kind: 'input', artifact: 'data:latest', time: START_TIME },
    alert: { kind: 'alert', title: 'loss is NaN', text: 'epoch *3*', level: 'error', time: START_TIME },
    state: { kind: 'state', state: 'finished', time: START_TIME + 1000 },
  }
}
