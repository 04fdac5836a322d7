/** TensorBoard's calls through a run, read back from its journal and folder. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { PLOTLY_TYPE } from '../../src/core/media-types.ts'
import { SummaryWriter, startLogging, TraceletError } from '../../src/index.ts'
import { decodePng } from '../decode-png.ts'
import { readJournal } from './journaled.ts'
import { bytesOf, recordsOf, unaccounted } from './media/kept.ts'
import { temporaryFolder } from './program.ts'

function start(context: TestContext): {
  writer: SummaryWriter
  told: string[]
  /** The run's folder, with everything in it. */
  close: () => Promise<string>
} {
  const told: string[] = []
  const onIssue = ({ code, message }: { code: string; message: string }) => told.push(`${code} ${message}`)
  const writer = new SummaryWriter({ backend: 'local', dir: temporaryFolder(context), onIssue })
  context.after(() => writer.close())
  const close = async () => {
    const stats = await writer.close()
    assert.deepEqual([unaccounted(stats), stats.records.lost], [0, 0])
    return writer.getLogdir()
  }
  return { writer, told, close }
}

test('scalars have the step of their tag where none is given, and wall times in seconds', async (context) => {
  const { writer, told, close } = start(context)
  writer.addScalar('loss', 0.5)
  writer.addScalar('acc', 0.1)
  writer.addScalar('loss', 0.25)
  writer.addScalar('loss', 0.125, 10, 1_700_000_000.5)
  writer.addScalars('both', { a: 1, b: 2 }, 3, 1_700_000_001)
  writer.addHparams({ lr: 0.1, nested: { deep: true } }, { 'hparam/acc': 0.9 })
  const { points, params } = readJournal(await close())
  const placed = (name: string) => points.get(name)!.map(({ step, value }) => [step, value])
  assert.deepEqual(placed('loss'), [
    [0, 0.5],
    [1, 0.25],
    [10, 0.125],
  ])
  assert.equal(points.get('loss')![2]!.time, 1_700_000_000_500)
  assert.deepEqual(placed('acc'), [[0, 0.1]])
  assert.deepEqual(
    [...placed('both/a'), ...placed('both/b')],
    [
      [3, 1],
      [3, 2],
    ],
  )
  assert.deepEqual(placed('hparam/acc'), [[0, 0.9]])
  assert.deepEqual(params, { lr: 0.1, 'nested.deep': true })
  assert.deepEqual(told, [])
})

test('histograms are binned, or taken as they were counted', async (context) => {
  const { writer, told, close } = start(context)
  writer.addHistogram('w', [0, 1, 2, 4], undefined, 4)
  writer.addHistogram('w', { edges: [0, 1], counts: [3] }, undefined, undefined, 1_700_000_000)
  // As PyTorch's own add_histogram makes them: an empty bucket ends at the first edge.
  writer.addHistogramRaw('raw', 0.5, 2.5, 3, 4.5, 9.25, [0.5, 1, 2, 3], [0, 1, 1, 1], 5)
  // As TensorFlow makes them: from and to the greatest double.
  const limits = [-1, 0, 1, 2, Number.MAX_VALUE]
  writer.addHistogramRaw('raw', 0.25, 7, 2, 7.25, 49.0625, limits, [0, 0, 1, 0, 1], 6)
  const folder = await close()
  const records = recordsOf(folder, 'histogram').map(({ kind: _, time: __, ...rest }) => rest)
  assert.deepEqual(records, [
    {
      name: 'w',
      step: 0,
      edges: Float64Array.of(0, 1, 2, 3, 4),
      counts: Float64Array.of(1, 1, 1, 1),
      sum: 7,
      sumSquares: 21,
    },
    { name: 'w', step: 1, edges: Float64Array.of(0, 1), counts: Float64Array.of(3) },
    {
      name: 'raw',
      step: 5,
      edges: Float64Array.of(0.5, 1, 2, 2.5),
      counts: Float64Array.of(1, 1, 1),
      sum: 4.5,
      sumSquares: 9.25,
    },
    {
      name: 'raw',
      step: 6,
      edges: Float64Array.of(0.25, 1, 2, 7),
      counts: Float64Array.of(1, 0, 1),
      sum: 7.25,
      sumSquares: 49.0625,
    },
  ])
  assert.equal(recordsOf(folder, 'histogram')[1]!.time, 1_700_000_000_000)
  assert.deepEqual(told, [])
})

