/** The demo's training loop: what any user's looks like, with one call per step that logs a row. */
import { CLASSES, type DigitData, FEATURES, type Samples } from './data.ts'
import { type BatchResult, type DenseLayer, Network, norm } from './network.ts'
import { seededRandom, shuffledOrder } from './random.ts'

export interface TrainingOptions {
  readonly steps: number
  readonly seed: number
  readonly batchSize: number
  readonly hidden: readonly number[]
  readonly learningRate: number
  readonly momentum: number
  /** Steps between two validations. */
  readonly validateEvery: number
}
export const DEFAULT_TRAINING: TrainingOptions = {
  steps: 2500,
  seed: 7,
  batchSize: 32,
  hidden: [48, 32],
  learningRate: 0.05,
  momentum: 0.9,
  validateEvery: 100,
}

/** What the loop tells while it runs. */
export interface TrainingObserver {
  /** Called at every step; the object is used again for the next. */
  row(step: number, values: Readonly<Record<string, number>>): void
  /** Called after each validation. */
  layers?(step: number, layers: readonly DenseLayer[]): void
  /** So many steps are done. */
  progress?(steps: number): void
}
export interface Trained extends BatchResult {
  readonly network: Network
}

/**
 * Trains from scratch, synchronously. Every step logs one row of more than twenty series, every `validateEvery`
 * steps a second part of the row with the validation's.
 * @returns the network, with loss and accuracy on the validation data after the last step
 */
export function train(data: DigitData, options: TrainingOptions, observer: TrainingObserver): Trained {
  const { steps, seed, batchSize, hidden, momentum, validateEvery } = options
  const network = new Network([FEATURES, ...hidden, CLASSES], batchSize, seed)
  const nextBatch = batches(data.training, batchSize, seed + 1)
  const row: Record<string, number> = {}
  let validated = { loss: Number.NaN, accuracy: Number.NaN }
  for (let step = 0; step < steps; step++) {
    const learningRate = learningRateAt(step, options)
    const result = network.learn(nextBatch(), 0, batchSize)
    row['train/loss'] = result.loss
    row['train/accuracy'] = result.accuracy
    row['train/learning_rate'] = learningRate
    fillLayerRows(row, network, batchSize, learningRate, momentum)
    observer.row(step, row)
    if ((step + 1) % validateEvery === 0 || step === steps - 1) {
      validated = network.evaluate(data.validation)
      observer.row(step, { 'validation/loss': validated.loss, 'validation/accuracy': validated.accuracy })
      observer.layers?.(step, network.layers)
    }
    observer.progress?.(step + 1)
  }
  return { ...validated, network }
}

/** Updates the layers, and adds what is worth watching of each to the row. */
function fillLayerRows(
  row: Record<string, number>,
  network: Network,
  batchSize: number,
  learningRate: number,
  momentum: number,
): void {
  let squares = 0
  for (const [index, layer] of network.layers.entries()) {
    const weightGradient = norm(layer.weightGradients)
    const biasGradient = norm(layer.biasGradients)
    const weightNorm = norm(layer.weights)
    squares += weightGradient ** 2 + biasGradient ** 2
    row[`layer${index}/gradient_norm`] = weightGradient
    row[`layer${index}/bias_gradient_norm`] = biasGradient
    row[`layer${index}/weight_norm`] = weightNorm
    row[`layer${index}/bias_norm`] = norm(layer.biases)
    row[`layer${index}/update_ratio`] = layer.update(learningRate, momentum) / weightNorm
    if (index < network.layers.length - 1) {
      row[`layer${index}/active_share`] = network.activeShare(index, batchSize)
    }
  }
  row['train/gradient_norm'] = Math.sqrt(squares)
}

/** Linear warm-up over the first 5 % of the steps, then half a cosine down to 0. */
export function learningRateAt(step: number, { steps, learningRate }: TrainingOptions): number {
  const warmUp = Math.max(1, Math.floor(steps / 20))
  if (step < warmUp) return (learningRate * (step + 1)) / warmUp
  return (learningRate * (1 + Math.cos((Math.PI * (step - warmUp)) / Math.max(1, steps - warmUp)))) / 2
}

/** Batch after batch in a new random order each epoch; the returned samples are overwritten by the next. */
function batches(samples: Samples, batchSize: number, seed: number): () => Samples {
  const random = seededRandom(seed)
  const batch = {
    length: batchSize,
    features: new Float64Array(batchSize * FEATURES),
    labels: new Uint8Array(batchSize),
  }
  let order: Uint32Array = new Uint32Array(0)
  let next = 0
  return () => {
    if (next + batchSize > order.length) {
      order = shuffledOrder(samples.length, random)
      next = 0
    }
    for (let index = 0; index < batchSize; index++) {
      const source = order[next++]!
      batch.features.set(
        samples.features.subarray(source * FEATURES, (source + 1) * FEATURES),
        index * FEATURES,
      )
      batch.labels[index] = samples.labels[source]!
    }
    return batch
  }
}
