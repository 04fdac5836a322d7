/** One of everything through the API, read back from the journal and the run's folder. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { PLOTLY_TYPE } from '../../../src/core/media-types.ts'
import { type ImageInput, type Run, type StartOptions, startLogging } from '../../../src/index.ts'
import { decodePng } from '../../decode-png.ts'
import { temporaryFolder } from '../program.ts'
import { bytesOf, recordsOf, unaccounted } from './kept.ts'

interface Told {
  readonly code: string
  readonly message: string
}

function start(context: TestContext, options: StartOptions = {}): { run: Run; told: Told[] } {
  const told: Told[] = []
  const dir = temporaryFolder(context)
  const run = startLogging({ backend: 'local', dir, onIssue: (issue) => told.push(issue), ...options })
  context.after(() => run.finish())
  return { run, told }
}

/** Finishes the run: nothing refused, everything accounted for. */
async function finished(run: Run): Promise<string> {
  const stats = await run.finish()
  assert.deepEqual([unaccounted(stats), stats.records.lost, stats.records.parked], [0, 0, 0])
  return run.info.folder
}

test('texts of any length arrive as they were', async (context) => {
  const { run, told } = start(context)
  const texts = ['', 'short', 'ünï\u0000\n😀', 'x'.repeat(20_000), `${'long 😀'.repeat(200_000)}end`]
  for (const text of texts) run.logText('sample', text)
  const folder = await finished(run)
  const records = recordsOf(folder, 'text').sort((a, b) => a.step - b.step)
  const read = records.map(({ text }) => (typeof text === 'string' ? text : bytesOf(folder, text).toString()))
  assert.deepEqual(read, texts)
  assert.deepEqual(
    records.map(({ name, step }) => [name, step]),
    texts.map((_, step) => ['sample', step]),
  )
  assert.deepEqual(
    records.map(({ text }) => typeof text),
    ['string', 'string', 'string', 'string', 'object'],
  )
  assert.deepEqual(told, [])
})

test('pixels become a PNG of the same pixels, whatever their layout', async (context) => {
  const { run, told } = start(context)
  const grey = Uint8Array.of(0, 50, 100, 150, 200, 250)
  run.logImage('i', { data: grey, shape: [2, 3] }, { step: 5, time: 1000, caption: 'grey' })
  const planar = Uint8ClampedArray.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
  run.logImage('i', { data: planar, shape: [3, 2, 2], dataFormat: 'CHW', caption: 'colour' }, { step: 6 })
  run.logImage('i', { data: Float32Array.of(0, 0.2, 0.4, 1), shape: [1, 1, 4] }, { step: 7 })
  const folder = await finished(run)
  const records = recordsOf(folder, 'images')
  const drawn = records.map(({ images }) => decodePng(bytesOf(folder, images[0]!.image)))
  assert.deepEqual(
    drawn.map(({ width, height, channels, data }) => [width, height, channels, [...data]]),
    [
      [3, 2, 1, [...grey]],
      [2, 2, 3, [1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 12]],
      [1, 1, 4, [0, 51, 102, 255]],
    ],
  )
  assert.deepEqual(
    records.map(({ step, images: [image] }) => [step, image!.width, image!.height, image!.caption]),
    [
      [5, 3, 2, 'grey'],
      [6, 2, 2, 'colour'],
      [7, 1, 1, undefined],
    ],
  )
  assert.equal(records[0]!.time, 1000)
  assert.equal(records[0]!.images[0]!.image.type, 'image/png')
  assert.deepEqual(told, [])
})

