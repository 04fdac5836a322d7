/** TensorBoard's `SummaryWriter`, its names in camelCase and its arguments in its order, over a run. */
import { TraceletError } from '../core/errors.ts'
import type { Stats } from '../core/types.ts'
import type { FigureInput } from './media/figure.ts'
import type { HistogramInput } from './media/histogram.ts'
import type { ImageInput } from './media/image.ts'
import type { PrCurveCounts } from './media/pr-curve.ts'
import {
  binsOf,
  formatted,
  type ImageFormat,
  type ImagesFormat,
  type PixelBatch,
  separated,
} from './media/tensorboard-inputs.ts'
import type { Params } from './records.ts'
import type { Run } from './run.ts'
import { getActiveRun, type StartOptions, startLogging } from './start.ts'

/** Wall times in TensorBoard's API are seconds since 1970. */
const MS_PER_SECOND = 1000

type Numbers = ArrayLike<number> | Iterable<number>

/**
 * All `step`s are integers in ±(2^53 − 1), by default a counter per tag, from 0 or where a resumed run goes on. All `wallTime`s are seconds since
 * 1970, by default now. As with `run.log…`, nothing throws for data's sake: what cannot be logged is reported with
 * a code and costs itself only. What tracelet does not do throws ERR_UNSUPPORTED at the first call.
 */
export class SummaryWriter {
  readonly run: Run
  readonly #ownsRun: boolean
  readonly #nextStep = new Map<string, number>()

  /**
   * Writes to `run`, else to the active run, else to a run started with `options`, which `close()` then finishes.
   */
  constructor(target?: Run | StartOptions) {
    if (target && 'log' in target) {
      this.run = target
      this.#ownsRun = false
      return
    }
    const existing = target === undefined ? activeRun() : undefined
    this.run = existing ?? startLogging(target as StartOptions | undefined)
    this.#ownsRun = existing === undefined
  }

