/** This thread's lane into a drain thread: one, whatever the number of runs. */
import type { ErrorRecord } from '../core/errors.ts'
import { LaneWriter } from '../ring/lane-writer.ts'
import { createLane } from '../ring/layout.ts'

export interface ThreadLaneOptions {
  readonly laneSlots: number
  readonly overflow: 'block' | 'drop'
  readonly blockMaxMs: number
}

export class ThreadLane {
  readonly writer: LaneWriter
  #series = 0

  constructor(
    control: SharedArrayBuffer,
    options: ThreadLaneOptions,
    announce: (lane: SharedArrayBuffer) => void,
    report: (issue: ErrorRecord) => void,
    onWait?: () => void,
  ) {
    const { laneSlots, overflow, blockMaxMs } = options
    this.writer = new LaneWriter(control, createLane(control, laneSlots), {
      overflow,
      blockMaxMs,
      announce,
      onFull: () =>
        report({
          code: 'ERR_LANE_FULL',
          message: `the ring of ${laneSlots} slots stayed full${overflow === 'block' ? ` for ${blockMaxMs} ms` : ''}; points are counted as lost until there is room (laneSlots, overflow, blockMaxMs)`,
        }),
      ...(onWait && { onWait }),
    })
  }

  /** Numbers series within the lane, over all its runs. */
  readonly takeSeries = (): number => this.#series++
}