test('images have their channels first where nothing else is said, and batches are images of their own', async (context) => {
  const { writer, told, close } = start(context)
  const planar = Uint8Array.from({ length: 12 }, (_, index) => index)
  const pixels = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
  writer.addImage('i', { data: planar, shape: [3, 2, 2] }, 1)
  writer.addImage('i', { data: Uint8Array.from(pixels), shape: [2, 2, 3] }, 2, undefined, 'HWC')
  writer.addImage('i', { data: Uint8Array.from(pixels), shape: [2, 2, 3], dataFormat: 'HWC' }, 3)
  writer.addImage('i', { data: planar, shape: [3, 4] }, 4)
  writer.addImages('n', { data: Uint8Array.of(...planar, ...planar), shape: [2, 3, 2, 2] }, 5)
  writer.addImages('n', { data: planar, shape: [2, 1, 2, 3] }, 6, undefined, 'NHWC')
  writer.addImages('n', { data: planar, shape: [3, 2, 2] }, 7, undefined, 'NHW')
  writer.addImages(
    'n',
    [
      { data: planar, shape: [3, 2, 2] },
      { data: planar, shape: [3, 4] },
    ],
    8,
  )
  const folder = await close()
  const records = recordsOf(folder, 'images').sort((a, b) => a.step - b.step)
  const drawn = records.map(({ step, images }) => [
    step,
    ...images.map(({ image }) => {
      const { height, width, channels, data } = decodePng(bytesOf(folder, image))
      return [height, width, channels, ...data]
    }),
  ])
  assert.deepEqual(drawn, [
    [1, [2, 2, 3, ...pixels]],
    [2, [2, 2, 3, ...pixels]],
    [3, [2, 2, 3, ...pixels]],
    [4, [3, 4, 1, ...planar]],
    [5, [2, 2, 3, ...pixels], [2, 2, 3, ...pixels]],
    [6, [1, 2, 3, 0, 1, 2, 3, 4, 5], [1, 2, 3, 6, 7, 8, 9, 10, 11]],
    [7, [2, 2, 1, 0, 1, 2, 3], [2, 2, 1, 4, 5, 6, 7], [2, 2, 1, 8, 9, 10, 11]],
    [8, [2, 2, 3, ...pixels], [3, 4, 1, ...planar]],
  ])
  assert.deepEqual(told, [])
})

test('texts, figures and PR curves stand at their step and time', async (context) => {
  const { writer, told, close } = start(context)
  writer.addText('t', '**a**', 4, 1_700_000_000)
  writer.addFigure('f', { data: [{ y: [1, 2] }] }, 5)
  writer.addPrCurve('p', [1, 0, 1], [0.9, 0.6, 0.2], 6, 3)
  writer.addPrCurveRaw('p', [2, 1], [3, 0], [1, 3], [0, 1], undefined, undefined, 7)
  const folder = await close()
  const [text] = recordsOf(folder, 'text')
  assert.deepEqual(text, { kind: 'text', name: 't', step: 4, time: 1_700_000_000_000, text: '**a**' })
  const [figure] = recordsOf(folder, 'figure')
  assert.deepEqual([figure!.step, figure!.figure.type], [5, PLOTLY_TYPE])
  const curves = recordsOf(folder, 'prCurve').map(
    ({ step, truePositives, falsePositives, trueNegatives, falseNegatives }) => [
      step,
      ...[truePositives, falsePositives, trueNegatives, falseNegatives].map((counts) => [...counts]),
    ],
  )
  assert.deepEqual(curves, [
    [6, [2, 1, 0], [1, 1, 0], [0, 0, 1], [0, 1, 2]],
    [7, [2, 1], [3, 0], [1, 3], [0, 1]],
  ])
  assert.deepEqual(told, [])
})