  addScalar(tag: string, value: number, step?: number, wallTime?: number): void {
    this.run.log({ [tag]: value }, this.#place(tag, step, wallTime))
  }

  /** Several curves of one chart: logs `mainTag/key` for each key, on one step. */
  addScalars(
    mainTag: string,
    values: Readonly<Record<string, number>>,
    step?: number,
    wallTime?: number,
  ): void {
    const row =
      typeof values === 'object' && values !== null
        ? Object.fromEntries(Object.entries(values).map(([key, value]) => [`${mainTag}/${key}`, value]))
        : values
    this.run.log(row, this.#place(mainTag, step, wallTime))
  }

  /**
   * @param values numbers in any collection, without regard to shape; or `{ edges, counts }`
   * @param bins 1 to 512 of equal width from the least value to the greatest, default 64
   */
  addHistogram(tag: string, values: HistogramInput, step?: number, bins?: number, wallTime?: number): void {
    this.run.logHistogram(tag, values, { ...this.#place(tag, step, wallTime), bins: bins ?? undefined })
  }

  /**
   * A histogram that was counted elsewhere.
   * @param least of all values, `greatest` likewise; `num`, how many they are, is the sum of the counts here
   * @param bucketLimits upper limit of each bucket, ascending; the last may be the greatest double
   * @param bucketCounts as many as limits
   */
  addHistogramRaw(
    tag: string,
    least: number,
    greatest: number,
    _num: number,
    sum: number,
    sumSquares: number,
    bucketLimits: ArrayLike<number>,
    bucketCounts: ArrayLike<number>,
    step?: number,
    wallTime?: number,
  ): void {
    const bins = binsOf(least, greatest, bucketLimits, bucketCounts)
    this.run.logHistogram(tag, { ...bins, sum, sumSquares }, this.#place(tag, step, wallTime))
  }

  /**
   * @param image the bytes of a PNG, JPEG, GIF or WebP; or `{ data, shape }`: bytes 0 to 255 or reals 0 to 1, of
   *   shape `[c, h, w]`, or as `dataformats` says; 1 to 4 channels
   * @param dataformats default the image's own `dataFormat`, else 'CHW', or 'HW' where the shape has two numbers
   */
  addImage(
    tag: string,
    image: ImageInput,
    step?: number,
    wallTime?: number,
    dataformats?: ImageFormat,
  ): void {
    this.run.logImage(tag, formatted(image, dataformats), this.#place(tag, step, wallTime))
  }

  /**
   * Several images of one step, each kept as its own.
   * @param images as in `addImage`; or one `{ data, shape }` of all, of shape `[n, c, h, w]`, or as `dataformats` says
   * @param dataformats default 'NCHW'
   */
  addImages(
    tag: string,
    images: readonly ImageInput[] | PixelBatch,
    step?: number,
    wallTime?: number,
    dataformats?: ImagesFormat,
  ): void {
    this.run.logImages(tag, separated(images, dataformats), this.#place(tag, step, wallTime))
  }

  /** @param figure Plotly's `{ data, layout }`, or an image of one, which is what TensorBoard itself can show */
  addFigure(tag: string, figure: FigureInput, step?: number, wallTime?: number): void {
    this.run.logFigure(tag, figure, this.#place(tag, step, wallTime))
  }

  /** @param text Markdown */
  addText(tag: string, text: string, step?: number, wallTime?: number): void {
    this.run.logText(tag, text, this.#place(tag, step, wallTime))
  }

  /**
   * @param labels truths: booleans, or 0 and 1; `[n]`
   * @param predictions scores from 0 to 1; `[n]`
   * @param thresholds 2 to 4,096, evenly from 0 to 1; default 127
   * @param weights `[n]`; default 1
   */
  addPrCurve(
    tag: string,
    labels: ArrayLike<number | boolean> | Iterable<number | boolean>,
    predictions: Numbers,
    step?: number,
    thresholds?: number,
    weights?: Numbers,
    wallTime?: number,
  ): void {
    this.run.logPrCurve(tag, labels, predictions, {
      ...this.#place(tag, step, wallTime),
      thresholds,
      weights,
    })
  }

  /**
   * A PR curve that was counted elsewhere: counts at n thresholds evenly from 0 to 1, `[n]` each. Precision and
   * recall follow from them and are not kept.
   */
  addPrCurveRaw(
    tag: string,
    truePositives: ArrayLike<number>,
    falsePositives: ArrayLike<number>,
    trueNegatives: ArrayLike<number>,
    falseNegatives: ArrayLike<number>,
    _precision?: ArrayLike<number>,
    _recall?: ArrayLike<number>,
    step?: number,
    _thresholds?: number,
    _weights?: Numbers,
    wallTime?: number,
  ): void {
    const counts: PrCurveCounts = { truePositives, falsePositives, trueNegatives, falseNegatives }
    // Counts in place of labels: predictions are not looked at then.
    this.run.logPrCurve(tag, counts as never, [], this.#place(tag, step, wallTime))
  }

  /** Hyperparameters with the results they led to; results are logged on step `step`, default 0. */
  addHparams(params: Params, metrics: Readonly<Record<string, number>>, step = 0): void {
    this.run.logParams(params)
    this.run.log(metrics, { step })
  }

  addImageWithBoxes(..._: unknown[]): never {
    return unsupported('addImageWithBoxes', 'draw the boxes into the pixels and call addImage()')
  }
  addAudio(..._: unknown[]): never {
    return unsupported('addAudio', 'keep the sound file with run.logArtifact()')
  }
  addVideo(..._: unknown[]): never {
    return unsupported(
      'addVideo',
      'log an animated GIF with addImage(), or keep the file with run.logArtifact()',
    )
  }
  addMesh(..._: unknown[]): never {
    return unsupported('addMesh', 'log a Plotly figure with a mesh3d or scatter3d trace by addFigure()')
  }
  addEmbedding(..._: unknown[]): never {
    return unsupported(
      'addEmbedding',
      'log vectors and labels with run.logTable(), or their projection by addFigure()',
    )
  }
  addGraph(..._: unknown[]): never {
    return unsupported('addGraph', 'keep the model with run.logModel()')
  }
  addOnnxGraph(..._: unknown[]): never {
    return unsupported('addOnnxGraph', 'keep the file with run.logModel()')
  }
  addTensor(..._: unknown[]): never {
    return unsupported(
      'addTensor',
      'log how it is spread with addHistogram(), or keep its file with run.logArtifact()',
    )
  }
  addCustomScalars(..._: unknown[]): never {
    return unsupported(
      'addCustomScalars',
      'name curves that belong together `group/curve`; charts stand by group',
    )
  }

  /** The run's folder. */
  getLogdir(): string {
    return this.run.info.folder
  }

  /** See `Run.flush`. */
  flush(): Promise<Stats> {
    return this.run.flush()
  }

  /** Flushes; finishes the run if this writer started it. */
  close(): Promise<Stats> {
    return this.#ownsRun ? this.run.finish() : this.run.flush()
  }

  #place(tag: string, step: number | undefined, wallTime: number | undefined) {
    return {
      step: step ?? this.#countStep(tag),
      // None of Python is often written as null.
      time: wallTime === undefined || wallTime === null ? undefined : wallTime * MS_PER_SECOND,
    }
  }

  #countStep(tag: string): number {
    const step = this.#nextStep.get(tag) ?? this.run.firstStep
    this.#nextStep.set(tag, step + 1)
    return step
  }
}

function unsupported(call: string, instead: string): never {
  throw new TraceletError('ERR_UNSUPPORTED', `tracelet has no ${call}(): ${instead}`)
}

function activeRun(): Run | undefined {
  try {
    return getActiveRun()
  } catch {
    return undefined
  }
}
