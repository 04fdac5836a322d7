/** What every thread of a run can say: the owner's `Run` and another thread's `AttachedRun` alike. */
import type { ErrorRecord } from '../core/errors.ts'
import type { RunRecord } from '../core/types.ts'
import { type Dataset, defineMetric, logDataset, type MetricOptions, setNotes } from './descriptions.ts'
import type { Metric } from './metric.ts'
import type { LogPlace, RunProducer } from './producer.ts'
import { logParams, type Params, setTags, type Tags } from './records.ts'

export const DEFAULT_FLUSH_TIMEOUT_MS = 30_000
export interface FlushOptions {
  /** Longest wait for the journal; default 30 s. */
  readonly timeoutMs?: number
}

export class RunLogger {
  /** @internal */
  protected readonly producer: RunProducer
  readonly #report: (issue: ErrorRecord) => void

  /** @internal */
  constructor(producer: RunProducer, report: (issue: ErrorRecord) => void) {
    this.producer = producer
    this.#report = report
  }

  /**
   * Logs one row: `run.log({ loss: 0.5, acc: 0.9 }, { step })`.
   * @param values numbers by name; names of 1 to 4,096 bytes, any characters but U+0000
   * @param place `step`: integer in ±(2^53 − 1), default a counter per run and producer; `time`: ms since 1970;
   *   `context`: tells apart series of one name, such as 'train' and 'val'
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
    logParams(this.producer, params, this.#report)
  }

  /** Words, or words with values; a later value replaces an earlier one. */
  setTags(tags: Tags): void {
    setTags(this.producer, tags, this.#report)
  }

  /** The run's description, Markdown; a later one replaces it. */
  setNotes(markdown: string): void {
    setNotes(this.producer, markdown, this.#report)
  }

  /**
   * Says how series are to be read: `run.defineMetric('val/*', { axis: 'epoch', summary: 'best', goal: 'maximize' })`.
   * @param name of a series; one that ends in `*` means all series that begin so. A later definition replaces it.
   */
  defineMetric(name: string, options?: MetricOptions): void {
    defineMetric(this.producer, name, options, this.#report)
  }

  /** A dataset that the run reads. Its content is not copied; `logArtifact` does that. */
  logDataset(dataset: Dataset): void {
    logDataset(this.producer, dataset, this.#report)
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
