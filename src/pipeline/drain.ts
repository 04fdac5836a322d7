/**
 * The drain: takes points from every lane, coalesces them into rows and appends them to the journal of their run.
 * Synchronous from end to end; the thread around it (`drain-thread.ts`) decides when it runs and how it sleeps.
 *
 * D1  A slot is freed only after the append that holds it (or after its loss to the disk is counted).
 * D2  What a lane says is handled in its order: a series is known before its points.
 * D3  One run's failing disk costs that run only.
 * D4  A drain whose EPOCH has passed stops before the next append; the segment its successor begins has sealed
 *     what it may have written since.
 */
import { monotonicNow } from '../core/clock.ts'
import { toErrorRecord } from '../core/errors.ts'
import { LaneReader, laneId } from '../ring/lane-reader.ts'
import { CONTROL, CONTROL_F64 } from '../ring/layout.ts'
import type { DrainHooks } from './drain-hooks.ts'
import { DrainLane, type LaneOwner } from './drain-lane.ts'
import type { Producer } from './drain-producer.ts'
import { type Disk, DrainRun } from './drain-run.ts'
import type { JournalSyncId } from './journal/writer.ts'
import type { RunOrder, SeriesDefinition } from './messages.ts'
import { SeriesMemory } from './series-memory.ts'
import { GUARD_TOUCH_MS } from './store/guard.ts'
import type { SyncReport } from './store/syncer.ts'

/** Slots taken from one lane before the next gets its turn. */
const TURN_SLOTS = 8192
/** The journal is appended to when so many points are staged (≈ 256 KiB) … */
const APPEND_POINTS = 16_384
/**
 * … or when the oldest may be this old: the append must have ended before it is 20 ms old, which is what a kill may
 * cost. Above MANY_RUNS active runs, the longer time.
 */
const APPEND_AGE_MS = 15
const APPEND_AGE_MANY_RUNS_MS = 100
const MANY_RUNS = 500
/** Of the time that a destination gives; the rest is for the nap before, and for delivery. */
const FRESH_APPEND_PART = 0.4
/** How often rows, guards and ages are looked at. */
const CARE_MS = 1000
const TOUCH_PARTS = GUARD_TOUCH_MS / CARE_MS

export class Drain implements LaneOwner {
  readonly runs = new Map<number, DrainRun>()
  /** Finished runs that late points may still come for. */
  readonly #finished = new Map<number, RunOrder>()
  /** Of them: those that their owner let go of, by its lane, and up to where that had been written then. */
  readonly #letGo = new Map<number, { readonly lane: number; readonly position: number }>()
  readonly #lanes = new Map<number, DrainLane>()
  readonly #control: Int32Array
  readonly #controlF64: Float64Array
  readonly #epoch: number
  readonly #disk: Disk
  readonly #hooks: DrainHooks
  readonly #dirty = new Set<DrainRun>()
  #definitions: SeriesDefinition[] = []
  readonly #known = new SeriesMemory()
  /** Monotonic ms of the pass under way, and of the one before: what a pass finds was logged after that. */
  #now = -Infinity
  #passedAt = -Infinity
  /** Slots taken since the last append. */
  #staged = 0
  #stagedSince = 0
  #freshMs = Infinity
  #caredAt = 0
  #untouched: DrainRun[] = []
  /** Runs whose FINISH was met: closed when every lane has been read to where it stood then. */
  #finishing: DrainRun[] = []

  constructor(
    control: SharedArrayBuffer,
    epoch: number,
    inherited: readonly SeriesDefinition[],
    disk: Disk,
    hooks: DrainHooks,
  ) {
    this.#control = new Int32Array(control)
    this.#controlF64 = new Float64Array(control)
    this.#epoch = epoch
    this.#disk = disk
    this.#hooks = hooks
    for (const definition of inherited) this.#known.remember(definition)
  }

