/** TensorBoard's `SummaryWriter`, its names in camelCase, over the active run. */
import type { Stats } from '../core/types.ts'
import type { Params } from './records.ts'
import type { Run } from './run.ts'
import { getActiveRun, type StartOptions, startLogging } from './start.ts'

/** Wall times in TensorBoard's API are seconds since 1970. */
const MS_PER_SECOND = 1000

export class SummaryWriter {
  readonly run: Run
  readonly #ownsRun: boolean
  /** Steps of calls without one, per tag, as in TensorBoard. */
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

  /** @param wallTime seconds since 1970; default now */
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
    const row = Object.fromEntries(Object.entries(values).map(([key, value]) => [`${mainTag}/${key}`, value]))
    this.run.log(row, this.#place(mainTag, step, wallTime))
  }

  /** Hyperparameters with the results they led to; results are logged on step `step`, default 0. */
  addHparams(params: Params, metrics: Readonly<Record<string, number>>, step = 0): void {
    this.run.logParams(params)
    this.run.log(metrics, { step })
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
      time: wallTime === undefined ? undefined : wallTime * MS_PER_SECOND,
    }
  }

  #countStep(tag: string): number {
    const step = this.#nextStep.get(tag) ?? 0
    this.#nextStep.set(tag, step + 1)
    return step
  }
}

function activeRun(): Run | undefined {
  try {
    return getActiveRun()
  } catch {
    return undefined
  }
}
