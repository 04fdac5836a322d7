/** What the programs of this folder are told, and what they tell. */
import type { StartOptions } from '../../src/index.ts'

export interface ManyRuns {
  readonly dir: string
  readonly backend: StartOptions['backend']
  /** How many runs are open at each look, ascending. */
  readonly looks: readonly number[]
  /** Whether everything is delivered before each look. */
  readonly awaitsDelivery: boolean
  readonly idleMs: number
  readonly end: 'finish' | 'exit'
  readonly deadlineMs: number
}
export interface ManyRunsLook {
  readonly runs: number
  readonly rssBytes: number
  readonly descriptors: number
  readonly threads: number
  /** Of the last 50 runs. */
  readonly startMs: number
}
export interface ManyRunsEnd {
  /** Share of a core over `idleMs`. */
  readonly idleCpu: number
  readonly finishMs: number
  /** Runs whose sums do not add up, in words. */
  readonly broken: readonly string[]
  readonly pending: number
}

export const POINTS_PER_RUN = 12

export interface OneAfterAnother {
  readonly dir: string
  readonly backend: StartOptions['backend']
  /** After how many runs it is looked, ascending. */
  readonly looks: readonly number[]
}
export interface OneAfterAnotherLook {
  readonly runs: number
  readonly rssBytes: number
  readonly heapBytes: number
  readonly bufferBytes: number
  readonly descriptors: number
  readonly threads: number
  readonly listeners: Readonly<Record<string, number>>
  readonly resources: readonly string[]
}