  /** Milliseconds until the next pass has something to do by itself; Infinity when nothing is staged or unsynced. */
  dueInMs(now: number): number {
    const sync = this.#disk.syncer.isBusy ? Math.max(1, this.#disk.syncer.dueInMs(now)) : Infinity
    return Math.min(
      sync,
      this.#dirty.size === 0 ? Infinity : Math.max(0, this.#stagedSince + this.#appendAgeMs - now),
    )
  }
  get isFenced(): boolean {
    return this.#disk.isFenced()
  }
  /** Whether some lane holds published slots, or somebody waits for a flush. */
  get hasWork(): boolean {
    for (const lane of this.#lanes.values()) if (lane.reader.available() !== 0) return true
    return this.#flushTicket !== Atomics.load(this.#control, CONTROL.flushDone)
  }

  /** @param isInherited whether a former drain thread had it */
  addRun(order: RunOrder, isInherited: boolean): void {
    if (this.runs.has(order.number)) return
    this.#beat()
    const run = new DrainRun(order, isInherited, this.#disk)
    this.runs.set(order.number, run)
    this.#freshMs = Math.min(this.#freshMs, order.freshMs ?? Infinity)
    if (run.failure !== undefined) this.#hooks.onIssue(run, toErrorRecord(run.failure, 'ERR_JOURNAL_WRITE'))
  }

  /**
   * A finished run that every destination has closed; what still comes of it opens its journal again. One that late
   * points have opened by now stays: they must not meet a second writer.
   */
  removeRun(number: number): void {
    const run = this.runs.get(number)
    if (!run || run.isReopened) return
    for (const lane of this.#lanes.values()) lane.removeRun(number)
    this.#finished.set(number, run.order)
    this.runs.delete(number)
  }

  /** Nobody logs to the finished run by the lane of that id any more: what is kept for late points may go. */
  letGo(number: number, lane: number): void {
    const reader = this.#lanes.get(lane)?.reader
    const position = reader ? reader.position + reader.available() : 0
    this.#letGo.set(number, { lane, position })
  }

  /** Those whose owner's lane was read to where it stood, unless another thread's lane knows them. */
  #forgetRuns(): void {
    for (const [number, { lane, position }] of this.#letGo) {
      if (this.runs.has(number) || (this.#lanes.get(lane)?.reader.position ?? Infinity) < position) continue
      if (this.#known.forgetRun(lane, number)) continue
      this.#finished.delete(number)
      this.#letGo.delete(number)
    }
  }

  addLane(buffer: SharedArrayBuffer): void {
    const id = laneId(buffer)
    if (this.#lanes.has(id)) return
    let journaledTo = 0
    for (const run of this.runs.values()) journaledTo = Math.max(journaledTo, run.journaledPosition(id))
    const reader = new LaneReader(buffer, this.#epoch, journaledTo)
    const lane = new DrainLane(reader, this)
    this.#lanes.set(id, lane)
    for (const [number, definitions] of this.#known.ofLane(id)) {
      // a finished one is looked for when a late point of it comes
      const run = this.runs.get(number)
      if (run) for (const definition of definitions) lane.define(definition, run)
    }
  }

  /** A sign of life: also between runs that are opened or closed, of which there may be a thousand at once. */
  #beat(now = monotonicNow()): void {
    this.#controlF64[CONTROL_F64.heartbeat] = now
  }

  /** One round over all lanes. Returns the slots taken. */
  pass(now: number): number {
    this.#controlF64[CONTROL_F64.clock] = Date.now()
    this.#beat(now)
    const flush = this.#flushTicket
    const flushing = flush !== Atomics.load(this.#control, CONTROL.flushDone)
    // a lane announced before the flush was asked for belongs to it
    if (flushing) this.#hooks.receive()
    // one met during this pass waits for the next: other lanes must be read once more after it
    const finishing = this.#finishing.splice(0)
    const settling = flushing || finishing.length > 0
    this.#passedAt = this.#now
    this.#now = now
    let taken = 0
    for (const lane of this.#lanes.values()) taken += this.#takeFrom(lane, settling)
    for (const report of this.#disk.syncer.poll(now)) this.#handleSync(report)
    if (now - this.#caredAt >= CARE_MS) this.#care(now)
    if (settling || this.#staged >= APPEND_POINTS || this.#isDue(now)) this.append(now, settling)
    if (finishing.length > 0) this.#finish(finishing, now)
    if (flushing) this.#answerFlush(flush)
    return taken
  }

  /** Appends everything staged and frees its slots. */
  append(now: number, mustTry = false): void {
    if (this.isFenced) return
    if (this.#definitions.length > 0) {
      this.#hooks.onDefinitions(this.#definitions)
      this.#definitions = []
    }
    for (const run of this.#dirty) {
      if (this.#dirty.size > MANY_RUNS) this.#beat()
      const issue = run.append(now, mustTry)
      if (issue !== undefined) this.#hooks.onIssue(run, issue)
    }
    if (this.isFenced) return
    if (this.#dirty.size > 0) this.#hooks.onAppend()
    this.#dirty.clear()
    this.#staged = 0
    for (const lane of this.#lanes.values()) {
      lane.reader.free()
      if (lane.reader.isDone) this.#forget(lane, true)
    }
  }

  #isDue(now: number): boolean {
    return this.#dirty.size > 0 && now - this.#stagedSince >= this.#appendAgeMs
  }
  get #flushTicket(): number {
    return Atomics.load(this.#control, CONTROL.flushRequest)
  }
  get #appendAgeMs(): number {
    if (this.runs.size > MANY_RUNS) return APPEND_AGE_MANY_RUNS_MS
    return Math.min(APPEND_AGE_MS, this.#freshMs * FRESH_APPEND_PART)
  }

  /** @param all everything published by now, not just one turn */
  #takeFrom(lane: DrainLane, all: boolean): number {
    const reader = lane.reader
    let left = reader.available()
    if (!all && left > TURN_SLOTS) left = TURN_SLOTS
    const before = reader.position
    while (left > 0) {
      const points = lane.takePoints(Math.min(left, TURN_SLOTS))
      left -= points
      // a long backlog must not become one frame
      if (reader.unfreed > Math.min(reader.mask >> 1, APPEND_POINTS)) this.append(this.#now)
      if (left <= 0) break
      if (points === TURN_SLOTS) continue
      const slots = lane.takeRecord()
      if (slots === 0) break
      left -= slots
    }
    const taken = reader.position - before
    this.#staged += taken
    if (reader.unfreed > reader.mask >> 1) this.append(this.#now)
    return taken
  }

  /** @internal LaneOwner */
  runFor(lane: DrainLane, number: number): DrainRun | undefined {
    const known = this.runs.get(number) ?? lane.producers.get(number)?.run
    if (known) return known
    const finished = this.#finished.get(number)
    if (finished) this.addRun(finished, false)
    else this.#hooks.receive()
    return this.runs.get(number)
  }

  /** @internal LaneOwner */
  recall(lane: DrainLane, local: number): Producer | undefined {
    const definition = this.#known.find(lane.reader.id, local)
    const run = definition && this.runFor(lane, definition.run)
    return run && lane.define(definition, run)
  }

  /** @internal LaneOwner */
  defined(definition: SeriesDefinition): void {
    this.#known.remember(definition)
    this.#definitions.push(definition)
  }

  /** @internal LaneOwner */
  marked(producer: Producer, pushed: number): void {
    producer.stage.closeRows()
    const issue = producer.check(pushed)
    if (issue) this.#hooks.onIssue(producer.run, issue)
  }

  /** @internal LaneOwner */
  unreadable(run: DrainRun): void {
    const message =
      'something that was logged is no record and was counted as lost: a defect in tracelet, please report it'
    this.#hooks.onIssue(run, { code: 'ERR_LAW', message })
  }

  /** @internal LaneOwner */
  finished(run: DrainRun, deadlineAt: number): void {
    if (run.finishBy !== 0) return
    run.finishBy = deadlineAt
    this.#finishing.push(run)
  }

  /** @internal LaneOwner: marks a producer as holding something to append. */
  soil(producer: Producer): void {
    producer.isClean = false
    producer.run.prepare()
    producer.stage.passAt = this.#now
    if (this.#dirty.size === 0) this.#stagedSince = this.#passedAt
    producer.run.dirty.push(producer)
    this.#dirty.add(producer.run)
  }

  #care(now: number): void {
    this.#caredAt = now
    for (const lane of this.#lanes.values()) {
      if (lane.orphans > 0) this.#hooks.onOrphans(lane.orphans)
      lane.orphans = 0
    }
    this.#touchSome()
    this.#forgetRuns()
    this.#freshMs = Infinity
    for (const run of this.runs.values()) {
      this.#freshMs = Math.min(this.#freshMs, run.order.freshMs ?? Infinity)
      run.updateSyncAge()
      const issue = run.lookAfterFolder(now)
      if (issue !== undefined) this.#hooks.onIssue(run, issue)
      run.removeDelivered()
      for (const producer of run.producers) {
        if (producer.isClean) producer.stage.rest()
        if (!producer.stage.hasOpenRows) continue
        producer.stage.closeRows(now - run.order.rowMaxAgeMs)
        if (producer.stage.closedLength > 0 && producer.isClean) this.soil(producer)
      }
    }
  }

  /** A part of the guards each time: all of a thousand would keep points waiting for long. */
  #touchSome(): void {
    if (this.#untouched.length === 0) this.#untouched = [...this.runs.values()]
    for (let left = Math.ceil(this.runs.size / TOUCH_PARTS); left > 0; left--) {
      const run = this.#untouched.pop()
      if (run && !run.isClosed && !run.touchGuard())
        this.#hooks.onIssue(run, toErrorRecord(run.failure, 'ERR_RUN_BUSY'))
    }
  }

  #handleSync({ id, syncedBytes, failure }: SyncReport<JournalSyncId>): void {
    try {
      id.writer.handleSync({ id, syncedBytes, failure })
    } catch (error) {
      for (const run of this.runs.values()) {
        if (run.writes(id.writer)) this.#hooks.onIssue(run, toErrorRecord(error, 'ERR_JOURNAL_WRITE'))
      }
    }
  }

  /** Every lane has been read to where it stood when FINISH was met, or further. */
  #finish(finishing: readonly DrainRun[], now: number): void {
    for (const run of finishing) {
      for (const producer of run.producers) {
        producer.stage.closeRows()
        if (producer.isClean) this.soil(producer)
      }
    }
    this.append(now, true)
    for (const run of finishing) {
      this.#beat()
      if (run.mustSync()) {
        this.#finishing.push(run)
        continue
      }
      try {
        run.close()
      } catch (error) {
        this.#hooks.onIssue(run, toErrorRecord(error, 'ERR_JOURNAL_WRITE'))
      }
      this.#hooks.onFinish(run)
    }
  }

  #answerFlush(ticket: number): void {
    if (this.isFenced) return
    let isSafe = true
    for (const run of this.runs.values()) {
      if (run.mustSync()) isSafe = false
    }
    // asked again on the next pass, until the sync thread has answered
    if (!isSafe) return
    Atomics.store(this.#control, CONTROL.flushDone, ticket)
    Atomics.notify(this.#control, CONTROL.flushDone)
  }

  /**
   * Stops looking at a lane whose runs are all finished: a thread that was terminated never closes its lane.
   * If its producer lives and writes again, it announces the lane anew (R6).
   */
  forgetIdleLanes(): void {
    for (const lane of this.#lanes.values()) {
      const runs = [...lane.producers.values()]
      if (
        runs.length > 0 &&
        runs.every((producer) => producer.run.isClosed) &&
        lane.reader.available() === 0
      ) {
        this.#forget(lane, false)
      }
    }
  }

  #forget(lane: DrainLane, forGood: boolean): void {
    for (const producer of lane.producers.values()) {
      producer.stage.closeRows()
      if (producer.stage.closedLength > 0 && producer.isClean) this.soil(producer)
    }
    this.#lanes.delete(lane.reader.id)
    if (forGood) this.#known.forgetLane(lane.reader.id)
    lane.reader.release()
    for (const producer of lane.producers.values()) producer.run.removeProducer(producer)
  }
}
