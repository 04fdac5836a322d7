/**
 * One of everything that is no scalar, as TensorBoard's `EventAccumulator` reads it and as the plugins of a real
 * `tensorboard --logdir` answer their dashboards, by both of its loaders.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { blobPath } from '../../src/core/blob-path.ts'
import { PLOTLY_TYPE } from '../../src/core/media-types.ts'
import type { BlobRef, RunInfo, RunRecord } from '../../src/core/types.ts'
import { tensorboard } from '../../src/sinks/tensorboard/sink.ts'
import { batchOf } from '../sinks/tensorboard/batch.ts'
import { peerPython } from './python.ts'
import { RunOnServer, readMedia } from './tensorboard-reading.ts'
import { type Loader, startTensorBoard } from './tensorboard-server.ts'

const never = new AbortController().signal
const TIME = 1_764_000_000_500
const PNG = Buffer.from(`89504e470d0a1a0a${'00'.repeat(60)}`, 'hex')
const GIF = Buffer.from(`GIF89a${'x'.repeat(20)}`)
const WEBP = Buffer.from(`RIFF0000WEBPVP8 ${'y'.repeat(20)}`)
const JPEG = Buffer.from(`ffd8ffe0${'01'.repeat(20)}`, 'hex')
const LONG = `# Long\n\n${'Grüße 🎯 '.repeat(4000)}`
const CELLS = [
  ['a|b', '*x* _y_ `z`'],
  ['<b>&amp;</b>', '[l](http://x) \\| ~'],
  ['two\nlines', null],
  ['', { k: [1.5, 'NaN'] }],
]

test("every kind of record is what was logged in TensorBoard's readers and on its dashboards", async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const logDir = mkdtempSync(join(tmpdir(), 'tracelet-tensorboard-'))
  context.after(() => rmSync(logDir, { recursive: true, force: true }))
  await write(join(logDir, 'everything'))
  const read = await readMedia(python, join(logDir, 'everything'))
  const wallSeconds = TIME / 1000

  await context.test('EventAccumulator', () => {
    const { min, limits, counts } = read.histograms.weights![0]!
    assert.deepEqual([min, ...limits], [-0.1, 0, 0.3, 3.7])
    assert.deepEqual(counts, [2, 0, 5])
    assert.deepEqual(
      read.histograms.weights!.map(({ step, num, sum, sumSquares }) => [step, num, sum, sumSquares]),
      [
        [1, 7, 2.25, 9.5],
        [5, 4, 4, 10],
      ],
    )
    assert.deepEqual(read.histograms.weights![1]!.limits, [1, 2, 3])
    assert.deepEqual(read.tensors.weights, [
      {
        step: 7,
        wallSeconds,
        value: [
          [1e9, 1e9 + 1, 1],
          [1e9 + 1, 1e9 + 2, 2],
        ],
      },
    ])
    assert.deepEqual(read.images.samples, [
      { step: 1, wallSeconds, width: 5, height: 4, bytes: PNG.toString('hex') },
    ])
    assert.deepEqual(read.tensors.samples, [
      { step: 2, wallSeconds, value: [hex('5'), hex('4'), ...[PNG, GIF, WEBP, JPEG].map(hex)] },
    ])
    assert.deepEqual(read.images.drawn, [
      { step: 3, wallSeconds, width: 0, height: 0, bytes: JPEG.toString('hex') },
    ])
    const texts = (tag: string) =>
      read.tensors[tag]!.map(({ value }) => Buffer.from(String(value), 'hex').toString())
    assert.deepEqual(texts('said'), ['**bold**\0 <script>', LONG])
    assert.deepEqual(texts('tracelet/notes'), ['# Notes'])
    assert.match(texts('plot')[0]!, new RegExp(`blobs/../${digestOf(Buffer.from('{"data":[]}'))}`))
    const curve = read.tensors['eval/pr']![0]!.value as number[][]
    assert.deepEqual(curve.slice(0, 4), [
      [2, 2, 1, 0],
      [3, 1, 1, 0],
      [0, 2, 2, 3],
      [0, 0, 1, 2],
    ])
    assert.deepEqual(
      curve.slice(4),
      [
        [2 / 5, 2 / 3, 1 / 2, 0],
        [1, 1, 1 / 2, 0],
      ].map((row) => row.map(Math.fround)),
    )
  })

  for (const loader of ['fast', 'slow'] as const satisfies Loader[]) {
    await context.test(`tensorboard, loader ${loader}`, async (inner) => {
      const server = await startTensorBoard(python, logDir, loader)
      inner.after(() => server.stop())
      const run = new RunOnServer(server, 'everything')
      await run.loaded()
      assert.deepEqual(await run.tags('histograms'), ['loss [%histograms]', 'weights'])
      assert.deepEqual(await run.tags('images'), ['drawn', 'samples'])
      assert.deepEqual(await run.tags('pr_curves'), ['eval/pr'])
      assert.deepEqual(await run.tags('scalars'), ['loss'])
      assert.deepEqual(await run.tags('text'), [
        'cells',
        'plot',
        'said',
        'tracelet/notes',
        'tracelet/params',
        'tracelet/state',
      ])

      // The slow one shows edges in float32.
      const shown = loader === 'fast' ? (edge: number) => edge : Math.fround
      const bins = (edges: number[], counts: number[]) =>
        counts.map((count, bin) => [shown(edges[bin]!), shown(edges[bin + 1]!), count])
      assert.deepEqual(await run.histograms('weights'), [
        [1, bins([-0.1, 0, 0.3, 3.7], [2, 0, 5])],
        [5, bins([0, 1, 2, 3], [3, 0, 1])],
        [
          7,
          [
            [1e9, 1e9 + 1, 1],
            [1e9 + 1, 1e9 + 2, 2],
          ],
        ],
      ])
      assert.deepEqual(await run.images('samples', 0), [
        [1, hex(PNG)],
        [2, hex(PNG)],
      ])
      for (const [sample, bytes] of [PNG, GIF, WEBP, JPEG].entries()) {
        assert.deepEqual((await run.images('samples', sample)).at(-1), [2, hex(bytes)])
      }
      assert.deepEqual(await run.images('drawn'), [[3, hex(JPEG)]])
      assert.deepEqual((await run.texts('said'))[0], [
        1,
        '<!-- WARNING: discarded 1 null bytes in markdown string after UTF-8 decoding -->\n<p><strong>bold</strong> &lt;script&gt;</p>',
      ])
      const [, html] = (await run.texts('cells'))[0]!
      assert.deepEqual(cellsOf(html), [
        ['na|me', 'sa_id_'],
        ['a|b', '*x* _y_ `z`'],
        ['<b>&amp;</b>', '[l](http://x) \\| ~'],
        ['two\nlines', ''],
        ['', '{"k":[1.5,"NaN"]}'],
      ])
      const [curve] = await run.prCurves('eval/pr')
      assert.deepEqual(curve!.true_positives, [2, 2, 1])
      assert.deepEqual(curve!.precision, [2 / 5, 2 / 3, 1 / 2].map(Math.fround))
      assert.deepEqual(curve!.recall, [1, 1, 1 / 2])
      assert.deepEqual(await run.hparams(), {
        hparams: { lr: 0.1, model: 'wide', adam: true },
        metrics: { loss: 0.25 },
        status: 'STATUS_SUCCESS',
      })
    })
  }
})

async function write(folder: string): Promise<void> {
  mkdirSync(folder)
  const run: RunInfo = {
    id: 'everything',
    name: 'everything',
    project: 'vision',
    experiment: 'resnet',
    createdAt: TIME,
    nonce: 'nonce',
    folder,
  }
  const blob = (bytes: Buffer, type: string): BlobRef => {
    const digest = digestOf(bytes)
    mkdirSync(dirname(blobPath(folder, digest)), { recursive: true })
    writeFileSync(blobPath(folder, digest), bytes)
    return { digest, bytes: bytes.length, type }
  }
  const image = (bytes: Buffer, type: string) => ({ image: blob(bytes, type), width: 5, height: 4 })
  const at = (name: string, step: number) => ({ name, step, time: TIME })
  const table = Buffer.from(JSON.stringify({ columns: ['na|me', 'sa_id_'], data: CELLS }))
  const records: RunRecord[] = [
    { kind: 'params', params: { lr: 0.1, model: 'wide', adam: true } },
    { kind: 'notes', notes: '# Notes' },
    {
      ...at('weights', 1),
      kind: 'histogram',
      edges: Float64Array.of(-0.1, 0, 0.3, 3.7),
      counts: Float64Array.of(2, 0, 5),
      sum: 2.25,
      sumSquares: 9.5,
    },
    {
      ...at('weights', 5),
      kind: 'histogram',
      edges: Float64Array.of(-1, 0, 1, 2, 3, 9),
      counts: Float64Array.of(0, 3, 0, 1, 0),
      sum: 4,
      sumSquares: 10,
    },
    {
      ...at('weights', 7),
      kind: 'histogram',
      edges: Float64Array.of(1e9, 1e9 + 1, 1e9 + 2),
      counts: Float64Array.of(1, 2),
    },
    { ...at('loss', 1), kind: 'histogram', edges: Float64Array.of(0, 1), counts: Float64Array.of(1) },
    { ...at('samples', 1), kind: 'images', images: [image(PNG, 'image/png')] },
    {
      ...at('samples', 2),
      kind: 'images',
      images: [
        image(PNG, 'image/png'),
        image(GIF, 'image/gif'),
        image(WEBP, 'image/webp'),
        image(JPEG, 'image/jpeg'),
      ],
    },
    { ...at('drawn', 3), kind: 'figure', figure: blob(JPEG, 'image/jpeg') },
    { ...at('plot', 3), kind: 'figure', figure: blob(Buffer.from('{"data":[]}'), PLOTLY_TYPE) },
    { ...at('said', 1), kind: 'text', text: '**bold**\0 <script>' },
    { ...at('said', 2), kind: 'text', text: blob(Buffer.from(LONG), 'text/markdown') },
    { ...at('cells', 1), kind: 'table', table: blob(table, 'application/json'), columns: 2, rows: 4 },
    {
      ...at('eval/pr', 2),
      kind: 'prCurve',
      truePositives: Float64Array.of(2, 2, 1, 0),
      falsePositives: Float64Array.of(3, 1, 1, 0),
      trueNegatives: Float64Array.of(0, 2, 2, 3),
      falseNegatives: Float64Array.of(0, 0, 1, 2),
    },
    { kind: 'state', state: 'finished', time: TIME + 1000 },
  ]
  const sink = tensorboard.create({ run, options: { logDir: undefined }, notice: () => {} })
  assert.equal((await sink.open(undefined, never)).status, 'ready')
  const points = [0.5, 0.25].map((value, step) => ({ name: 'loss', step, time: TIME, value }))
  assert.equal((await sink.write(batchOf(points), never)).status, 'accepted')
  for (const [seq, record] of records.entries()) {
    assert.equal((await sink.writeRecord(record, seq, never)).status, 'accepted')
  }
  await sink.close()
}

/** Texts of a table's cells, as a browser shows them. */
function cellsOf(html: string): string[][] {
  return [...html.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row!.matchAll(/<t[hd]>(.*?)<\/t[hd]>/gs)].map(([, cell]) =>
      cell!
        .replaceAll('<br>', '\n')
        .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
        .replaceAll('&lt;', '<')
        .replaceAll('&gt;', '>'),
    ),
  )
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function hex(bytes: Buffer | string): string {
  return Buffer.from(bytes as string).toString('hex')
}
