/** S14–S16: what is uploaded arrives once and whole, and holds nothing else back. */
import assert from 'node:assert/strict'
import { DESTINATION } from '../../../src/core/counters.ts'
import type { BlobRef, RunInfo, RunRecord, StoredFile } from '../../../src/core/types.ts'
import { MemoryJournal } from '../../pipeline/delivery/memory-journal.ts'
import { Random, SEED } from '../../random.ts'
import type { Bench } from '../bench.ts'
import { writeBlob, writeFileList } from '../blobs.ts'
import type { StoredUpload } from '../harness.ts'
import { type Check, play, range } from './check.ts'
import { playBothThroughKills } from './kills.ts'

const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: 1_700_000_000_000 }

const uploads = ({ harness }: Bench): boolean =>
  harness.uploads !== undefined && (harness.definition.capabilities.uploads?.includes('artifact') ?? false)

export const UPLOAD_CHECKS: readonly Check[] = [
  {
    id: 'S14',
    title: 'S14 files arrive with their bytes, whatever their paths and however many, each record once',
    needs: uploads,
    async run(bench) {
      const run = bench.run()
      const journal = new MemoryJournal().scalars('loss', 20)
      const many = range(300).map((index) => fileOf(run, `d/${index % 7}/f${index}`, `file ${index}`))
      const odd = ['größe 🎯', 'a b#c?d%20', '.hidden', 'n'.repeat(200), 'empty'].map((path) =>
        fileOf(run, path, path === 'empty' ? '' : `content of ${path}`),
      )
      const expected = [
        add(journal, 'many', many, writeFileList(run.folder, many)),
        add(journal, 'odd', odd),
        add(journal, 'same bytes', [fileOf(run, 'a', 'same'), fileOf(run, 'b', 'same')]),
      ]
      const { stage } = play(bench, journal.record(FINISHED), run)
      await stage.finish(600_000)
      assert.deepEqual(stage.letters, [])
      assert.equal(stage.closed?.reason, '')
      await assertUploaded(bench, run, expected)
      assert.equal((await bench.stored(run)).length, 20)
    },
  },
  {
    id: 'S14',
    title: 'S14 whatever befalls a step of an upload, the record is there once and whole',
    needs: uploads,
    async run(bench) {
      const { faults, failNext } = bench.harness.uploads!
      for (const fault of faults.filter((one) => !['hang', 'unauthorized', 'gone'].includes(one))) {
        for (const failing of [0, 1, 3]) {
          const run = bench.run()
          const journal = new MemoryJournal()
          const expected = add(
            journal,
            'a',
            range(3).map((index) => fileOf(run, `f${index}`, `${fault} ${index}`)),
          )
          const { stage } = play(bench, journal, run)
          stage.end(600_000)
          await stage.play(() => stage.uploadsBlock[DESTINATION.filesSent]! >= failing)
          failNext(fault, run)
          await stage.play()
          assert.equal(stage.closed?.reason, '', fault)
          assert.deepEqual(stage.letters, [], fault)
          await assertUploaded(bench, run, [expected])
        }
      }
    },
  },
  {
    id: 'S14',
    title:
      'S14 through faults and kills at random, every record is uploaded once and whole, beside the scalars',
    needs: uploads,
    async run(bench) {
      const random = new Random(SEED)
      const run = bench.run()
      const journal = new MemoryJournal()
      const expected: StoredUpload[] = []
      for (let record = 0; record < 12; record++) {
        journal.scalars(`s${record}`, 30)
        const files = range(random.below(12)).map((file) => fileOf(run, `f${file}`, `${record} ${file}`))
        expected.push(add(journal, `artifact ${record}`, files))
      }
      journal.record(FINISHED)
      const { faults, failNext } = bench.harness.uploads!
      const transient = faults.filter((fault) => !['hang', 'unauthorized', 'gone'].includes(fault))
      let resumedWithin = 0
      const cursors = await playBothThroughKills(random, {
        turns: 60,
        lives: 60,
        start: ({ rows, uploads }) => play(bench, journal, run, rows, uploads).stage,
        plan(stage) {
          if (random.next() < 0.05 && stage.saved.length > 0) failNext(random.pick(transient), run)
        },
        onKill({ uploads }) {
          if ((uploads?.files ?? 0) > 0) resumedWithin++
        },
      })
      // of many at once all may have settled together
      if ((bench.harness.definition.limits.uploadsInFlight ?? 1) < 8)
        assert.ok(resumedWithin > 0, `seed ${SEED}: no kill met a record between its files`)
      await assertUploaded(bench, run, expected)
      assert.equal((await bench.stored(run)).length, 360, `seed ${SEED}`)
      assert.equal(cursors.uploads.settled.recordsDelivered, 12, `seed ${SEED}`)
    },
  },
  {
    id: 'S15',
    title:
      'S15 while there is no room for uploads, scalars and the end of the run arrive; then so do the uploads',
    needs: uploads,
    async run(bench) {
      const run = bench.run()
      const journal = new MemoryJournal().scalars('loss', 10)
      const expected = add(journal, 'a', [fileOf(run, 'f', 'content')])
      journal.scalars('acc', 50).record(FINISHED)
      bench.harness.uploads!.fill(true)
      const { stage } = play(bench, journal, run)
      stage.end(600_000)
      const isRefused = () => stage.issues.some(({ severity }) => severity === 'failing')
      await stage.play(
        () => (stage.delivery.isClosed && isRefused()) || stage.told.some(({ type }) => type === 'closed'),
      )
      assert.ok(isRefused(), 'that there is no room is told')
      assert.equal((await bench.stored(run)).length, 60)
      if (bench.harness.definition.capabilities.records.includes('state'))
        assert.equal((await bench.harness.stored(run)).outcome, 'finished')
      await assertUploaded(bench, run, [])
      assert.ok(stage.told.every(({ type }) => type !== 'closed'))
      bench.harness.uploads!.fill(false)
      await stage.play()
      assert.equal(stage.told.filter((message) => message.type === 'closed' && message.complete).length, 1)
      assert.deepEqual(stage.letters, [])
      await assertUploaded(bench, run, [expected])
    },
  },
  {
    id: 'S15',
    title: 'S15 a file that is too large is rejected by name, and costs no other file and no other record',
    needs: (bench) => uploads(bench) && bench.harness.uploads!.maxFileBytes !== undefined,
    async run(bench) {
      const run = bench.run()
      const journal = new MemoryJournal()
      const large = Buffer.alloc(bench.harness.uploads!.maxFileBytes! + 1, 'x')
      add(journal, 'a', [fileOf(run, 'first', '1'), fileOf(run, 'large', large), fileOf(run, 'last', '2')])
      const expected = add(journal, 'b', [fileOf(run, 'f', 'content')])
      const { stage } = play(bench, journal, run)
      await stage.finish(600_000)
      assert.equal(stage.closed?.complete, true)
      assert.deepEqual(
        stage.letters.map((letter) => [letter.seq, letter.kind === 'artifact' && letter.items]),
        [[0, ['large']]],
      )
      await assertUploaded(bench, run, [expected])
    },
  },
  {
    id: 'S16',
    title: 'S16 an abort settles an upload that hangs',
    needs: (bench) => uploads(bench) && bench.harness.uploads!.faults.includes('hang'),
    async run(bench) {
      const run = bench.run()
      const { sink } = await bench.opened(run)
      bench.harness.uploads!.failNext('hang', run)
      const file = fileOf(run, 'f', 'content')
      const record = artifact('a', [file])
      const controller = new AbortController()
      const nothing = () => {}
      const upload = sink.upload!(
        { seq: 3, record, files: [file], state: undefined, keep: nothing, sent: nothing },
        controller.signal,
      )
      setTimeout(() => controller.abort(new Error('the deadline passed')), 50)
      const start = performance.now()
      const answer = await upload
      assert.notEqual(answer.status, 'accepted')
      assert.ok(performance.now() - start < 10_000)
    },
  },
]

