/** What one producer (a lane) says of one run, on the drain's side. */
import type { LaneReader } from '../ring/lane-reader.ts'
import { PointStage } from './coalesce.ts'
import type { DrainRun } from './drain-run.ts'
import type { LaneSeries } from './lane-series.ts'

export class Producer {
  readonly run: DrainRun
  readonly lane: LaneReader
  readonly stage: PointStage
  /** Its number among the owners of the lane's series. */
  readonly owner: number
  /** Lane positions below it are in the run's journal already: a former drain thread put them there. */
  readonly journaledTo: number
  /** Nothing staged since the last append. */
  isClean = true
  /** Points taken from the lane for this run, journaled or coalesced. */
  taken = 0
  readonly #sawAll: boolean

  constructor(run: DrainRun, lane: LaneReader, series: LaneSeries, nextRow: () => number, sawAll: boolean) {
    this.run = run
    this.lane = lane
    this.owner = series.takeOwner()
    this.stage = new PointStage(nextRow, series, this.owner)
    this.journaledTo = run.journaledPosition(lane.id)
    this.#sawAll = sawAll
  }

  /** Compares what the producer says it put into the lane with what was taken from it. */
  check(pushed: number): { code: 'ERR_LAW'; message: string } | undefined {
    const taken = this.taken + this.stage.length + this.stage.coalesced
    if (!this.#sawAll || taken === pushed) return undefined
    return {
      code: 'ERR_LAW',
      message: `lane ${this.lane.id} took ${pushed} points for run ${this.run.order.run.id}, but ${taken} came out`,
    }
  }
}
