/** What every thread of a run can say: the owner's `Run` and another thread's `AttachedRun` alike. */
import type { ErrorRecord } from '../core/errors.ts'
import type { RunRecord } from '../core/types.ts'
import type { Snapshot } from '../pipeline/parking/messages.ts'
import { type AlertOptions, logAlert } from './alerts.ts'
import { attempt } from './attempt.ts'
import { type ConsolePlace, logConsole } from './console.ts'
import {
  type Dataset,
  defineMetric,
  logDataset,
  type MetricOptions,
  setNotes,
  useArtifact,
} from './descriptions.ts'
import { type ArtifactOptions, logArtifact, logModel, type ModelOptions } from './media/artifact.ts'
import { type CodeOptions, logCode } from './media/code.ts'
import type { FigureInput } from './media/figure.ts'
import type { HistogramInput } from './media/histogram.ts'
import type { ImageInput } from './media/image.ts'
import type { MediaLog } from './media/media-log.ts'
import type { MediaPlace } from './media/place.ts'
import { type FileOptions, logFile } from './media/run-files.ts'
import type { TableInput } from './media/table.ts'
import type { Metric } from './metric.ts'
import type { LogPlace, RunProducer } from './producer.ts'
import { logParams, type Params, setTags, type Tags } from './records.ts'

export class RunLogger {
  /** @internal */
  protected readonly producer: RunProducer
  readonly #report: (issue: ErrorRecord) => void
  readonly #media: MediaLog

  /** @internal */
  constructor(producer: RunProducer, report: (issue: ErrorRecord) => void, media: MediaLog) {
    this.producer = producer
    this.#report = report
    this.#media = media
  }

  /**
   * Logs one row: `run.log({ loss: 0.5, acc: 0.9 }, { step })`.
   * @param values numbers by name; names of 1 to 4,096 bytes, any characters but U+0000
   * @param place `step`: integer in ±(2^53 − 1), default a counter per run and producer; `time`: ms since 1970;
   *   `context`: tells apart series of one name, such as 'train' and 'val'
   *
   * Series whose names begin with `system/`, such as `system/gpu.0.temp`, are the machine's: a backend that keeps
   * system metrics apart has them there, the others as any series.
   *
   * Never throws for a backend's sake and never waits for one. What cannot be logged costs itself only: it is
   * counted in `stats().refused` and reported with a code (ERR_VALUE, ERR_NAME, ERR_STEP, ERR_TIME).
   */
  log(values: Readonly<Record<string, number>>, place?: LogPlace): void {
    this.producer.log(values, place)
  }

  /**
   * A series bound once, for loops that count nanoseconds: `const loss = run.metric('loss'); loss.log(step, 0.5)`.
   * @param context tells apart series of one name, such as 'train' and 'val'; default none
   * @throws TraceletError ERR_NAME
   */
  metric(name: string, context = ''): Metric {
    return this.producer.metric(name, context)
  }

