/** What a trainer logs: every value follows from the thread, the series and the step, so a checker needs no record of it. */
import { Random } from '../random.ts'

export const SERIES = 8
/** Threads that log to one run. The worker's steps run from −1 downwards, so that a point tells whose it is. */
export const THREADS = ['main', 'worker'] as const
export type Thread = (typeof THREADS)[number]
/** Both threads log to the last series under one name. */
const SHARED = SERIES - 1
const TABLE = 4096

/** Bit patterns of any exponent; neighbours differ, so a point that slipped by one is seen. */
const random = new Random(20_231)
const table = Float64Array.from({ length: TABLE }, () => random.double())

/** Name of a thread's series; `life` counts the processes that have written to the run. */
export function seriesName(life: number, thread: Thread, series: number): string {
  return series === SHARED ? `${life}/shared` : `${life}/${thread}/${series}`
}

/** The step of a thread's n-th row. */
export function stepOf(thread: Thread, row: number): number {
  return thread === 'main' ? row : -1 - row
}

export function valueAt(series: number, step: number): number {
  return step % 2 === 0 ? table[(step + series * 977) & (TABLE - 1)]! : step + series / SERIES
}
