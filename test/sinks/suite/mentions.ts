/** S19: a record that rows have to name is named by them once and uploaded once, and counts once. */
import assert from 'node:assert/strict'
import { PLOTLY_TYPE } from '../../../src/core/media-types.ts'
import type { RecordKind, RunInfo, RunRecord } from '../../../src/core/types.ts'
import { destinationStats } from '../../../src/pipeline/destination-stats.ts'
import { encodePng } from '../../../src/pipeline/parking/png.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Stage } from '../../pipeline/delivery/stage.ts'
import { Random, SEED } from '../../random.ts'
import type { Bench } from '../bench.ts'
import { writeBlob } from '../blobs.ts'
import type { StoredMention, StoredUpload } from '../harness.ts'
import { type Check, play, range } from './check.ts'
import { playBothThroughKills } from './kills.ts'
import { artifact, assertUploaded, fileOf } from './uploads.ts'

const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: 1_700_000_000_000 }

const mentionsOf = ({ harness }: Bench): readonly RecordKind[] =>
  harness.definition.capabilities.mentions ?? []
const names = (bench: Bench): boolean => mentionsOf(bench).length > 0

export const MENTION_CHECKS: readonly Check[] = [
  {
    id: 'S19',
    title: 'S19 no kind is both a record and an upload, and what rows name is uploaded',
    needs: ({ harness }) => harness.definition.capabilities.uploads !== undefined,
    async run({ harness }) {
      const { records, uploads = [], mentions = [] } = harness.definition.capabilities
      assert.deepEqual(
        uploads.filter((kind) => records.includes(kind)),
        [],
      )
      assert.deepEqual(
        mentions.filter((kind) => !uploads.includes(kind)),
        [],
      )
      assert.equal(harness.uploads?.mentioned !== undefined, mentions.length > 0)
    },
  },
  {
    id: 'S19',
    title: 'S19 what rows name stands there once, in the order of the journal, and its upload is what counts',
    needs: names,
    async run(bench) {
      for (const kind of mentionsOf(bench)) {
        const run = bench.run()
        const story = tell(kind, run, [1, 0, 3, 2])
        const { stage } = play(bench, story.journal, run)
        await stage.finish(600_000)
        assert.equal(stage.closed?.reason, '')
        assert.deepEqual(stage.letters, [])
        await assertTold(bench, run, story)
        assertCounted(stage, story.points, story.journal.records, 0)
        assert.equal(stage.cursor.settled.elsewhere, 4)
        assert.equal(stage.uploadsCursor.settled.recordsDelivered, 4)
      }
    },
  },
  {
    id: 'S19',
    title: 'S19 what is not for the destination is neither named nor uploaded',
    needs: names,
    async run(bench) {
      for (const kind of mentionsOf(bench)) {
        const run = bench.run()
        const story = tell(kind, run, [1, 1, 2])
        const real = { definition: bench.harness.definition, options: bench.options, run }
        const stage = new Stage(story.journal, { real, options: { exclude: ['named 1'] } })
        await stage.finish(600_000)
        assert.equal(stage.closed?.reason, '')
        const isKept = ({ name }: { name: string }) => name !== 'named 1'
        const { mentions, uploads } = story
        await assertTold(bench, run, {
          mentions: mentions.filter(isKept),
          uploads: uploads.filter(isKept),
        })
        const unknown = bench.harness.definition.capabilities.records.includes('state') ? 0 : 1
        assertCounted(stage, story.points, story.journal.records, 1 + unknown)
      }
    },
  },
  {
    id: 'S19',
    title: 'S19 through faults and kills at random, each is named once and uploaded once, and counts once',
    needs: names,
    async run(bench) {
      const { faults, failNext } = bench.harness.uploads!
      const isTransient = (fault: string) => !['hang', 'unauthorized', 'gone'].includes(fault)
      const [ofRows, ofUploads] = [bench.harness.faults.filter(isTransient), faults.filter(isTransient)]
      for (const kind of mentionsOf(bench)) {
        const random = new Random(SEED)
        const run = bench.run()
        const story = tell(
          kind,
          run,
          range(16).map(() => random.below(3)),
        )
        const { rows, uploads } = await playBothThroughKills(random, {
          turns: 50,
          lives: 50,
          start: (cursors) => play(bench, story.journal, run, cursors.rows, cursors.uploads).stage,
          plan(stage) {
            if (stage.saved.length === 0) return
            if (random.next() < 0.05) void bench.harness.failNext(random.pick(ofRows), run)
            if (random.next() < 0.05) failNext(random.pick(ofUploads), run)
          },
        })
        await assertTold(bench, run, story)
        const { delivered, recordsDelivered, recordsFiltered, elsewhere } = rows.settled
        assert.deepEqual(
          [delivered, recordsDelivered + recordsFiltered, elsewhere, uploads.settled.recordsDelivered],
          [story.points, story.journal.records - 16, 16, 16],
          `seed ${SEED}`,
        )
      }
    },
  },
]