test('encoded images are kept byte by byte, with the size that their header tells', async (context) => {
  const { run, told } = start(context)
  const gif = Buffer.from('474946383961030002009100', 'hex')
  const jpeg = Buffer.from('ffd8ffe000104a46494600010100000100010000ffc0001108000500070301', 'hex')
  const lossy = Buffer.from('52494646240000005745425056503820180000003001009d012a0b000d00', 'hex')
  const lossless = Buffer.from('5249464600000000574542505650384c000000002f04c00100ffffffffffff', 'hex')
  const extended = Buffer.from('524946460000000057454250565038580a00000000000000630000c70000', 'hex')
  const all: ImageInput[] = [gif, { bytes: jpeg, caption: 'j' }, lossy, lossless, extended]
  run.logImages('batch', all)
  const folder = await finished(run)
  const [record] = recordsOf(folder, 'images')
  assert.deepEqual(
    record!.images.map(({ image, width, height, caption }) => [image.type, width, height, caption]),
    [
      ['image/gif', 3, 2, undefined],
      ['image/jpeg', 7, 5, 'j'],
      ['image/webp', 11, 13, undefined],
      ['image/webp', 5, 8, undefined],
      ['image/webp', 100, 200, undefined],
    ],
  )
  const kept = record!.images.map(({ image }) => bytesOf(folder, image).toString('hex'))
  assert.deepEqual(
    kept,
    [gif, jpeg, lossy, lossless, extended].map((bytes) => bytes.toString('hex')),
  )
  assert.deepEqual(told, [])
})

test('what is changed after the call is not what was logged', async (context) => {
  const { run } = start(context)
  const data = new Uint8Array(30_000).fill(7)
  const pooled = Buffer.from('474946383961030002009100', 'hex')
  const gif = pooled.toString('hex')
  const own = Uint8Array.from(GIF)
  const row = { a: 1 }
  run.logImage('pixels', { data, shape: [100, 300] })
  run.logImage('encoded', pooled)
  run.logImage('own', own)
  run.logTable('t', [row])
  data.fill(9)
  pooled.fill(9)
  row.a = 2
  assert.deepEqual([data.length, own.length], [30_000, 12], 'the caller keeps its memory')
  const folder = await finished(run)
  const [pixels, encoded] = recordsOf(folder, 'images').map(({ images }) => bytesOf(folder, images[0]!.image))
  assert.ok(decodePng(pixels!).data.every((value) => value === 7))
  assert.equal(encoded!.toString('hex'), gif)
  assert.deepEqual(JSON.parse(bytesOf(folder, recordsOf(folder, 'table')[0]!.table).toString()).data, [[1]])
})

test('tables keep what JSON has no word for as text', async (context) => {
  const { run, told } = start(context)
  const date = new Date(Date.UTC(2026, 0, 2, 3, 4, 5))
  run.logTable('t', [
    { a: 1, b: Number.NaN, 'ü 😀': null },
    { b: -Infinity, c: 10n ** 30n, a: undefined },
    { d: date, e: { list: [1, Number.NaN, 2n], typed: new Float32Array([0.5]) }, a: true },
  ])
  run.logTable('u', {
    columns: ['x', 'y'],
    data: [
      [1, 'two'],
      [3, 'four'],
    ],
  })
  run.logTable('empty', [])
  const folder = await finished(run)
  const records = recordsOf(folder, 'table')
  assert.deepEqual(
    records.map(({ table }) => JSON.parse(bytesOf(folder, table).toString())),
    [
      {
        columns: ['a', 'b', 'ü 😀', 'c', 'd', 'e'],
        data: [
          [1, 'NaN', null, null, null, null],
          [null, '-Infinity', null, '1000000000000000000000000000000', null, null],
          [true, null, null, null, '2026-01-02T03:04:05.000Z', { list: [1, 'NaN', '2'], typed: [0.5] }],
        ],
      },
      {
        columns: ['x', 'y'],
        data: [
          [1, 'two'],
          [3, 'four'],
        ],
      },
      { columns: [], data: [] },
    ],
  )
  assert.deepEqual(
    records.map(({ columns, rows }) => [columns, rows]),
    [
      [6, 3],
      [2, 2],
      [0, 0],
    ],
  )
  assert.deepEqual(told, [])
})

