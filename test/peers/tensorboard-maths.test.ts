/** Bins are numpy's, and PR curves those of TensorBoard's own function, for the same numbers. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { toHistogram } from '../../src/run/media/histogram.ts'
import { isErrorRecord } from '../../src/run/media/numbers.ts'
import { toPrCurve } from '../../src/run/media/pr-curve.ts'
import { Random, SEED } from '../random.ts'
import { peerPython, runPeerScript } from './python.ts'

interface Answers {
  readonly histograms: readonly { readonly edges: string; readonly counts: string }[]
  readonly curves: readonly (readonly number[])[][]
}

test('histograms have the edges and counts of numpy.histogram', async (context) => {
  const random = new Random()
  context.diagnostic(`seed ${SEED}`)
  const cases = Array.from({ length: 300 }, (_, round) => {
    const length = 1 + random.below(round < 5 ? 100_000 : 300)
    // Not so far from 0 that numpy, too, finds no room for its bins and refuses.
    const scale = 10 ** (random.below(20) - 10)
    const offset = random.below(3) === 0 ? random.next() * scale * 100 : 0
    const steps = 1 + random.below(1000)
    // Multiples of a step often fall on an edge exactly, or beside it by rounding alone.
    const values = Float64Array.from({ length }, () =>
      random.below(2) === 0
        ? offset + (random.next() - 0.5) * scale
        : offset + (random.below(steps) / steps) * scale,
    )
    return { values: random.below(20) === 0 ? values.fill(offset) : values, bins: 1 + random.below(512) }
  })
  const python = await peerPython(context)
  if (python === undefined) return
  const answers = await ask(context, python, {
    histograms: cases.map(({ values, bins }) => ({ values: textOf(values), bins })),
    curves: [],
  })
  for (const [index, { values, bins }] of cases.entries()) {
    const found = toHistogram(values, bins)
    assert.ok(!isErrorRecord(found))
    const { edges, counts } = answers.histograms[index]!
    assert.equal(textOf(found.edges), edges, `edges of case ${index}`)
    assert.equal(textOf(found.counts), counts, `counts of case ${index}`)
  }
})

test("PR curves have the counts of TensorBoard's own function", async (context) => {
  const random = new Random()
  context.diagnostic(`seed ${SEED}`)
  const cases = Array.from({ length: 100 }, () => {
    const length = 1 + random.below(500)
    const isFloat32 = random.below(2) === 0
    // Two decimals often stand on a threshold exactly, or beside it by rounding alone.
    const numbers = Array.from({ length }, () => (random.below(2) ? random.next() : random.below(101) / 100))
    return {
      labels: Array.from({ length }, () => random.below(2) === 1),
      predictions: isFloat32 ? Float32Array.from(numbers) : Float64Array.from(numbers),
      isFloat32,
      thresholds: [2, 3, 101, 127, 201, 1000][random.below(6)]!,
      weights: random.below(2) ? Array.from({ length }, () => random.below(100) / 8) : undefined,
    }
  })
  const python = await peerPython(context)
  if (python === undefined) return
  const answers = await ask(context, python, {
    histograms: [],
    curves: cases.map(({ labels, predictions, isFloat32, thresholds, weights }) => ({
      labels: textOf(labels.map(Number)),
      predictions: textOf(predictions),
      isFloat32,
      thresholds,
      weights: weights === undefined ? '' : textOf(weights),
    })),
  })
  for (const [index, { labels, predictions, thresholds, weights }] of cases.entries()) {
    const found = toPrCurve(labels, predictions, thresholds, weights)
    assert.ok(!isErrorRecord(found))
    const { truePositives, falsePositives, trueNegatives, falseNegatives } = found
    const rows = [truePositives, falsePositives, trueNegatives, falseNegatives].map((row) => [...row])
    assert.deepEqual(rows, answers.curves[index]!.slice(0, 4), `case ${index}`)
  }
})

async function ask(context: TestContext, python: string, given: object): Promise<Answers> {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-maths-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'given.json')
  writeFileSync(path, JSON.stringify(given))
  return (await runPeerScript(python, 'tensorboard_maths.py', [path])) as Answers
}

function textOf(values: ArrayLike<number>): string {
  const bytes = Buffer.alloc(values.length * 8)
  for (let index = 0; index < values.length; index++) bytes.writeDoubleBE(values[index]!, index * 8)
  return bytes.toString('hex')
}
