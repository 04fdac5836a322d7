/**
 * One of everything that is no scalar, as TensorBoard's `EventAccumulator` reads it and as the plugins of a real
 * `tensorboard --logdir` answer their dashboards, by both of its loaders.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { SummaryWriter, startLogging } from '../../src/index.ts'
import { decodePng } from '../decode-png.ts'
import { peerPython } from './python.ts'
import { RunOnServer, readMedia } from './tensorboard-reading.ts'
import { type Loader, startTensorBoard } from './tensorboard-server.ts'

const TIME = 1_764_000_000_500
/** Of each format as much as says what it is; nobody here draws them. */
const PNG = Buffer.from(`89504e470d0a1a0a0000000d494844520000000500000004${'00'.repeat(60)}`, 'hex')
const GIF = Buffer.from(`GIF89a${'x'.repeat(20)}`)
const WEBP = Buffer.from(`RIFF0000WEBPVP8 ${'y'.repeat(20)}`)
const JPEG = Buffer.from(`ffd8ffe0${'01'.repeat(20)}`, 'hex')
const FIGURE = { data: [{ type: 'scatter', y: [1, 2] }], layout: { title: 'plot' } }
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
  const folder = await write(logDir)
  const read = await readMedia(python, folder)
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
    const [, blob] = /`(blobs\/[^`]+)`/.exec(texts('plot')[0]!)!
    assert.deepEqual(JSON.parse(readFileSync(join(folder, blob!), 'utf8')), FIGURE)
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
      const run = new RunOnServer(server, relative(logDir, folder))
      await run.loaded()
      assert.deepEqual(await run.tags('histograms'), ['loss [%histograms]', 'values', 'weights'])
      assert.deepEqual(await run.tags('images'), ['drawn', 'pixels', 'samples'])
      assert.deepEqual(await run.tags('pr_curves'), ['eval/pr'])
      assert.deepEqual(await run.tags('scalars'), ['hparam/acc', 'loss'])
      assert.deepEqual(await run.scalars('loss'), [
        [0, 0.5],
        [1, 0.25],
      ])
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
      assert.deepEqual(await run.histograms('values'), [[1, bins([1, 3, 5], [2, 2])]])
      const [[, pixels]] = (await run.images('pixels')) as [[number, string]]
      const { width, height, channels, data } = decodePng(Buffer.from(pixels, 'hex'))
      assert.deepEqual([width, height, channels, ...data], [2, 2, 1, 0, 51, 102, 255])
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
        metrics: { 'hparam/acc': 0.75, loss: 0.25 },
        status: 'STATUS_SUCCESS',
      })
    })
  }
})

/** @returns the run's folder */
async function write(dir: string): Promise<string> {
  const issues: string[] = []
  const run = startLogging({
    backend: 'tensorboard',
    dir,
    runId: 'everything',
    onIssue: ({ code, message }) => issues.push(`${code} ${message}`),
  })
  const writer = new SummaryWriter(run)
  const wall = TIME / 1000
  writer.addScalar('loss', 0.5, 0, wall)
  writer.addScalar('loss', 0.25, 1, wall)
  writer.addHparams({ lr: 0.1, model: 'wide', adam: true }, { 'hparam/acc': 0.75 })
  run.setNotes('# Notes')
  run.logHistogram(
    'weights',
    { edges: [-0.1, 0, 0.3, 3.7], counts: [2, 0, 5], sum: 2.25, sumSquares: 9.5 },
    { step: 1, time: TIME },
  )
  writer.addHistogramRaw('weights', -1, 9, 4, 4, 10, [0, 1, 2, 3, 9], [0, 3, 0, 1, 0], 5, wall)
  run.logHistogram('weights', { edges: [1e9, 1e9 + 1, 1e9 + 2], counts: [1, 2] }, { step: 7, time: TIME })
  writer.addHistogram('values', Float32Array.of(1, 2, 3, 5), 1, 2, wall)
  writer.addHistogram('loss', [0, 1], 1, 1, wall)
  writer.addImage('samples', PNG, 1, wall)
  writer.addImages('samples', [PNG, GIF, WEBP, JPEG], 2, wall)
  writer.addImage('pixels', { data: Float32Array.of(0, 0.2, 0.4, 1), shape: [1, 2, 2] }, 1, wall)
  writer.addFigure('drawn', JPEG, 3, wall)
  writer.addFigure('plot', FIGURE, 3, wall)
  writer.addText('said', '**bold**\0 <script>', 1, wall)
  writer.addText('said', LONG, 2, wall)
  run.logTable('cells', { columns: ['na|me', 'sa_id_'], data: CELLS }, { step: 1, time: TIME })
  writer.addPrCurve('eval/pr', [1, 1, 0, 0, 0], [0.7, 0.5, 0.7, 0.2, 0.1], 2, 4, undefined, wall)
  const { destinations } = await run.finish()
  const { rejected, filtered, pending } = destinations.tensorboard!.records
  assert.deepEqual({ rejected, filtered, pending }, { rejected: 0, filtered: 0, pending: 0 })
  assert.deepEqual(
    issues.map((issue) => /^ERR_MAPPED .*('loss' was logged as two kinds|no Plotly)/.exec(issue)?.[1]),
    ["'loss' was logged as two kinds", 'no Plotly'],
    issues.join('\n'),
  )
  return run.info.folder
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

function hex(bytes: Buffer | string): string {
  return Buffer.from(bytes as string).toString('hex')
}