test('figures are kept as Plotly’s JSON, typed arrays as plain ones, or as images', async (context) => {
  const { run, told } = start(context)
  const data = [{ x: Float64Array.of(1, 2), y: [1, Number.NaN], type: 'scatter' }]
  run.logFigure('plot', { data, layout: { title: { text: 'ü' } } })
  run.logFigure('bare', { data: [] })
  run.logFigure('drawn', { data: Uint8Array.of(1, 2), shape: [1, 2] })
  const folder = await finished(run)
  const [plot, bare, drawn] = recordsOf(folder, 'figure')
  assert.equal(plot!.figure.type, PLOTLY_TYPE)
  assert.deepEqual(JSON.parse(bytesOf(folder, plot!.figure).toString()), {
    data: [{ x: [1, 2], y: [1, null], type: 'scatter' }],
    layout: { title: { text: 'ü' } },
  })
  assert.deepEqual(JSON.parse(bytesOf(folder, bare!.figure).toString()), { data: [], layout: {} })
  assert.deepEqual([drawn!.figure.type, drawn!.width, drawn!.height], ['image/png', 2, 1])
  assert.deepEqual([...decodePng(bytesOf(folder, drawn!.figure)).data], [1, 2])
  assert.deepEqual(told, [])
})

test('histograms and PR curves arrive, also where the lane is too small for them', async (context) => {
  for (const laneSlots of [256, 65_536]) {
    const { run, told } = start(context, { laneSlots })
    run.logHistogram('h', [1, 2, 3, 4], { bins: 2 })
    run.logHistogram('h', { edges: [0, 1, 3], counts: [5, 6] })
    run.logPrCurve('p', [true, false, 1], [0.9, 0.1, 0.8], { thresholds: 501 })
    const folder = await finished(run)
    const histograms = recordsOf(folder, 'histogram')
    assert.deepEqual(
      histograms.map(({ step, edges, counts, sum, sumSquares }) => [
        step,
        [...edges],
        [...counts],
        sum,
        sumSquares,
      ]),
      [
        [0, [1, 2.5, 4], [2, 2], 10, 30],
        [1, [0, 1, 3], [5, 6], undefined, undefined],
      ],
    )
    const [curve] = recordsOf(folder, 'prCurve')
    assert.equal(curve!.truePositives.length, 501)
    assert.deepEqual([curve!.truePositives[250], curve!.trueNegatives[250]], [2, 1])
    assert.deepEqual(told, [])
  }
})

