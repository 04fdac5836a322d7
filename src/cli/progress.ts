/** One line at the foot of a terminal: how much is done, how fast, how long it will take. */
import { duration } from '../core/duration.ts'
import { CLEAR_LINE } from './terminal.ts'
import { bytes, count, fit } from './text.ts'

/** As much of a terminal as the bar needs; `process.stdout` is one. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const REDRAW_MS = 100
const BAR_COLUMNS = 24
/** Before it a rate is chance. */
const FIRST_RATE_MS = 250
const DEFAULT_COLUMNS = 80

/** Says nothing where the output is not a terminal. */
export class ProgressBar {
  readonly #label: string
  #total: number
  readonly #unit: string
  readonly #output: ProgressOutput
  readonly #now: () => number
  readonly #startedAt: number
  #drawnAt = -Infinity
  /** What was done already when the clock began to run. */
  #from: number | undefined

  /** @param unit plural noun of what is counted; 'bytes' are shown as KiB, MiB … @param now monotonic milliseconds */
  constructor(
    label: string,
    total: number,
    unit: string,
    output: ProgressOutput = process.stdout,
    now: () => number = () => performance.now(),
  ) {
    this.#label = label
    this.#total = total
    this.#unit = unit
    this.#output = output
    this.#now = now
    this.#startedAt = now()
  }

  /**
   * Draws at most ten times a second, so that it may be called at every step.
   * @param total where more has become known than there was at first
   * @param more words at the end of the line
   */
  update(done: number, total: number = this.#total, more = ''): void {
    this.#total = total
    this.#from ??= done
    if (!this.#output.isTTY) return
    const now = this.#now()
    if (now - this.#drawnAt < REDRAW_MS && done < this.#total) return
    this.#drawnAt = now
    const line = progressLine(this.#label, done, this.#total, this.#unit, now - this.#startedAt, this.#from)
    const columns = this.#output.columns || DEFAULT_COLUMNS
    this.#output.write(CLEAR_LINE + fit(more === '' ? line : `${line}  ${more}`, columns - 1))
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#output.isTTY && this.#drawnAt !== -Infinity) this.#output.write(CLEAR_LINE)
  }
}

/** `training ━━━━━━──────  25 %  500/2,000 steps  240 steps/s  6 s left` */
export function progressLine(
  label: string,
  done: number,
  total: number,
  unit: string,
  elapsedMs: number,
  from = 0,
): string {
  const share = total > 0 ? Math.min(1, done / total) : 1
  const filled = Math.floor(share * BAR_COLUMNS)
  const bar = '━'.repeat(filled) + '─'.repeat(BAR_COLUMNS - filled)
  const perSecond = elapsedMs >= FIRST_RATE_MS ? ((done - from) * 1000) / elapsedMs : 0
  const isBytes = unit === 'bytes'
  const parts = [
    `${label} ${bar} ${String(Math.floor(share * 100)).padStart(3)} %`,
    isBytes ? `${bytes(done)}/${bytes(total)}` : `${count(done)}/${count(total)} ${unit}`,
  ]
  if (perSecond > 0) {
    parts.push(isBytes ? `${bytes(Math.round(perSecond))}/s` : `${rate(perSecond)} ${unit}/s`)
    if (done < total) parts.push(`${duration(((total - done) / perSecond) * 1000)} left`)
  }
  return parts.join('  ')
}

function rate(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))
}
