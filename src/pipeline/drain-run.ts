/** One run as the drain sees it: its producers, its journal, its sums. */
import { RUN, runCounters } from '../core/counters.ts'
import type { LaneReader } from '../ring/lane-reader.ts'
import { Producer } from './drain-producer.ts'
import { decodeRecord } from './journal/records.ts'
import { JournalWriter } from './journal/writer.ts'
import type { RunOrder } from './messages.ts'
import type { Syncer } from './store/syncer.ts'

export class DrainRun {
  readonly order: RunOrder
  readonly counters: Float64Array
  readonly producers: Producer[] = []
  /** Producers with something staged. */
  readonly dirty: Producer[] = []
  /** Monotonic ms until which delivery may take after `finish()`. */
  finishBy = 0
  readonly #writer: JournalWriter
  readonly #isFirstDrain: boolean
  #recordsStaged = 0

  constructor(order: RunOrder, epoch: number, syncer: Syncer) {
    this.order = order
    this.counters = runCounters(order.counters)
    this.#isFirstDrain = epoch === 1
    this.#writer = JournalWriter.open({
      folder: order.run.folder,
      runId: order.run.id,
      session: this.#isFirstDrain ? 'process' : 'drain',
      syncer,
    })
    this.#publish()
  }

  series(name: string, context: string): number {
    return this.#writer.series(name, context)
  }

  journaledPosition(lane: number): number {
    return this.#writer.lanePositions.get(lane) ?? 0
  }

  addProducer(lane: LaneReader): Producer {
    const producer = new Producer(this, lane, () => this.#writer.takeRow(), this.#isFirstDrain)
    this.producers.push(producer)
    return producer
  }

  get isClosed(): boolean {
    return this.counters[RUN.closed] === 1
  }

  removeProducer(producer: Producer): void {
    this.producers.splice(this.producers.indexOf(producer), 1)
  }

  /** A record follows the points its producer logged before it. */
  stageRecord(producer: Producer, bytes: Uint8Array): void {
    this.#stagePoints(producer)
    this.#writer.stageRecord(decodeRecord(bytes), producer.lane.id, producer.lane.position)
    this.#recordsStaged++
  }

  /** Appends everything staged with one write. Returns why it failed, if it did: what was staged is lost then. */
  append(now: number): unknown {
    for (const producer of this.dirty) {
      this.#stagePoints(producer)
      producer.isClean = true
    }
    this.dirty.length = 0
    const records = this.#recordsStaged
    this.#recordsStaged = 0
    const points = this.#stagedPoints
    this.#stagedPoints = 0
    try {
      this.#writer.commit(now)
      this.#publish()
      return undefined
    } catch (error) {
      this.counters[RUN.lostDisk]! += points
      this.counters[RUN.recordsLostDisk]! += records
      return error
    }
  }

  syncNow(): void {
    this.#writer.syncNow()
  }

  close(): void {
    this.#writer.close()
    this.counters[RUN.closed] = 1
  }

  #stagedPoints = 0

  #stagePoints(producer: Producer): void {
    const { stage, lane } = producer
    if (stage.isEmpty) return
    stage.seal()
    this.#writer.stagePoints(stage, lane.id, lane.position)
    this.#stagedPoints += stage.length
    const taken = stage.length + stage.coalesced
    producer.taken += taken
    this.counters[RUN.coalesced]! += stage.coalesced
    if (this.isClosed) this.counters[RUN.late]! += taken
    stage.clear()
  }

  /** Sums that the journal itself knows; `seq` last, since readers go by it. */
  #publish(): void {
    this.counters[RUN.journaled] = this.#writer.sessionPoints
    this.counters[RUN.recordsJournaled] = this.#writer.sessionRecords
    this.counters[RUN.seq] = this.#writer.seq
  }
}
