import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { blobPath } from '../../../../src/core/blob-path.ts'
import { PLOTLY_TYPE } from '../../../../src/core/media-types.ts'
import type { RunRecord } from '../../../../src/core/types.ts'
import { type EntryRecord, entryOf } from '../../../../src/sinks/wandb/entries.ts'
import { type FileRecord, runFilesOf } from '../../../../src/sinks/wandb/run-files.ts'
import { storeBlob } from '../../mlflow/run-blobs.ts'
import { isCall, isPut, UploadBench } from './bench.ts'

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const place = { step: 7, time: 1000 }

async function withBench(play: (bench: UploadBench) => Promise<void>): Promise<void> {
  const bench = await UploadBench.start()
  try {
    await play(bench)
  } finally {
    await bench.end()
  }
}

function tableOf(
  bench: UploadBench,
  rows: number,
  name = 'eval/preds',
): RunRecord & EntryRecord & FileRecord {
  const data = Array.from({ length: rows }, (_, row) => [row, row / 7, `row ${row} größer`])
  const json = JSON.stringify({ columns: ['id', 'score', 'text'], data })
  const table = storeBlob(bench.folder, json, 'application/json')
  return { kind: 'table', name, ...place, table, columns: 3, rows }
}

async function entryValue(bench: UploadBench, record: EntryRecord): Promise<Record<string, unknown>> {
  const entries = await entryOf(record, bench.run)
  assert.ok(!('refused' in entries), JSON.stringify(entries))
  return JSON.parse(entries[0]![1]) as Record<string, unknown>
}
const runOf = (bench: UploadBench) => [...bench.standIn.runs.values()][0]!

// 150,000 rows take more than is laid in memory, as an artifact
for (const rows of [0, 3, 150_000]) {
  test(`a table of ${rows} rows is where the history says, as a file of the run and as an artifact`, async () => {
    await withBench(async (bench) => {
      const record = tableOf(bench, rows)
      const value = await entryValue(bench, record)
      assert.deepEqual(await bench.playOn(record, 4), { status: 'accepted' })
      const bytes = runOf(bench).files.get(value.path as string)!
      assert.deepEqual([sha256(bytes), bytes.length], [value.sha256, value.size])
      assert.ok(runOf(bench).uploaded.includes(value.path as string))
      const files = await runFilesOf(record, bench.run)
      assert.ok(!('refused' in files))
      assert.deepEqual(
        [files[0]!.path, files[0]!.sha256, files[0]!.bytes],
        [value.path, value.sha256, value.size],
      )
      const [, , clientId, ...path] = (value.artifact_path as string).split('/')
      const collection = bench.collection('run-r1-evalpreds-vRiubQ')
      const [version, ...others] = collection.versions
      assert.deepEqual(others, [])
      assert.deepEqual(
        [collection.type, version!.state, version!.clientId, version!.historyStep],
        ['run_table', 'COMMITTED', clientId, 7],
      )
      const file = version!.manifest!.contents[path.join('/')]!
      const content = bench.standIn.store.blob(version!.id, file.digest)!.content!
      const stored = JSON.parse(content.toString()) as Record<string, unknown>
      assert.deepEqual([stored._type, stored.ncols, stored.nrows], ['table', 3, rows])
      assert.deepEqual((stored.data as unknown[]).length, rows)
      const folder = join(bench.folder, 'wandb')
      assert.deepEqual(existsSync(folder) ? readdirSync(folder) : [], [])
    })
  })
}

test('a table comes to the same end whatever befalls a request, and after a restart', async () => {
  await withBench(async (bench) => {
    const faults = [
      { kind: 'lostAnswer' },
      { kind: 'cut' },
      { kind: 'answer', status: 503, body: '' },
    ] as const
    const calls = [
      isPut,
      ...['CreateRunFiles', 'CreateArtifact', 'CreateArtifactFiles', 'CommitArtifact'].map(isCall),
    ]
    let seq = 10
    for (const fault of faults) {
      for (const matches of calls) {
        const record = tableOf(bench, 10 + seq, `t${seq}`)
        bench.standIn.failNext(fault, matches)
        const first = await bench.play(record, seq)
        assert.equal(first.answer.status, 'retry')
        await bench.restart()
        const again = await bench.play(record, seq, first.saved)
        assert.deepEqual(again.answer, { status: 'accepted' })
        const committed = bench
          .collection(`run-r1-t${seq}`)
          .versions.filter(({ state }) => state === 'COMMITTED')
        assert.equal(committed.length, 1)
        seq++
      }
    }
  })
})

test('a table whose blob is gone costs itself', async () => {
  await withBench(async (bench) => {
    const record = tableOf(bench, 5)
    assert.ok(record.kind === 'table')
    rmSync(blobPath(bench.folder, record.table.digest))
    const { answer } = await bench.play(record, 4)
    assert.equal(answer.status, 'split')
    assert.equal('code' in answer && answer.code, 'ERR_BLOB')
  })
})

test('figures go as Plotly has them, or as images', async () => {
  await withBench(async (bench) => {
    const plot = '{"data":[{"type":"bar","y":[1,null]}],"layout":{"title":"ü"}}'
    const figure = { kind: 'figure', name: 'plot', ...place } as const
    const plotly = { ...figure, figure: storeBlob(bench.folder, plot, PLOTLY_TYPE) }
    const image = { ...figure, figure: storeBlob(bench.folder, 'PNG', 'image/png'), width: 3, height: 2 }
    const [one, other] = [await entryValue(bench, plotly), await entryValue(bench, image)]
    const digest = plotly.figure.digest
    assert.deepEqual(one, {
      ...{ _type: 'plotly-file', sha256: digest, size: Buffer.byteLength(plot) },
      path: `media/plotly/plot_7_${digest.slice(0, 20)}.plotly.json`,
    })
    assert.deepEqual([other._type, other.width, other.height, other.format], ['image-file', 3, 2, 'png'])
    for (const [seq, record] of [plotly, image].entries())
      assert.deepEqual(await bench.playOn(record, seq), { status: 'accepted' })
    assert.equal(
      runOf(bench)
        .files.get(one.path as string)
        ?.toString(),
      plot,
    )
    assert.equal(
      runOf(bench)
        .files.get(other.path as string)
        ?.toString(),
      'PNG',
    )
  })
})

test('files of a run go under their own paths, many in a call, and never in the place of what W&B keeps', async () => {
  await withBench(async (bench) => {
    const odd = { 'output.log': 'mine', 'output_.log': 'as well', 'deep/output.log': 'there', 'ü b#c?': '' }
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`many/${at}`, `file ${at}`]))
    const files = bench.files({ ...odd, ...many })
    const record: RunRecord = { kind: 'files', time: 1, files, bytes: 0 }
    assert.deepEqual(await bench.playOn(record, 4), { status: 'accepted' })
    const stored = Object.fromEntries(
      [...runOf(bench).files].map(([path, bytes]) => [path, bytes.toString()]),
    )
    assert.deepEqual(stored, {
      ...{ 'output_.log': 'mine', 'output__.log': 'as well', 'deep/output.log': 'there', 'ü b#c?': '' },
      ...many,
    })
    assert.ok(bench.calls('CreateRunFiles') <= 6, `${bench.calls('CreateRunFiles')} calls`)
    assert.deepEqual([...new Set(runOf(bench).uploaded)].sort(), Object.keys(stored).sort())
    const again = await runFilesOf(record, bench.run)
    assert.ok(!('refused' in again))
    assert.deepEqual(again.map(({ path }) => path).sort(), Object.keys(stored).sort())
  })
})
