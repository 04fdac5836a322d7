/**
 * One run as the drain sees it: its producers, its journal, its sums.
 *
 * A disk that fails, or that the run has no more room on, costs what cannot be journaled meanwhile, counted. It is
 * asked again by itself: a folder that was deleted is made again, with run.json, and a journal that could not be
 * opened is opened later.
 */
import { dirname } from 'node:path'
import { RUN, runCounters } from '../core/counters.ts'
import { TraceletError } from '../core/errors.ts'
import type { LaneReader } from '../ring/lane-reader.ts'
import { DiskTrouble, type DrainIssue } from './disk-trouble.ts'
import { Producer } from './drain-producer.ts'
import { pointsBytes } from './journal/points.ts'
import { type JournalSyncId, JournalWriter } from './journal/writer.ts'
import { JournalRoom } from './journal-room.ts'
import type { LaneSeries } from './lane-series.ts'
import type { RunOrder } from './messages.ts'
import { RunHome } from './run-home.ts'
import { settledFloor } from './store/cursor.ts'
import type { Descriptors } from './store/descriptors.ts'
import type { Syncer } from './store/syncer.ts'

/** What all runs of a drain thread write with. */
export interface Disk {
  readonly syncer: Syncer<JournalSyncId>
  readonly descriptors: Descriptors
  /** Whether another drain thread has taken over. */
  readonly isFenced: () => boolean
}

/** A journal that could not be opened is tried again after this long. */
const REOPEN_MS = 1000
export class DrainRun {
  readonly order: RunOrder
  readonly counters: Float64Array
  readonly producers: Producer[] = []
  /** Producers with something staged. */
  readonly dirty: Producer[] = []
  /** Monotonic ms until which delivery may take after `finish()`. */
  finishBy = 0
  readonly #disk: Disk
  readonly #isInherited: boolean
  /** Undefined when the journal could not be opened at all. */
  #writer: JournalWriter | undefined
  readonly #home: RunHome
  /** Journaled by writers of this process that are closed. */
  #pointsBefore = 0
  #recordsBefore = 0
  #isReopened = false
  /** Name and context of each series of the journal that was used here. */
  readonly #names: [name: string, context: string][] = []
  /** Taken from lanes since the last append; counted with it, lest a drain thread that dies before counts twice. */
  #stagedCoalesced = 0
  /** Why points cannot be journaled. */
  #unusable: unknown
  #reopenAt = 0
  readonly #trouble = new DiskTrouble()
  readonly #room: JournalRoom
  /** Since the last append, while there is no journal. */
  #lostRecords = 0

  /** @param isInherited whether a former drain thread of this process had the run */
  constructor(order: RunOrder, isInherited: boolean, disk: Disk) {
    this.order = order
    this.counters = runCounters(order.counters)
    this.#disk = disk
    this.#home = new RunHome(order.run.folder)
    this.#room = new JournalRoom(order)
    this.#isInherited = isInherited
    this.#isReopened = this.isClosed
    try {
      // whoever started the run in this process holds the guard until here
      // but the order of a finished run must not take it from a live one of the same id
      this.#open({ replaceOwn: isInherited || !this.isClosed })
    } catch (error) {
      this.#unusable = error
    }
  }