export type KeptFile = StoredFile & { readonly blob: BlobRef }

export function fileOf(run: RunInfo, path: string, content: string | Uint8Array): KeptFile {
  return { path, blob: writeBlob(run.folder, content) }
}

export function artifact(name: string, files: readonly StoredFile[] | BlobRef): RunRecord {
  return { kind: 'artifact', name, type: 'dataset', time: 1_700_000_000_000, files, bytes: 0 }
}

/** Journals an artifact; returns how it must be stored. */
function add(journal: MemoryJournal, name: string, files: readonly KeptFile[], list?: BlobRef): StoredUpload {
  journal.record(artifact(name, list ?? files))
  return {
    kind: 'artifact',
    name,
    files: Object.fromEntries(files.map(({ path, blob }) => [path, blob.digest])),
  }
}

export async function assertUploaded(
  bench: Bench,
  run: RunInfo,
  expected: readonly StoredUpload[],
): Promise<void> {
  const inOrder = (all: readonly StoredUpload[]) =>
    [...all].sort((a, b) => a.name.localeCompare(b.name)).map((one) => ({ ...one, files: { ...one.files } }))
  const { stored, nameOf = (_, name) => name } = bench.harness.uploads!
  const named = expected.map((one) => ({ ...one, name: nameOf(one.kind, one.name) }))
  assert.deepEqual(inOrder(await stored(run)), inOrder(named), `seed ${SEED}`)
}