  /** Hyperparameters; nested objects become `optimizer.lr`, secrets `[REDACTED:…]`. */
  logParams(params: Params): void {
    attempt('logParams', this.#report, () => logParams(this.producer, params, this.#report))
  }

  /** Words, or words with values; a later value replaces an earlier one. */
  setTags(tags: Tags): void {
    attempt('setTags', this.#report, () => setTags(this.producer, tags, this.#report))
  }

  /** The run's description, Markdown; a later one replaces it. */
  setNotes(markdown: string): void {
    attempt('setNotes', this.#report, () => setNotes(this.producer, markdown, this.#report))
  }

  /**
   * Says how series are to be read: `run.defineMetric('val/*', { axis: 'epoch', summary: 'best', goal: 'maximize' })`.
   * @param name of a series; one that ends in `*` means all series that begin so. A later definition replaces it.
   */
  defineMetric(name: string, options?: MetricOptions): void {
    attempt('defineMetric', this.#report, () => defineMetric(this.producer, name, options, this.#report))
  }

  /** A dataset that the run reads. Its content is not copied; `logArtifact` does that. */
  logDataset(dataset: Dataset): void {
    attempt('logDataset', this.#report, () => logDataset(this.producer, dataset, this.#report))
  }

  /**
   * An artifact that the run reads, such as one that an earlier run logged: a backend that knows it links the two.
   * Nothing is downloaded.
   * @param name as the backend knows it: `name`, `name:alias` or `name:v3`, with `entity/project/` before it for one
   *   of another project; without an alias the latest
   * @param options `type`: as it was logged with, such as `dataset`; default whatever the backend has of that name
   */
  useArtifact(name: string, options: { readonly type?: string | undefined } = {}): void {
    attempt('useArtifact', this.#report, () => useArtifact(this.producer, name, options, this.#report))
  }

  /**
   * Tells people: `run.alert('loss is NaN', 'epoch 3, lr 0.1', { level: 'error' })`. W&B sends it by e-mail or Slack,
   * to those who have switched that on there; it goes out when the run is delivered, be that later.
   * @param title up to 250 characters, W&B shows 63
   * @param text Markdown, up to 16,384 characters; longer ones are cut, and said so. Secrets become `[REDACTED:…]`
   */
  alert(title: string, text = '', options: AlertOptions = {}): void {
    attempt('alert', this.#report, () =>
      logAlert(title, text, options, (record) => this.#media.put(record), this.#report),
    )
  }

  /**
   * What the program printed. Each call is whole lines, whether the last one ends in a line break or not; long texts
   * become several records, a line of more than 16,384 characters several lines. Control characters stay, secrets
   * become `[REDACTED:…]`.
   */
  logConsole(text: string, place: ConsolePlace = {}): void {
    attempt('logConsole', this.#report, () => logConsole(this.producer, text, place, this.#report))
  }

  /** A text, such as a generated sample; up to 256 MiB. */
  logText(name: string, text: string, place: MediaPlace = {}): void {
    this.#media.text(name, text, place)
  }

  /**
   * How values are spread: weights, gradients, scores.
   * @param values numbers (NaN and ±Infinity are left out, and said so), or bins: n + 1 ascending edges, n counts
   * @param place `bins`: 1 to 512 of equal width, default 64
   */
  logHistogram(
    name: string,
    values: HistogramInput,
    place: MediaPlace & { readonly bins?: number | undefined } = {},
  ): void {
    this.#media.histogram(name, values, place)
  }

  /**
   * @param image the bytes of a PNG, JPEG, GIF or WebP, kept as they are; or pixels: `{ data, shape, dataFormat? }`,
   *   0 to 255 in bytes or 0 to 1 in reals, `[h, w]`, `[h, w, c]` or, with dataFormat 'CHW', `[c, h, w]`; kept as PNG
   *
   * The call copies the bytes and returns; another thread encodes and writes. Bad images are reported as ERR_VALUE.
   */
  logImage(
    name: string,
    image: ImageInput,
    place: MediaPlace & { readonly caption?: string | undefined } = {},
  ): void {
    this.#media.image(name, image, place)
  }

  /** Several images of one name and step, such as a batch of samples. */
  logImages(name: string, images: readonly ImageInput[], place: MediaPlace = {}): void {
    this.#media.images(name, images, place)
  }

  /**
   * @param rows objects, their keys the columns; or `{ columns, data }`. At most 1,000,000 cells. NaN, infinities,
   *   big integers and dates (ISO 8601) are kept as texts, since tables are kept as JSON
   */
  logTable(name: string, rows: TableInput, place: MediaPlace = {}): void {
    this.#media.table(name, rows, place)
  }

  /** @param figure Plotly's `{ data, layout }`, or an image of one as in `logImage` */
  logFigure(name: string, figure: FigureInput, place: MediaPlace = {}): void {
    this.#media.figure(name, figure, place)
  }

  /**
   * Counts of a binary classifier at thresholds evenly from 0 to 1, from which precision and recall are drawn.
   * @param labels truths: booleans, or 0 and 1
   * @param predictions scores in 0 … 1, one for each label
   * @param place `thresholds`: default 127; `weights`: one for each label, default 1
   */
  logPrCurve(
    name: string,
    labels: ArrayLike<number | boolean> | Iterable<number | boolean>,
    predictions: ArrayLike<number> | Iterable<number>,
    place: MediaPlace & {
      readonly thresholds?: number | undefined
      readonly weights?: ArrayLike<number> | Iterable<number> | undefined
    } = {},
  ): void {
    this.#media.prCurve(name, labels, predictions, place)
  }

  /**
   * Keeps a file or a folder (with all below it) as it is at the call, or names what lies elsewhere.
   * @param pathOrUri a path or `file:` URL, or a reference such as `s3://bucket/key`, of which nothing is copied
   * @returns what became of it: never rejects, and need not be awaited. Files of more than 1 MiB in all are copied by
   *   another thread; one that is changed before the promise resolves refuses the artifact (ERR_ARTIFACT)
   *
   * In a folder, links that lead out of it, links that go in circles, sockets and devices are left out, and said so.
   */
  logArtifact(pathOrUri: string | URL, options: ArtifactOptions = {}): Promise<Snapshot> {
    return logArtifact(this.#media, pathOrUri, options)
  }

  /**
   * A file of the run itself, or a folder of them: W&B's Files panel, MLflow's artifacts of the run at their own paths.
   * Kept as it is at the call, as by `logArtifact`, but without a name, a type or versions: a later one of the same
   * path takes its place.
   * @param options `as`: where it stands in the run, such as 'logs/train.txt'; default the path's base name
   */
  logFile(path: string | URL, options: FileOptions = {}): Promise<Snapshot> {
    return logFile(this.#media, path, options)
  }

  /**
   * The source of the program as an artifact of type `code`: files with the endings of JavaScript, TypeScript, Python
   * and shell, and what describes a project (see CodeOptions), from the folder and those below it. Hidden folders,
   * `node_modules`, `bower_components`, `dist`, `__pycache__`, Python environments and tracelet's own runs are never
   * taken. At most 10,000 files and 64 MiB, more are refused (ERR_ARTIFACT).
   * @param folder default the current one; a single file is taken whatever its name
   */
  logCode(folder: string | URL = '.', options: CodeOptions = {}): Promise<Snapshot> {
    return logCode(this.#media, folder, options)
  }

  /** A model's files, as `logArtifact` keeps them; with `register` they become a version of a registered model. */
  logModel(pathOrUri: string | URL, options: ModelOptions = {}): Promise<Snapshot> {
    return logModel(this.#media, pathOrUri, options)
  }

  /** @internal */
  protected record(record: RunRecord): void {
    this.producer.record(record)
  }

  /** Publishes what this thread logged and marks its rows as complete. */
  protected mark(): void {
    this.producer.mark()
  }
}
