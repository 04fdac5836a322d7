/**
 * A small multi-layer perceptron: dense layers, ReLU between them, softmax with cross-entropy at the end, trained
 * by gradient descent with momentum. Plain loops over Float64Arrays, so that the same seed gives the same run.
 */
import type { Samples } from './data.ts'
import { seededRandom } from './random.ts'

export class DenseLayer {
  readonly inputs: number
  readonly outputs: number
  /** `inputs` weights of output 0, then of output 1, … */
  readonly weights: Float64Array
  readonly biases: Float64Array
  /** Gradients of the last batch's mean loss. */
  readonly weightGradients: Float64Array
  readonly biasGradients: Float64Array
  readonly #weightVelocity: Float64Array
  readonly #biasVelocity: Float64Array

  constructor(inputs: number, outputs: number, random: () => number) {
    this.inputs = inputs
    this.outputs = outputs
    // He's initialisation, by a uniform distribution of the same variance.
    const limit = Math.sqrt(6 / inputs)
    this.weights = Float64Array.from({ length: inputs * outputs }, () => (random() * 2 - 1) * limit)
    this.biases = new Float64Array(outputs)
    this.weightGradients = new Float64Array(inputs * outputs)
    this.biasGradients = new Float64Array(outputs)
    this.#weightVelocity = new Float64Array(inputs * outputs)
    this.#biasVelocity = new Float64Array(outputs)
  }

  /** Outputs of `count` samples before any activation. */
  forward(input: Float64Array, output: Float64Array, count: number): void {
    const { inputs, outputs, weights, biases } = this
    for (let sample = 0; sample < count; sample++) {
      const from = sample * inputs
      for (let unit = 0; unit < outputs; unit++) {
        const row = unit * inputs
        let sum = biases[unit]!
        for (let index = 0; index < inputs; index++) sum += weights[row + index]! * input[from + index]!
        output[sample * outputs + unit] = sum
      }
    }
  }

  /** From the loss's gradient by the outputs: those of weights and biases and, if wanted, by the inputs. */
  backward(
    input: Float64Array,
    outputGradient: Float64Array,
    inputGradient: Float64Array | undefined,
    count: number,
  ) {
    const { inputs, outputs, weights, weightGradients, biasGradients } = this
    weightGradients.fill(0)
    biasGradients.fill(0)
    inputGradient?.fill(0)
    for (let sample = 0; sample < count; sample++) {
      const from = sample * inputs
      for (let unit = 0; unit < outputs; unit++) {
        const gradient = outputGradient[sample * outputs + unit]!
        if (gradient === 0) continue
        const row = unit * inputs
        biasGradients[unit]! += gradient
        for (let index = 0; index < inputs; index++)
          weightGradients[row + index]! += gradient * input[from + index]!
        if (!inputGradient) continue
        for (let index = 0; index < inputs; index++)
          inputGradient[from + index]! += gradient * weights[row + index]!
      }
    }
  }

