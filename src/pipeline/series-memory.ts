/**
 * What the numbers of each lane mean, by run. It outlives the readers of lanes, since a producer defines a series
 * once, and finished runs, since late points may come.
 */
import type { SeriesDefinition } from './messages.ts'

export class SeriesMemory {
  readonly #ofLane = new Map<number, Map<number, SeriesDefinition[]>>()

  remember(definition: SeriesDefinition): void {
    let runs = this.#ofLane.get(definition.lane)
    if (!runs) this.#ofLane.set(definition.lane, (runs = new Map()))
    const known = runs.get(definition.run)
    if (known) known.push(definition)
    else runs.set(definition.run, [definition])
  }

  /** Run number → its series. */
  ofLane(lane: number): Iterable<[number, readonly SeriesDefinition[]]> {
    return this.#ofLane.get(lane) ?? []
  }

  find(lane: number, local: number): SeriesDefinition | undefined {
    for (const [, definitions] of this.ofLane(lane)) {
      const found = definitions.find((known) => known.local === local)
      if (found) return found
    }
    return undefined
  }

  /** The lane's producer will define its series anew. */
  forgetLane(lane: number): void {
    this.#ofLane.delete(lane)
  }

  /** @returns whether other lanes still know the run */
  forgetRun(lane: number, run: number): boolean {
    this.#ofLane.get(lane)?.delete(run)
    for (const runs of this.#ofLane.values()) if (runs.has(run)) return true
    return false
  }
}
