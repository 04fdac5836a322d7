/** A run read back from its folder: what was logged, and nothing that a hostile folder wants. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { blobPath } from '../../src/core/blob-path.ts'
import { FILE_LIST_TYPE } from '../../src/core/media-types.ts'
import type { BlobRef, FileList } from '../../src/core/types.ts'
import { openRun, type Run, startLogging } from '../../src/index.ts'
import { downloadFiles, readFileList } from '../../src/run/stored-files.ts'
import { temporaryFolder } from './program.ts'

/** One white pixel. */
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==',
  'base64',
)

function newRun(context: TestContext): Run {
  let run: Run | undefined
  // ahead of the end of its folder
  context.after(() => run?.finish())
  run = startLogging({ dir: temporaryFolder(context), backend: 'local' })
  return run
}

/** A blob as a run keeps it. */
function keep(folder: string, content: string | Buffer, type = 'text/plain'): BlobRef {
  const digest = createHash('sha256').update(content).digest('hex')
  const path = blobPath(folder, digest)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return { digest, bytes: Buffer.byteLength(content), type }
}

test('one of everything is read back as it was logged, while the run is being written', async (context) => {
  const run = newRun(context)
  const stored = openRun(run.info.folder)
  const long = 'ü'.repeat(300_000)
  run.logText('sample', 'short', { step: 1, time: 5 })
  run.logText('sample', long, { step: 2 })
  run.logText('other', 'x', { step: 3 })
  run.logHistogram('weights', { edges: [0, 1, 2], counts: [3, 4] }, { step: 7 })
  run.logImage('pixel', PNG, { step: 1, caption: 'white' })
  run.logImages('batch', [PNG, { data: new Uint8Array([0, 255]), shape: [1, 2] }], { step: 2 })
  run.logTable('worst', [{ a: 1, b: 'x' }, { a: Number.NaN }], { step: 4 })
  run.logFigure('plot', { data: [{ y: [1, 2] }], layout: { title: 't' } }, { step: 1 })
  run.logFigure('plot', PNG, { step: 2 })
  run.logPrCurve('pr', [1, 0, 1], [0.9, 0.2, 0.6], { step: 1, thresholds: 5 })
  await run.flush()
  const texts = stored.texts('sample')
  assert.deepEqual(
    texts.map(({ name, step, bytes }) => [name, step, bytes]),
    [
      ['sample', 1, 5],
      ['sample', 2, 600_000],
    ],
  )
  assert.equal(texts[0]!.time, 5)
  assert.deepEqual([texts[0]!.text(), texts[1]!.text() === long], ['short', true])
  assert.equal(stored.texts().length, 3)
  const [histogram] = stored.histograms()
  assert.deepEqual([histogram!.step, [...histogram!.edges], [...histogram!.counts]], [7, [0, 1, 2], [3, 4]])
  const [pixel] = stored.images('pixel')
  assert.deepEqual(
    [pixel!.width, pixel!.height, pixel!.caption, pixel!.content.type],
    [1, 1, 'white', 'image/png'],
  )
  assert.deepEqual(pixel!.content.read(), PNG)
  assert.deepEqual(
    stored.images('batch').map(({ index, width, height, step }) => [index, width, height, step]),
    [
      [0, 1, 1, 2],
      [1, 2, 1, 2],
    ],
  )
  const [table] = stored.tables()
  assert.deepEqual([table!.columns, table!.rows], [2, 2])
  assert.deepEqual(table!.read(), {
    columns: ['a', 'b'],
    data: [
      [1, 'x'],
      ['NaN', null],
    ],
  })
  const [plot, picture] = stored.figures()
  assert.deepEqual(plot!.plotly(), { data: [{ y: [1, 2] }], layout: { title: 't' } })
  assert.equal(picture!.plotly(), undefined)
  assert.deepEqual(await picture!.content.stream().toArray(), [PNG])
  const [curve] = stored.prCurves()
  assert.equal(curve!.truePositives.length, 5)
  assert.deepEqual([curve!.truePositives[0], curve!.falsePositives[0]], [2, 1])
  assert.deepEqual(stored.texts('nothing'), [])
})

