import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRun } from '../../../src/index.ts'
import { temporaryFolder } from '../../run/program.ts'
import { tracelet } from '../run-cli.ts'

test('the demo logs everything a run can hold, and all of it is read back', async (context) => {
  const root = temporaryFolder(context)
  const { code, stdout, stderr } = await tracelet(root, 'demo', '--steps', '250', '--backend', 'local')
  assert.equal(code, 0, stderr)
  const [, id] = /^run (\S+)$/m.exec(stdout)!
  const run = openRun(id!, { dir: root })

  assert.equal(run.state().state, 'finished')
  assert.ok(run.series().length > 20)
  assert.match(run.notes() ?? '', /handwritten digits/)
  assert.deepEqual(
    run.datasets().map(({ name }) => name),
    ['mnist-training', 'mnist-validation'],
  )
  // three validations in 250 steps, weights and gradients of three layers
  const histograms = run.histograms()
  assert.equal(histograms.length, 3 * 3 * 2)
  const [weights] = run.histograms('layer0/weights')
  assert.equal(
    weights!.counts.reduce((sum, count) => sum + count, 0),
    14 * 14 * 48,
  )
  const [confusion] = run.images('validation/confusion')
  assert.deepEqual([confusion!.width, confusion!.height], [240, 240])
  const [worst] = run.tables('validation/worst')
  assert.deepEqual(worst!.read().columns, [
    'sample',
    'digit',
    'read as',
    'confidence',
    'probability of the digit',
  ])
  assert.equal(run.images('validation/worst_digits').length, worst!.rows)
  assert.equal(run.figures().length, 1)
  const [curve] = run.prCurves()
  assert.equal(curve!.truePositives[0]! + curve!.falsePositives[0]!, 2000)
  const [model] = run.models()
  assert.deepEqual([model!.register, model!.aliases], ['tracelet-demo-digits', ['champion']])
  assert.deepEqual(
    model!.files().map(({ path }) => path),
    ['network.json', 'weights.f64'],
  )
})
