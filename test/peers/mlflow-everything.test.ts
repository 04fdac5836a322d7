import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { readRuns, seenPoint } from './read-mlflow.ts'
import { parseImagePath, readUploads, sha256 } from './read-mlflow-uploads.ts'

const dir = mkdtempSync(join(tmpdir(), 'tracelet-mlflow-everything-'))
let server: MlflowServer | undefined

after(async () => {
  await server?.stop()
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
})

it('one of everything that a run can hold is in MLflow when the run is finished', async (test) => {
  const python = await peerPython(test)
  if (python === undefined) return
  server = await startMlflowServer(python)
  const data = join(dir, 'data')
  mkdirSync(join(data, 'deep'), { recursive: true })
  writeFileSync(join(data, 'a.txt'), 'a')
  writeFileSync(join(data, 'deep', 'ü 漢.bin'), 'b')
  const weights = join(dir, 'net.onnx')
  writeFileSync(weights, 'weights')

  const run = startLogging({
    backend: { mlflow: { uri: server.uri } },
    dir,
    expName: 'everything',
  })
  run.logParams({ lr: 0.1 })
  run.setTags({ team: 'blue' })
  run.setNotes('# everything')
  run.defineMetric('loss', { goal: 'minimize' })
  run.logDataset({
    name: 'mnist',
    digest: 'd1',
    source: 'http://x/mnist',
    sourceType: 'http',
    context: 'training',
  })
  const pixels = { data: Uint8Array.from([0, 64, 128, 255]), shape: [2, 2] as const }
  for (const step of [1, 2]) {
    run.log({ loss: 1 / step }, { step, time: 1000 * step })
    run.logText('sample', `text ${step}`, { step })
    run.logHistogram('w', [1, 2, 2, 3], { step, bins: 3 })
    run.logImage('confusion', pixels, { step, time: 1000 * step })
    run.logTable('worst', [{ n: step, word: 'ü' }], { step })
  }
  run.logFigure('fig', { data: [{ y: [1, 2] }], layout: {} }, { step: 1 })
  run.logPrCurve('pr', [1, 0, 1], [0.9, 0.4, 0.6], { step: 1 })
  void run.logArtifact(data, { name: 'inputs', type: 'dataset', description: 'all of it' })
  void run.logArtifact('s3://bucket/elsewhere', { name: 'remote' })
  void run.logModel(weights, { name: 'net', register: 'digits', alias: 'champion', step: 2 })
  const stats = await run.finish()

  const { records, uploads, state, reason } = stats.destinations.mlflow!
  assert.deepEqual([records.rejected, records.pending, reason], [0, 0, ''], `${state} ${reason}`)
  // What MLflow has no place for: the definition of the metric.
  assert.equal(records.filtered, 1)
  assert.deepEqual([uploads.files.sent, uploads.bytes.sent], [uploads.files.known, uploads.bytes.known])

  const query = { experiment: 'everything', tag: 'tracelet.run_id', values: [run.id] } as const
  const [seen] = await readRuns(python, server.uri, query)
  assert.deepEqual(seen!.history, { loss: [seenPoint(1, 1000, 1), seenPoint(2, 2000, 0.5)] })
  assert.deepEqual([seen!.status, seen!.params], ['FINISHED', { lr: '0.1' }])
  const more = await readUploads(python, server.uri, 'everything', 'tracelet.run_id', run.id)
  const { artifacts } = more
  assert.equal(more.tags.team, 'blue')
  assert.equal(more.tags['mlflow.note.content'], '# everything')
  assert.equal(more.datasets.length, 1)
  assert.equal(artifacts['texts/sample/step_00000002.txt'], sha256('text 2'))
  assert.deepEqual(more.tables['tables/worst.json'], { columns: ['n', 'word'], data: [[2, 'ü']] })
  for (const page of ['histograms/w', 'figures/fig', 'pr_curves/pr']) {
    assert.ok(artifacts[`${page}/step_00000001.html`], page)
  }
  const images = Object.keys(artifacts)
    .map(parseImagePath)
    .filter((found) => found !== undefined)
  assert.deepEqual(
    images.map(({ key, step, time, compressed }) => `${key} ${step} ${time} ${compressed}`).sort(),
    [1, 2].flatMap((step) => [`confusion ${step} ${step}000 false`, `confusion ${step} ${step}000 true`]),
  )
  assert.equal(artifacts['inputs/a.txt'], sha256('a'))
  assert.equal(artifacts['inputs/deep/ü 漢.bin'], sha256('b'))
  assert.ok(artifacts['inputs.tracelet.json'] && artifacts['remote.tracelet.json'])
  const [model] = more.models
  assert.deepEqual([more.models.length, model!.status, model!.name], [1, 'READY', 'net'])
  assert.equal(model!.files['net.onnx'], sha256(readFileSync(weights)))
  assert.deepEqual(
    more.versions.map(({ name, version, aliases }) => [name, version, aliases]),
    [['digits', '1', ['champion']]],
  )
  assert.deepEqual(more.outputs, [{ modelId: model!.id, step: 2 }])
})