test('an artifact and a model are downloaded as they were, references named', async (context) => {
  const run = newRun(context)
  const source = temporaryFolder(context)
  const large = randomBytes(3_000_000)
  mkdirSync(join(source, 'a', 'b'), { recursive: true })
  writeFileSync(join(source, 'a', 'b', 'large.bin'), large)
  writeFileSync(join(source, 'ü …#?%.txt'), 'unicode')
  writeFileSync(join(source, 'empty'), '')
  await run.logArtifact(source, { name: 'data', type: 'dataset', metadata: { rows: 3 }, description: 'd' })
  await run.logArtifact('s3://bucket/key', { name: 'remote' })
  await run.logModel(join(source, 'empty'), { name: 'm', register: 'r', alias: 'champion', step: 3 })
  await run.flush()
  const stored = openRun(run.info.folder)
  const [data] = stored.artifacts('data')
  assert.deepEqual(
    [data!.type, data!.metadata, data!.description, data!.bytes],
    ['dataset', { rows: 3 }, 'd', large.length + 7],
  )
  const to = join(temporaryFolder(context), 'made', 'here')
  assert.deepEqual(await data!.download(to), { files: 3, bytes: large.length + 7, references: [] })
  assert.deepEqual(readFileSync(join(to, 'a', 'b', 'large.bin')), large)
  assert.equal(readFileSync(join(to, 'ü …#?%.txt'), 'utf8'), 'unicode')
  assert.deepEqual(readdirSync(to).sort(), readdirSync(source).sort())
  // again, over what is there
  assert.equal((await data!.download(to)).files, 3)
  const [remote] = stored.artifacts('remote')
  const { files, references } = await remote!.download(to)
  assert.deepEqual([files, references.map(({ uri }) => uri)], [0, ['s3://bucket/key']])
  const [model] = stored.models()
  assert.deepEqual([model!.register, model!.aliases, model!.step], ['r', ['champion'], 3])
  assert.deepEqual(
    model!.files().map(({ path, bytes }) => [path, bytes]),
    [['empty', 0]],
  )
})

test('content that is missing, changed, cut, a link or a folder is never passed on', async (context) => {
  const run = newRun(context)
  const { folder } = run.info
  run.logText('t', 'x'.repeat(300_000))
  await run.flush()
  const [stored] = openRun(folder).texts()
  const [blob] = readdirSync(join(folder, 'blobs'), { recursive: true })
    .map(String)
    .filter((path) => /[0-9a-f]{64}$/.test(path))
  const path = join(folder, 'blobs', blob!)
  const whole = readFileSync(path)
  const refused = () => assert.throws(() => stored!.text(), { code: 'ERR_BLOB' })
  const changed = Buffer.from(whole)
  changed[7]! ^= 1
  writeFileSync(path, changed)
  refused()
  truncateSync(path, 10)
  refused()
  appendFileSync(path, whole)
  refused()
  // a beginning that is right is not the content
  writeFileSync(path, Buffer.concat([whole, Buffer.from('more')]))
  refused()
  rmSync(path)
  refused()
  const elsewhere = join(temporaryFolder(context), 'secret')
  writeFileSync(elsewhere, whole)
  symlinkSync(elsewhere, path)
  refused()
  rmSync(path)
  mkdirSync(path)
  refused()
  rmSync(path, { recursive: true })
  writeFileSync(path, whole)
  assert.equal(stored!.text().length, 300_000)
})

test('a changed file fails a stream at its end and a download before the file has its name', async (context) => {
  const folder = temporaryFolder(context)
  const blob = keep(folder, 'right')
  writeFileSync(blobPath(folder, blob.digest), 'wrong')
  const files = readFileList(folder, [{ path: 'a', blob }])
  await assert.rejects(text(files[0]!.content!.stream()), { code: 'ERR_BLOB' })
  const to = temporaryFolder(context)
  await assert.rejects(downloadFiles(files, to), { code: 'ERR_BLOB' })
  assert.deepEqual(readdirSync(to), [])
})

test('a list that leads out of the folder, however it says so, is refused before anything is written', (context) => {
  const folder = temporaryFolder(context)
  const blob = keep(folder, 'content')
  for (const path of [
    ...['../out', 'a/../../out', '/etc/passwd', '..', '.', '', 'a//b', 'a/', './a', 'a/./b', 'a\0b'],
    ...[7, null, undefined, {}],
  ]) {
    const list = [
      { path: 'good', blob },
      { path, blob },
    ] as FileList
    assert.throws(() => readFileList(folder, list), { code: 'ERR_BLOB' }, `${String(path)}`)
    const inBlob = keep(folder, JSON.stringify(list), FILE_LIST_TYPE)
    assert.throws(() => readFileList(folder, inBlob), { code: 'ERR_BLOB' }, `${String(path)} in a blob`)
  }
  for (const bad of ['not JSON', '{"path":"a"}', '[null]', '[{"path":"a"}]', '[{"path":"a","blob":7}]'])
    assert.throws(() => readFileList(folder, keep(folder, bad, FILE_LIST_TYPE)), { code: 'ERR_BLOB' }, bad)
  const wild = [{ path: 'a', blob: { digest: '../../../etc/passwd', bytes: 1, type: '' } }]
  assert.throws(() => readFileList(folder, wild)[0]!.content!.read(), { code: 'ERR_BLOB' })
})

