/** One lane as the drain reads it: what its numbers mean, and the loop every point goes through. */
import type { LaneReader } from '../ring/lane-reader.ts'
import { CONTROL_BIT, LANE_RECORD } from '../ring/layout.ts'
import type { Producer } from './drain-producer.ts'
import type { DrainRun } from './drain-run.ts'
import { LaneSeries } from './lane-series.ts'
import type { SeriesDefinition } from './messages.ts'

/** What a lane asks of the drain that reads it. */
export interface LaneOwner {
  /** Undefined for a run that is gone: what announces one is posted before its first slot. */
  runFor(lane: DrainLane, number: number): DrainRun | undefined
  /** Before something is staged for a producer that has nothing staged. */
  soil(producer: Producer): void
  /** Whose series it is that this lane does not know, or no more. */
  recall(lane: DrainLane, local: number): Producer | undefined
  defined(definition: SeriesDefinition): void
  marked(producer: Producer, pushed: number): void
  /** A record of the run could not be read. */
  unreadable(run: DrainRun): void
  finished(run: DrainRun, deadlineAt: number): void
}

const decoder = new TextDecoder()

export class DrainLane {
  readonly reader: LaneReader
  readonly producers = new Map<number, Producer>()
  /** Points and records that nobody here knows: of a run that was finished before the drain thread was replaced. */
  orphans = 0
  readonly #owner: LaneOwner
  readonly #series = new LaneSeries()
  /** By their numbers as owners of series. */
  readonly #owners: (Producer | undefined)[] = []

  constructor(reader: LaneReader, owner: LaneOwner) {
    this.reader = reader
    this.#owner = owner
  }

  /** Takes points up to the next record; returns how many. */
  takePoints(most: number): number {
    const reader = this.reader
    const owners = this.#owners
    let taken = 0
    while (taken < most) {
      const position = (reader.read + taken) | 0
      const id = reader.u32[(position & reader.mask) * 8 + 1]!
      if (id >= CONTROL_BIT) break
      const producer = owners[this.#series.ownerOf(id)] ?? this.#owner.recall(this, id)
      if (producer === undefined) {
        this.orphans++
        taken++
        continue
      }
      if (producer.isClean) this.#owner.soil(producer)
      // what a former drain thread has journaled is passed over
      if (reader.position + taken < producer.journaledTo) taken++
      else taken += producer.stage.take(reader, position, most - taken)
    }
    reader.take(taken)
    return taken
  }

  /** Takes one record; returns its slots. */
  takeRecord(): number {
    const { reader } = this
    const kind = reader.u32[(reader.read & reader.mask) * 8 + 1]! & ~CONTROL_BIT
    const { a, b, bytes, slots } = reader.record()
    const run = this.#owner.runFor(this, kind === LANE_RECORD.series ? b : a)
    reader.take(slots)
    if (!run) {
      this.orphans++
      return slots
    }
    if (kind === LANE_RECORD.series) {
      const [name, context] = decoder.decode(bytes).split('\0') as [string, string]
      const definition = { lane: reader.id, local: a, run: b, name, context }
      this.#owner.defined(definition)
      this.define(definition, run)
      return slots
    }
    const producer = this.#producer(run)
    if (producer.isClean) this.#owner.soil(producer)
    if (reader.position <= producer.journaledTo) return slots
    if (kind === LANE_RECORD.record) {
      if (!run.stageRecord(producer, bytes)) this.#owner.unreadable(run)
    } else if (kind === LANE_RECORD.mark) this.#owner.marked(producer, b)
    else if (kind === LANE_RECORD.finish) this.#owner.finished(run, b)
    return slots
  }

  define({ local, name, context }: SeriesDefinition, run: DrainRun): Producer {
    const producer = this.#producer(run)
    producer.stage.define(local, run.series(name, context))
    return producer
  }

  /** Lanes outlive runs by far: what a finished one holds must not stay with them. */
  removeRun(number: number): void {
    const producer = this.producers.get(number)
    if (!producer) return
    this.producers.delete(number)
    producer.run.removeProducer(producer)
    this.#owners[producer.owner] = undefined
    this.#series.giveOwner(producer.owner)
  }

  #producer(run: DrainRun): Producer {
    let producer = this.producers.get(run.order.number)
    if (!producer) {
      producer = run.addProducer(this.reader, this.#series)
      this.producers.set(run.order.number, producer)
      this.#owners[producer.owner] = producer
    }
    return producer
  }
}
