/** What a trainer is told to do, and where it leaves what it noted. */
import { join } from 'node:path'
import type { Backend } from '../../src/index.ts'
import type { Thread } from './truth.ts'

export interface Orders {
  readonly dir: string
  readonly runId: string
  readonly backend: Backend
  /** Where the diaries go. */
  readonly diaries: string
  /** How many processes have written to the run before. */
  readonly life: number
  /**
   * How it gets to the run: by its id; by `resume`, where the run goes on in the backends it had; or by `resume` with
   * a step beyond all others, of which every backend is told though nothing is gone back on.
   */
  readonly entry: 'runId' | 'resume' | 'rewind'
  /** Bound handles, whole rows, or one after the other. */
  readonly style: 'handles' | 'rows' | 'mixed'
  /** As fast as it goes; a few rows a millisecond; bursts with pauses between them. */
  readonly pace: 'flat' | 'steady' | 'bursts'
  readonly rowsPerMs: number
  readonly pauseMs: number
  /** Whether the event loop ever turns, or waits are synchronous. */
  readonly turns: boolean
  /** A second thread logs too, at a steady pace. */
  readonly hasWorker: boolean
  /** How often everything is flushed and that is noted; 0 for never. Needs `turns`. */
  readonly flushEveryMs: number
  /** How often each thread logs a text, an image or a file; 0 for never. */
  readonly recordEveryMs: number
  /** A flat pace stops being flat after so many rows: what is logged must also be delivered and checked. */
  readonly flatRows: number
  /** After so long the run is finished; Infinity is not JSON, so 0 is never. */
  readonly finishAfterMs: number
  /** Longest wait of finish(). */
  readonly finishDeadlineMs: number
}

/** Beyond every step that is logged. */
export const REWIND_STEP: number = 2 ** 52

export function paramsOf(life: number): Record<string, number> {
  return { [`rate of ${life}`]: 0.1 + life }
}
export function tagsOf(life: number): Record<string, string> {
  return { [`life ${life}`]: `t${life}` }
}
export function diaryPath(orders: Orders, thread: Thread): string {
  return join(orders.diaries, `${orders.runId}-${orders.life}-${thread}`)
}
/** Where it leaves the sums that `finish()` told. */
export function statsPath(orders: Orders): string {
  return join(orders.diaries, `${orders.runId}-${orders.life}-stats`)
}
export function latenessPath(orders: Orders): string {
  return join(orders.diaries, `${orders.runId}-${orders.life}-lateness`)
}