  #open(options: { readonly replaceOwn: boolean }): void {
    this.#home.take(options)
    this.#writer = this.#openWriter(this.#isInherited ? 'drain' : 'process')
    this.#continueSums(this.#writer)
    this.#publish()
  }

  /** Why nothing of this run can be journaled; undefined when it can. */
  get failure(): unknown {
    return this.#unusable
  }

  get isClosed(): boolean {
    return this.counters[RUN.closed] === 1
  }

  /** Whether points that came after finish() have opened the journal again. */
  get isReopened(): boolean {
    return this.#isReopened
  }

  series(name: string, context: string): number {
    const id = this.#writer?.series(name, context) ?? this.#unwrittenSeries(name, context)
    this.#names[id] = [name, context]
    return id
  }

  /** One that cannot be journaled yet gets the number that a new journal will give it. */
  #unwrittenSeries(name: string, context: string): number {
    const known = this.#names.findIndex((one) => one[0] === name && one[1] === context)
    return known < 0 ? this.#names.length : known
  }

  journaledPosition(lane: number): number {
    return this.#writer?.lanePositions.get(lane) ?? 0
  }

  /** @param series what the lane's numbers of series mean */
  addProducer(lane: LaneReader, series: LaneSeries): Producer {
    // of a run that was opened before, others have taken points
    const sawAll = !this.#isInherited && !this.#isReopened
    const producer = new Producer(this, lane, series, () => this.#writer?.takeRow() ?? 0, sawAll)
    this.producers.push(producer)
    return producer
  }

  removeProducer(producer: Producer): void {
    this.producers.splice(this.producers.indexOf(producer), 1)
  }

  /**
   * A record follows the points its producer logged before it. One that is none is counted lost: whatever a lane
   * holds must not end the thread that all runs live by.
   * @returns false for bytes that are no record
   */
  stageRecord(producer: Producer, bytes: Uint8Array): boolean {
    if (this.#unusable !== undefined || !this.#writer) {
      this.counters[RUN.recordsLostDisk]!++
      this.#lostRecords++
      return true
    }
    this.#stagePoints(producer)
    if (!this.#room.takesRecord(this.#writer, bytes.length)) {
      this.counters[RUN.recordsLostDisk]!++
      this.#writer.countLost(0, 1)
      return true
    }
    try {
      this.#writer.stageRecord(bytes, producer.lane.id, producer.lane.position)
      return true
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      this.counters[RUN.recordsLostDisk]!++
      this.#writer.countLost(0, 1)
      return false
    }
  }

  /** Before anything is staged: late points open the journal of a finished run once more. */
  prepare(): void {
    if (!this.isClosed || this.#isReopened || !this.#writer) return
    this.#isReopened = true
    const { sessionPoints, sessionRecords } = this.#writer
    try {
      this.#home.take()
      this.#writer = this.#openWriter('process')
      this.#defineAgain(this.#writer)
      this.#pointsBefore += sessionPoints
      this.#recordsBefore += sessionRecords
    } catch (error) {
      this.#unusable = error
    }
  }

  /** Definitions that the closed journal did not get to need their numbers again: producers know series by them. */
  #defineAgain(writer: JournalWriter): void {
    this.#names.forEach(([name, context], id) => {
      if (writer.series(name, context) === id) return
      throw new TraceletError(
        'ERR_LAW',
        `series '${name}' of run ${this.order.run.id} would change its number`,
      )
    })
  }

  /**
   * Appends everything staged with one write; what cannot be is counted as lost.
   * @param mustTry however short ago the disk failed
   * @returns what is to be told, if anything
   */
  append(now: number, mustTry = false): DrainIssue | undefined {
    if (this.#unusable !== undefined || !this.#writer) {
      const issue = this.#trouble.failed(this.#unusable, this.#lose(), this.#lostRecords, now)
      this.#lostRecords = 0
      this.#reopen(now)
      return issue
    }
    for (const producer of this.dirty) {
      this.#stagePoints(producer)
      producer.isClean = true
    }
    this.dirty.length = 0
    const { stagedPoints, stagedRecords } = this.#writer
    const refused = this.#room.takeRefused()
    try {
      this.#writer.commit(now, mustTry)
      if (this.isClosed) this.counters[RUN.late]! += stagedPoints
      this.#publish()
      if (refused !== undefined)
        return this.#trouble.failed(refused.error, refused.points, refused.records, now)
      return stagedPoints > 0 ? this.#trouble.works(this.order.run.id) : undefined
    } catch (error) {
      this.counters[RUN.lostDisk]! += stagedPoints
      this.counters[RUN.recordsLostDisk]! += stagedRecords
      const { points = 0, records = 0 } = refused ?? {}
      return this.#trouble.failed(error, stagedPoints + points, stagedRecords + records, now)
    } finally {
      this.counters[RUN.coalesced]! += this.#stagedCoalesced
      this.#stagedCoalesced = 0
    }
  }

  /** False when another process has taken the run over: this one must write no more. */
  touchGuard(): boolean {
    if (this.#home.touch(() => this.#writer?.isTakenOver ?? true)) return true
    this.#unusable = new TraceletError(
      'ERR_RUN_BUSY',
      `another process took run ${this.order.run.id} over while this machine slept; use \`group\` for runs that belong together`,
    )
    return false
  }

  syncNow(): void {
    if (this.#writer) this.#disk.descriptors.syncNow(this.#writer.path)
  }

  writes(writer: JournalWriter): boolean {
    return writer === this.#writer
  }

  /** Whether something is not yet as safe as this run's `durability` promises; asks for it then. */
  mustSync(): boolean {
    if (this.order.durability !== 'power') return false
    this.updateSyncAge()
    // what a failed sync may have lost is not safe before it has been written again
    if (this.isSynced && this.#writer?.isUnsafe !== true) return false
    this.syncNow()
    return true
  }

  /** Whether everything appended is safe from power loss. */
  get isSynced(): boolean {
    return this.counters[RUN.unsyncedSince] === 0
  }

  updateSyncAge(): void {
    // a closed writer's descriptor belongs to the sync thread
    const isOpen = this.#writer && (!this.isClosed || this.#isReopened)
    this.counters[RUN.unsyncedSince] = isOpen ? this.#disk.descriptors.unsyncedSince(this.#writer!.path) : 0
  }

  /** The run is finished: what comes now is late. */
  close(): void {
    try {
      this.#writer?.close()
    } finally {
      this.counters[RUN.closed] = 1
      this.#isReopened = false
      this.#publish()
      this.#home.release()
    }
  }

  /**
   * Looks whether the run's folder is where it was, and makes it again if somebody has deleted it.
   * @returns what is to be told, if anything
   */
  lookAfterFolder(now: number): DrainIssue | undefined {
    if (this.isClosed || this.#unusable !== undefined || this.#writer === undefined) return undefined
    try {
      if (!this.#writer.putBack()) return undefined
      this.#publish()
      const message = `the folder of run ${this.order.run.id} was deleted; it was made again, with what was still at hand`
      return { code: 'ERR_JOURNAL_WRITE', message }
    } catch (error) {
      return this.#trouble.failed(error, 0, 0, now)
    }
  }

  /** Segments that every destination has are removed by the sync thread, if the run's `retention` says so. */
  removeDelivered(): void {
    const writer = this.#writer
    if (this.order.retention !== 'delivered' || writer === undefined || this.#unusable !== undefined) return
    try {
      // a journal without room, all in one segment, would have none for ever
      writer.turnOver()
    } catch {
      // the next append tells it
    }
    if (writer.journalBytes <= writer.committedBytes) return
    this.#disk.syncer.removeDelivered(this.order.run.folder, writer.segment, (bytes) => writer.removed(bytes))
  }

  /** The journal cannot be opened: points that come are counted as lost. @returns how many */
  #lose(): number {
    let points = 0
    for (const producer of this.dirty) {
      const { stage } = producer
      // rows that are open have no number that the journal knows
      stage.closeRows()
      points += stage.length
      producer.taken += stage.length + stage.coalesced
      this.counters[RUN.lostDisk]! += stage.length
      this.counters[RUN.coalesced]! += stage.coalesced
      stage.clear()
      producer.isClean = true
    }
    this.dirty.length = 0
    return points
  }

  /** A disk that could not be written when the run was started may be by now. */
  #reopen(now: number): void {
    const isDisk = this.#unusable instanceof TraceletError && this.#unusable.code === 'ERR_JOURNAL_WRITE'
    if (!isDisk || this.#writer !== undefined || this.isClosed || now < this.#reopenAt) return
    this.#reopenAt = now + REOPEN_MS
    try {
      this.#home.restore()
      this.#open({ replaceOwn: true })
      this.#defineAgain(this.#writer!)
      this.#unusable = undefined
    } catch (error) {
      this.#unusable = error
    }
  }

  #openWriter(session: 'process' | 'drain'): JournalWriter {
    const { run, incarnation } = this.order
    const home = this.#home
    // the writer sees to the names of its segments; the run's own name stands in the project's folder
    this.#disk.syncer.dirtyFolder(dirname(run.folder))
    return JournalWriter.open({
      folder: run.folder,
      runId: run.id,
      nonce: incarnation,
      session,
      floor: settledFloor(run.folder),
      segmentBytes: this.#room.segmentBytes,
      syncer: this.#disk.syncer,
      descriptors: this.#disk.descriptors,
      // the writer may outlive the run, which must not be held by it
      onMissingFolder: () => home.restore(),
    })
  }

  #stagePoints(producer: Producer): void {
    const { stage, lane } = producer
    if (stage.isEmpty) return
    stage.seal()
    producer.taken += stage.length + stage.coalesced
    this.#stagedCoalesced += stage.coalesced
    if (stage.length > 0 && !this.#room.takesPoints(this.#writer!, pointsBytes(stage), stage.length)) {
      this.counters[RUN.lostDisk]! += stage.length
      this.#writer!.countLost(stage.length, 0)
    } else this.#writer!.stagePoints(stage, lane.id, lane.position)
    stage.clear()
  }

  /** What this process journaled goes on from where a former drain thread, or this one before finish(), left it. */
  #continueSums(writer: JournalWriter): void {
    if (!this.isClosed) {
      this.counters[RUN.pointsBefore] = writer.pointsBefore
      this.counters[RUN.recordsBefore] = writer.recordsBefore
    } else if (this.#isInherited) {
      this.#pointsBefore = writer.pointsBefore - this.counters[RUN.pointsBefore]!
      this.#recordsBefore = writer.recordsBefore - this.counters[RUN.recordsBefore]!
    } else {
      this.#pointsBefore = this.counters[RUN.journaled]!
      this.#recordsBefore = this.counters[RUN.recordsJournaled]!
    }
  }

  /** Sums that the journal itself knows; `seq` and `appends` last, since readers go by them. */
  #publish(): void {
    if (!this.#writer) return
    // a successor's sums must not be replaced by those of a thread that was stuck (D4)
    if (this.#disk.isFenced()) return
    this.counters[RUN.journaled] = this.#pointsBefore + this.#writer.sessionPoints
    this.counters[RUN.recordsJournaled] = this.#recordsBefore + this.#writer.sessionRecords
    this.counters[RUN.seq] = this.#writer.seq
    this.counters[RUN.appends]!++
    this.updateSyncAge()
  }
}