test('bad data is reported, never thrown', async (context) => {
  const { writer, told, close } = start(context)
  const bad = null as never
  const calls: (() => void)[] = [
    () => writer.addScalars('a', bad),
    () => writer.addHistogram('b', bad),
    () => writer.addHistogramRaw('c', 0, 1, 1, 1, 1, bad, bad),
    () => writer.addHistogramRaw('d', 0, 1, 1, 1, 1, [1, 2], [1]),
    () => writer.addHistogramRaw('d', 0, 1, 1, bad, 1, [1], [1]),
    () => writer.addImage('e', bad),
    () => writer.addImage('f', { data: Uint8Array.of(1), shape: bad }),
    () => writer.addImages('g', bad),
    () => writer.addImages('h', { data: bad, shape: [1] }),
    () => writer.addImages('i', { data: Uint8Array.of(1, 2, 3), shape: [2, 1, 1, 1] }),
    () => writer.addImages('j', { data: Uint8Array.of(1), shape: [1e9, 1, 1, 1] }),
    () => writer.addText('k', bad),
    () => writer.addFigure('l', bad),
    () => writer.addPrCurve('m', bad, bad),
    () => writer.addPrCurveRaw('n', bad, bad, bad, bad),
    () => writer.addPrCurveRaw('o', [1, 2], [1, 2], [1, 2], [1]),
    () => writer.addText('p', 'q', 0.5),
    () => writer.addText('p', 'q', 1, Number.NaN),
    () => writer.addHparams(bad, {}),
  ]
  for (const [index, call] of calls.entries()) {
    const before = told.length
    call()
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(told.length > before, `call ${index} told nothing`)
    assert.match(told.at(-1)!, /^ERR_(VALUE|STEP|TIME) /)
  }
  const { records, count } = readJournal(await close())
  assert.equal(count, 0)
  assert.deepEqual(
    records.filter(({ kind }) => kind !== 'state'),
    [],
  )
})

test('null stands for a step or time that is not given', async (context) => {
  const { writer, told, close } = start(context)
  const none = null as never
  const since = Date.now()
  writer.addScalar('a', 1, none, none)
  writer.addHistogram('h', [1], none, none, none)
  const { points } = readJournal(await close())
  const { step, time } = points.get('a')![0]!
  assert.equal(step, 0)
  assert.ok(time >= since - 1000)
  assert.deepEqual(told, [])
})

test('what tracelet does not do is said by an error that names what does', async (context) => {
  const { writer, close } = start(context)
  const calls = [
    'addImageWithBoxes',
    'addAudio',
    'addVideo',
    'addMesh',
    'addEmbedding',
    'addGraph',
    'addOnnxGraph',
    'addTensor',
    'addCustomScalars',
  ] as const
  for (const call of calls) {
    assert.throws(
      () => writer[call]('tag', {}),
      (error) =>
        error instanceof TraceletError &&
        error.code === 'ERR_UNSUPPORTED' &&
        error.message.startsWith(`tracelet has no ${call}(): `),
    )
  }
  await close()
})

test('a writer over a run leaves it to its owner', async (context) => {
  const run = startLogging({ backend: 'local', dir: temporaryFolder(context) })
  context.after(() => run.finish())
  const writers = [new SummaryWriter(run), new SummaryWriter()]
  for (const writer of writers) {
    assert.equal(writer.run, run)
    writer.addScalar('a', 1)
    await writer.close()
  }
  run.log({ a: 2 })
  const stats = await run.finish()
  assert.deepEqual([stats.accepted, stats.journaled, stats.late], [3, 3, 0])
})