test('links that lie in the target folder are not followed', async (context) => {
  const folder = temporaryFolder(context)
  const [to, outside] = [temporaryFolder(context), temporaryFolder(context)]
  writeFileSync(join(outside, 'kept'), 'kept')
  symlinkSync(outside, join(to, 'sub'))
  symlinkSync(join(outside, 'kept'), join(to, 'file'))
  const blob = keep(folder, 'content')
  await assert.rejects(downloadFiles(readFileList(folder, [{ path: 'sub/new', blob }]), to), {
    code: 'ERR_ARTIFACT',
  })
  await downloadFiles(readFileList(folder, [{ path: 'file', blob }]), to)
  assert.equal(readFileSync(join(to, 'file'), 'utf8'), 'content')
  assert.deepEqual(readdirSync(outside), ['kept'])
  assert.equal(readFileSync(join(outside, 'kept'), 'utf8'), 'kept')
  writeFileSync(join(to, 'plain'), '')
  await assert.rejects(downloadFiles(readFileList(folder, [{ path: 'plain/x', blob }]), to), {
    code: 'ERR_ARTIFACT',
  })
  assert.equal(existsSync(join(to, 'new')), false)
})

test('a summary leaves NaN out of all but the last point, and best goes by the goal', async (context) => {
  const run = newRun(context)
  const values = [Number.NaN, 3, -1, Number.NaN, 8, -1]
  for (const [step, value] of values.entries()) run.log({ loss: value, 'val/acc': value }, { step })
  run.log({ 'val/acc': 100 }, { step: 2 })
  run.log({ 'val/acc': 1 }, { step: 0, context: 'ema' })
  run.log({ nothing: Number.NaN }, { step: 4 })
  run.log({ limits: Infinity }, { step: 0 })
  run.log({ limits: -Infinity }, { step: 1 })
  run.defineMetric('*', { summary: 'mean' })
  run.defineMetric('val/*', { summary: ['best', 'last'], goal: 'maximize', axis: 'epoch' })
  run.defineMetric('v*', { summary: 'max' })
  run.defineMetric('loss', { summary: 'min', goal: 'minimize' })
  run.defineMetric('los*', { summary: 'max', goal: 'maximize' })
  await run.flush()
  const stored = openRun(run.info.folder)
  const [loss] = stored.summary('loss')
  assert.deepEqual(loss, {
    ...{ name: 'loss', context: '', points: 6, min: -1, max: 8, mean: 9 / 4 },
    ...{ last: { step: 5, value: -1 }, best: { step: 2, value: -1 }, shown: ['min'] },
  })
  const accuracy = stored.summary('val/acc')
  assert.deepEqual(
    accuracy.map(({ context, points, best, last, shown, axis }) => ({
      context,
      points,
      best,
      last,
      shown,
      axis,
    })),
    [
      {
        ...{ context: '', points: 7, best: { step: 2, value: 100 }, last: { step: 5, value: -1 } },
        ...{ shown: ['best', 'last'], axis: 'epoch' },
      },
      {
        ...{ context: 'ema', points: 1, best: { step: 0, value: 1 }, last: { step: 0, value: 1 } },
        ...{ shown: ['best', 'last'], axis: 'epoch' },
      },
    ],
  )
  const [nothing] = stored.summary('nothing')
  assert.deepEqual([nothing!.min, nothing!.max, nothing!.mean, nothing!.best], [NaN, NaN, NaN, undefined])
  assert.deepEqual([nothing!.last, nothing!.shown], [{ step: 4, value: NaN }, ['mean']])
  const [limits] = stored.summary('limits')
  assert.deepEqual([limits!.min, limits!.max, limits!.mean], [-Infinity, Infinity, NaN])
  assert.equal(stored.summary().length, 5)
  assert.deepEqual(stored.summary('unknown'), [])
})

test('records come one at a time, so that a reader may stop', async (context) => {
  const run = newRun(context)
  for (let step = 0; step < 1000; step++) run.logText('t', `${step}`, { step })
  await run.flush()
  const seen: string[] = []
  for (const record of openRun(run.info.folder).records()) {
    if (record.kind !== 'text') continue
    seen.push(record.text as string)
    if (seen.length === 3) break
  }
  assert.deepEqual(seen, ['0', '1', '2'])
})