test('bad input costs itself, with a code', async (context) => {
  const { run, told } = start(context)
  const cases: readonly (readonly [code: string, call: () => void])[] = [
    ['ERR_NAME', () => run.logText('', 'x')],
    ['ERR_NAME', () => run.logText('a\0b', 'x')],
    ['ERR_NAME', () => run.logText(7 as never, 'x')],
    ['ERR_VALUE', () => run.logText('n', 7 as never)],
    ['ERR_STEP', () => run.logText('n', 'x', { step: 0.5 })],
    ['ERR_TIME', () => run.logText('n', 'x', { time: Number.NaN })],
    ['ERR_VALUE', () => run.logText('n', 'x', null as never)],
    ['ERR_VALUE', () => run.logHistogram('n', [])],
    ['ERR_VALUE', () => run.logHistogram('n', null as never)],
    ['ERR_VALUE', () => run.logPrCurve('n', [1], [0.5, 0.6])],
    ['ERR_VALUE', () => run.logImage('n', Buffer.from('not an image'))],
    ['ERR_VALUE', () => run.logImage('n', new Uint8Array(0))],
    ['ERR_VALUE', () => run.logImage('n', null as never, { caption: 'c' })],
    ['ERR_VALUE', () => run.logImage('n', { data: [1, 2, 3] as never, shape: [1, 3] })],
    ['ERR_VALUE', () => run.logImage('n', { data: new Uint8Array(3), shape: [2, 2] })],
    ['ERR_VALUE', () => run.logImage('n', { data: new Uint8Array(3), shape: [3] })],
    ['ERR_VALUE', () => run.logImage('n', { data: new Uint8Array(3), shape: [1, 3], dataFormat: 'HWC' })],
    ['ERR_VALUE', () => run.logImage('n', { data: new Uint8Array(50), shape: [2, 5, 5] })],
    ['ERR_VALUE', () => run.logImage('n', { data: new Uint8Array(0), shape: [0, 3] })],
    ['ERR_VALUE', () => run.logImage('n', { data: new Uint8Array(3), shape: [1, 3], caption: 3 as never })],
    ['ERR_VALUE', () => run.logImages('n', [])],
    ['ERR_VALUE', () => run.logImages('n', 'x' as never)],
    ['ERR_VALUE', () => run.logTable('n', 'x' as never)],
    ['ERR_VALUE', () => run.logTable('n', [1] as never)],
    ['ERR_VALUE', () => run.logTable('n', { columns: ['a'], data: [[1, 2]] })],
    ['ERR_VALUE', () => run.logTable('n', { columns: ['a', 'a'], data: [] })],
    ['ERR_VALUE_TOO_LONG', () => run.logTable('n', { columns: ['a', 'b'], data: new Array(500_001) })],
    ['ERR_VALUE', () => run.logFigure('n', { layout: {} } as never)],
    ['ERR_VALUE', () => run.logFigure('n', { data: [() => 1, selfish()] })],
    ['ERR_VALUE_TOO_LONG', () => run.logImage('m', GIF, { caption: 'c'.repeat(1e6) })],
    ['ERR_VALUE', () => run.logTable('n', [throwing()])],
  ]
  for (const [code, call] of cases) {
    told.length = 0
    assert.equal(call(), undefined)
    assert.deepEqual(
      told.map((issue) => issue.code),
      [code],
      `${call}: ${told.map(({ message }) => message)}`,
    )
  }
  run.logText('n', 'good')
  const folder = await finished(run)
  const texts = recordsOf(folder, 'text')
  assert.deepEqual(
    texts.map(({ step, text }) => [step, text]),
    [[0, 'good']],
  )
  assert.equal(recordsOf(folder, 'images').length + recordsOf(folder, 'table').length, 0)
})

test('a cell that holds itself costs itself, not its table', async (context) => {
  const { run } = start(context)
  run.logTable('t', [{ a: selfish(), b: 1 }])
  const folder = await finished(run)
  const { data } = JSON.parse(bytesOf(folder, recordsOf(folder, 'table')[0]!.table).toString())
  assert.deepEqual(data, [['[object Object]', 1]])
})

test('secrets in names do not reach the journal', async (context) => {
  const { run } = start(context)
  const secret = `ghp_${'a1'.repeat(20)}`
  run.logText(`t ${secret}`, 'x')
  run.logTable('t', [{ [secret]: 1 }])
  await run.logArtifact('s3://user:hunter2@bucket/key', { name: secret, metadata: { apiKey: 'hunter2' } })
  const folder = await finished(run)
  const { name } = recordsOf(folder, 'text')[0]!
  assert.equal(name, 't [REDACTED:github-token]')
  assert.ok(!bytesOf(folder, recordsOf(folder, 'table')[0]!.table).toString().includes(secret))
  const artifact = JSON.stringify(recordsOf(folder, 'artifact')[0])
  assert.ok(!artifact.includes('hunter2') && !artifact.includes(secret), artifact)
})

const GIF = Buffer.from('474946383961030002009100', 'hex')

function selfish(): object {
  const self: { me?: object } = {}
  self.me = self
  return self
}
function throwing(): Record<string, unknown> {
  return {
    get a(): number {
      throw new Error('not now')
    },
  }
}