interface Told {
  readonly mentions: readonly StoredMention[]
  readonly uploads: readonly StoredUpload[]
}

/** A run that logs rows and, at every fifth step, before the row is complete, such a record of so many files and one. */
function tell(
  kind: RecordKind,
  run: RunInfo,
  fileCounts: readonly number[],
): Told & { readonly journal: MemoryJournal; readonly points: number } {
  const journal = new MemoryJournal()
  const uploads = fileCounts.map((count, index): StoredUpload => {
    for (let step = 5 * index; step < 5 * index + 4; step++)
      journal.frame([[step, step, 'loss', step]], [step])
    const step = 5 * index + 4
    journal.frame([[step, step, 'loss', step]])
    const { record, files } = recordOf(kind, run, `named ${index}`, step, count + 1)
    journal.record(record).frame([], [step])
    return { kind, name: `named ${index}`, files }
  })
  journal.record(FINISHED)
  return {
    journal,
    points: 5 * fileCounts.length,
    uploads,
    mentions: uploads.map(({ name }) => ({ kind, name })),
  }
}

function recordOf(
  kind: RecordKind,
  run: RunInfo,
  name: string,
  step: number,
  count: number,
): { readonly record: RunRecord; readonly files: StoredUpload['files'] } {
  const time = 1_700_000_000_000 + step
  if (kind === 'artifact') {
    const files = range(count).map((index) => fileOf(run, `f${index}`, `${name} ${index}`))
    const digests = files.map(({ path, blob }) => [path, blob.digest] as const)
    return { record: artifact(name, files), files: Object.fromEntries(digests) }
  }
  if (kind === 'table' || kind === 'figure') {
    const blob =
      kind === 'table'
        ? writeBlob(run.folder, `{"columns":["a"],"data":[["${name}"]]}`, 'application/json')
        : writeBlob(run.folder, `{"data":[],"layout":{"title":"${name}"}}`, PLOTLY_TYPE)
    const placed = { name, step, time }
    const record: RunRecord =
      kind === 'table'
        ? { kind, ...placed, table: blob, columns: 1, rows: 1 }
        : { kind, ...placed, figure: blob }
    return { record, files: { '0': blob.digest } }
  }
  assert.equal(kind, 'images', `the suite knows no record of the kind ${kind} that rows could name`)
  const images = range(count).map((index) => {
    const data = Uint8Array.of(step % 256, index, 2, 3)
    const pixels = { width: 2, height: 2, channels: 1 as const, data }
    return { image: writeBlob(run.folder, encodePng(pixels as never), 'image/png'), width: 2, height: 2 }
  })
  const digests = images.map(({ image }, index) => [String(index), image.digest] as const)
  return { record: { kind: 'images', name, step, time, images }, files: Object.fromEntries(digests) }
}

async function assertTold(bench: Bench, run: RunInfo, { mentions, uploads }: Told): Promise<void> {
  const named = await bench.harness.uploads!.mentioned!(run)
  assert.deepEqual(
    named.map(({ kind, name }) => ({ kind, name })),
    mentions,
    `seed ${SEED}`,
  )
  await assertUploaded(bench, run, uploads)
}

function assertCounted(stage: Stage, points: number, records: number, filtered: number): void {
  const stats = destinationStats(stage.counters, 0, undefined)
  assert.equal(stats.delivered, points)
  assert.deepEqual(stats.records, {
    delivered: records - filtered,
    filtered,
    rejected: 0,
    corrupt: 0,
    pending: 0,
  })
}