  /** One step of gradient descent with momentum. Returns the norm of what was added to the weights. */
  update(learningRate: number, momentum: number): number {
    descend(this.biases, this.biasGradients, this.#biasVelocity, learningRate, momentum)
    return descend(this.weights, this.weightGradients, this.#weightVelocity, learningRate, momentum)
  }
}

export interface BatchResult {
  /** Mean cross-entropy, in nats. */
  readonly loss: number
  /** Share of samples whose most likely class is theirs. */
  readonly accuracy: number
}

export class Network {
  readonly layers: readonly DenseLayer[]
  readonly #maxBatch: number
  /** Outputs of each layer, after ReLU for all but the last. */
  readonly #outputs: readonly Float64Array[]
  readonly #gradients: readonly Float64Array[]

  /** @param sizes features, hidden units …, classes */
  constructor(sizes: readonly number[], maxBatch: number, seed: number) {
    const random = seededRandom(seed)
    this.layers = sizes.slice(1).map((outputs, index) => new DenseLayer(sizes[index]!, outputs, random))
    this.#maxBatch = maxBatch
    this.#outputs = this.layers.map(({ outputs }) => new Float64Array(outputs * maxBatch))
    this.#gradients = this.layers.map(({ outputs }) => new Float64Array(outputs * maxBatch))
  }

  /** Loss of `count` samples from `first` on, and in each layer its gradients. */
  learn(samples: Samples, first: number, count: number): BatchResult {
    const input = this.#forward(samples, first, count)
    const last = this.layers.length - 1
    const labels = samples.labels.subarray(first, first + count)
    const result = softmaxLoss(
      this.#outputs[last]!,
      this.#gradients[last]!,
      labels,
      this.layers[last]!.outputs,
    )
    for (let index = last; index >= 0; index--) {
      const below = index > 0 ? this.#outputs[index - 1]! : undefined
      const belowGradient = index > 0 ? this.#gradients[index - 1]! : undefined
      this.layers[index]!.backward(below ?? input, this.#gradients[index]!, belowGradient, count)
      if (!below || !belowGradient) break
      // ReLU let nothing through where it gave 0.
      for (let unit = 0; unit < below.length; unit++) if (below[unit] === 0) belowGradient[unit] = 0
    }
    return result
  }

  /** Loss and accuracy over all samples, without learning. */
  evaluate(samples: Samples): BatchResult {
    let loss = 0
    let accuracy = 0
    const last = this.layers.length - 1
    for (let first = 0; first < samples.length; first += this.#maxBatch) {
      const count = Math.min(this.#maxBatch, samples.length - first)
      this.#forward(samples, first, count)
      const labels = samples.labels.subarray(first, first + count)
      const part = softmaxLoss(
        this.#outputs[last]!,
        this.#gradients[last]!,
        labels,
        this.layers[last]!.outputs,
      )
      loss += part.loss * count
      accuracy += part.accuracy * count
    }
    return { loss: loss / samples.length, accuracy: accuracy / samples.length }
  }

  /** The probability of each class for each sample, sample after sample. */
  probabilities(samples: Samples): Float64Array {
    const last = this.layers.length - 1
    const classes = this.layers[last]!.outputs
    const all = new Float64Array(samples.length * classes)
    for (let first = 0; first < samples.length; first += this.#maxBatch) {
      const count = Math.min(this.#maxBatch, samples.length - first)
      this.#forward(samples, first, count)
      for (let sample = 0; sample < count; sample++) {
        const logits = this.#outputs[last]!.subarray(sample * classes, (sample + 1) * classes)
        const highest = Math.max(...logits)
        const powers = logits.map((logit) => Math.exp(logit - highest))
        const sum = powers.reduce((total, power) => total + power, 0)
        all.set(
          powers.map((power) => power / sum),
          (first + sample) * classes,
        )
      }
    }
    return all
  }

  /** Share of a hidden layer's outputs that were above 0 for the last `count` samples. */
  activeShare(layer: number, count: number): number {
    const length = this.layers[layer]!.outputs * count
    let active = 0
    for (let index = 0; index < length; index++) if (this.#outputs[layer]![index]! > 0) active++
    return active / length
  }

  #forward(samples: Samples, first: number, count: number): Float64Array {
    const features = this.layers[0]!.inputs
    const input = samples.features.subarray(first * features, (first + count) * features)
    let from = input
    for (const [index, layer] of this.layers.entries()) {
      const output = this.#outputs[index]!
      layer.forward(from, output, count)
      if (index < this.layers.length - 1) {
        const length = layer.outputs * count
        for (let unit = 0; unit < length; unit++) if (output[unit]! < 0) output[unit] = 0
      }
      from = output
    }
    return input
  }
}

export function norm(values: Float64Array): number {
  let squares = 0
  for (let index = 0; index < values.length; index++) squares += values[index]! * values[index]!
  return Math.sqrt(squares)
}

function descend(
  values: Float64Array,
  gradients: Float64Array,
  velocity: Float64Array,
  learningRate: number,
  momentum: number,
): number {
  let squares = 0
  for (let index = 0; index < values.length; index++) {
    const change = momentum * velocity[index]! - learningRate * gradients[index]!
    velocity[index] = change
    values[index]! += change
    squares += change * change
  }
  return Math.sqrt(squares)
}

/** Mean cross-entropy of a batch, and its gradient by the logits. */
function softmaxLoss(
  logits: Float64Array,
  gradients: Float64Array,
  labels: Uint8Array,
  classes: number,
): BatchResult {
  let loss = 0
  let right = 0
  const count = labels.length
  for (let sample = 0; sample < count; sample++) {
    const from = sample * classes
    let best = 0
    for (let index = 1; index < classes; index++)
      if (logits[from + index]! > logits[from + best]!) best = index
    const highest = logits[from + best]!
    let sum = 0
    for (let index = 0; index < classes; index++) sum += Math.exp(logits[from + index]! - highest)
    const label = labels[sample]!
    loss += Math.log(sum) - (logits[from + label]! - highest)
    if (best === label) right++
    for (let index = 0; index < classes; index++) {
      const probability = Math.exp(logits[from + index]! - highest) / sum
      gradients[from + index] = (probability - (index === label ? 1 : 0)) / count
    }
  }
  return { loss: loss / count, accuracy: right / count }
}
