/** The producer's half of a lane. One class for all lanes, no subclasses: its methods stay monomorphic and inline. */
import { monotonicNow } from '../core/clock.ts'
import { ring } from './doorbell.ts'
import {
  BELL,
  CONTROL,
  CONTROL_BIT,
  CONTROL_F64,
  LANE,
  LANE_F64,
  LANE_STATE,
  type LaneRecordKind,
  MAX_LANE_SLOTS,
  RECORD_BYTES_PER_SLOT,
  recordSlots,
  SLOT_BYTES,
  SLOTS_OFFSET,
} from './layout.ts'

/** Points a burst may hold back: Atomics.store is a call of 7–9 ns, so it is paid once for this many. */
const PUBLISH_EVERY = 32
/** While a lane refuses points its TAIL is looked at once in so many refusals. */
const RECHECK_EVERY = 64
const WAIT_SLICE_MS = 2
/** Changes no slot; tells the compiler that offsets made of it fit 32 bits, which saves 8 % of a call. */
const SLOT_RANGE = MAX_LANE_SLOTS - 1

export interface LaneOptions {
  /** 'block': wait for room up to `blockMaxMs`, then refuse until there is room. 'drop': refuse at once. */
  readonly overflow: 'block' | 'drop'
  readonly blockMaxMs: number
  /** Makes the lane known to the drain thread; called again when that thread was replaced (R6). */
  readonly announce: (lane: SharedArrayBuffer) => void
  /** Called between waits for room: the owner of the drain thread looks whether it lives. */
  readonly onWait?: () => void
  /** Called once each time the lane begins to refuse points. */
  readonly onFull?: () => void
}

export class LaneWriter {
  readonly buffer: SharedArrayBuffer
  readonly capacity: number
  #head: number
  /** TAIL as last read: the lane has room up to `#tail + capacity`. */
  #tail: number
  #published: number
  /**
   * Below it `log` has only to write: there is room, no publication is due, and one at the end of the tick will come.
   * Never too far ahead: room and publications only grow, and every publication takes it back to the head.
   */
  #calmTo: number
  /** Position from which the next publication looks whether to ring. */
  #ringFrom: number
  #lastClock = 0
  #refusing = false
  #skip = 0
  #dropped = 0
  #stalls = 0
  #stalledMs = 0
  #publishScheduled = false
  readonly #mask: number
  readonly #words: Int32Array
  readonly #totals: Float64Array
  readonly #u32: Uint32Array
  readonly #f64: Float64Array
  readonly #control: Int32Array
  readonly #controlF64: Float64Array
  readonly #options: LaneOptions

  /** Goes on where the lane stands: a new one stands at 0. */
  constructor(control: SharedArrayBuffer, lane: SharedArrayBuffer, options: LaneOptions) {
    this.buffer = lane
    this.#words = new Int32Array(lane, 0, SLOTS_OFFSET / 4)
    this.#totals = new Float64Array(lane, 0, SLOTS_OFFSET / 8)
    this.capacity = this.#words[LANE.capacity]!
    this.#mask = this.capacity - 1
    this.#u32 = new Uint32Array(lane, SLOTS_OFFSET)
    this.#f64 = new Float64Array(lane, SLOTS_OFFSET)
    this.#control = new Int32Array(control)
    this.#controlF64 = new Float64Array(control)
    this.#head = this.#words[LANE.head]!
    this.#published = this.#head
    this.#calmTo = this.#head
    this.#tail = this.#words[LANE.tail]!
    this.#ringFrom = (this.#tail + (this.capacity >> 1)) | 0
    this.#options = options
    options.announce(lane)
  }

  /** Points refused because the lane was full. */
  get dropped(): number {
    return this.#dropped
  }
  get stalls(): number {
    return this.#stalls
  }
  get stalledMs(): number {
    return this.#stalledMs
  }

  /** Wall time in ms, exact to a pass of the drain thread (≈ 2 ms) while that is busy, else to the clock. */
  now(): number {
    const time = this.#controlF64[CONTROL_F64.clock]!
    return time === 0 ? Date.now() : time
  }

  /** False when refused: nothing was written. Not published yet: see `publish`. */
  push(series: number, step: number, value: number, time: number): boolean {
    const head = this.#head
    if (((head - this.#tail) | 0) >= this.capacity && !this.#makeRoom(1)) {
      this.#dropped++
      return false
    }
    const slot = head & this.#mask & SLOT_RANGE
    const u32 = this.#u32
    const f64 = this.#f64
    u32[slot * 8 + 1] = series
    f64[slot * 4 + 1] = step
    f64[slot * 4 + 2] = value
    f64[slot * 4 + 3] = time
    u32[slot * 8] = head + 1
    this.#head = (head + 1) | 0
    return true
  }

  /**
   * Writes one point with the clock's time. Publishes when 32 points are waiting or the clock has ticked, so that a
   * slow producer publishes every point and a burst every 32; the last ones of a burst follow at the end of the tick.
   * @returns false when refused
   */
  log(series: number, step: number, value: number): boolean {
    const head = this.#head
    const time = this.#controlF64[CONTROL_F64.clock]!
    // in one piece and with two compares only: every load counts here
    if (((head - this.#calmTo) | 0) >= 0 || time !== this.#lastClock)
      return this.#log(series, step, value, time)
    const slot = head & this.#mask & SLOT_RANGE
    const u32 = this.#u32
    const f64 = this.#f64
    u32[slot * 8 + 1] = series
    f64[slot * 4 + 1] = step
    f64[slot * 4 + 2] = value
    f64[slot * 4 + 3] = time
    u32[slot * 8] = head + 1
    this.#head = (head + 1) | 0
    return true
  }

  /** Makes everything pushed visible to the reader (R2). */
  publish(): void {
    const head = this.#head
    if (head === this.#published) return
    Atomics.store(this.#words, LANE.head, head)
    this.#published = head
    this.#calmTo = head
    if (((head - this.#ringFrom) | 0) >= 0) this.#ringIfHalfFull()
    if (this.#controlF64[CONTROL_F64.clock] === 0) this.#ringIfAsleep()
  }

  /**
   * Writes a record of `bytes`, whole or not at all, and publishes it.
   * @returns false when there was no room in time
   */
  pushRecord(kind: LaneRecordKind, a: number, b: number, bytes: Uint8Array): boolean {
    const slots = recordSlots(bytes.length)
    this.#totals[LANE_F64.dropped] = this.#dropped
    this.#announceIfForgotten()
    // rare enough to look again, whatever was refused before
    this.#skip = 0
    if (((this.#head + slots - this.#tail) | 0) > this.capacity && !this.#makeRoom(slots)) return false
    this.#writeSlot((CONTROL_BIT | kind) >>> 0, bytes.length, a, b)
    const target = new Uint8Array(this.buffer)
    for (let from = 0; from < bytes.length; from += RECORD_BYTES_PER_SLOT) {
      const slot = this.#head & this.#mask
      target.set(bytes.subarray(from, from + RECORD_BYTES_PER_SLOT), SLOTS_OFFSET + slot * SLOT_BYTES + 8)
      this.#u32[slot * 8 + 1] = CONTROL_BIT
      this.#u32[slot * 8] = this.#head + 1
      this.#head = (this.#head + 1) | 0
    }
    this.publish()
    return true
  }

  /** Looks at the reader's progress now, whatever was refused before. */
  hasRoomFor(slots: number): boolean {
    this.publish()
    return this.#hasRoom(slots)
  }

  /** The producer will write no more; the reader may forget the lane once it is empty. */
  close(): void {
    this.publish()
    Atomics.store(this.#words, LANE.state, LANE_STATE.closed)
    ring(this.#control)
  }

  /** The point of `log` that has something to do beside being written. */
  #log(series: number, step: number, value: number, clock: number): boolean {
    const time = clock === 0 ? Date.now() : clock
    if (!this.push(series, step, value, time)) return false
    if (((this.#head - this.#published) | 0) >= PUBLISH_EVERY || time !== this.#lastClock) {
      this.#lastClock = time
      this.publish()
    } else if (!this.#publishScheduled) this.#schedulePublish()
    if (this.#publishScheduled) {
      const room = (this.#tail + this.capacity - this.#published) | 0
      this.#calmTo = (this.#published + Math.min(room, PUBLISH_EVERY - 1)) | 0
    }
    return true
  }

  #writeSlot(series: number, step: number, value: number, time: number): void {
    const slot = this.#head & this.#mask
    this.#u32[slot * 8 + 1] = series
    this.#f64[slot * 4 + 1] = step
    this.#f64[slot * 4 + 2] = value
    this.#f64[slot * 4 + 3] = time
    this.#u32[slot * 8] = this.#head + 1
    this.#head = (this.#head + 1) | 0
  }

  #schedulePublish(): void {
    this.#publishScheduled = true
    setImmediate(() => {
      this.#publishScheduled = false
      this.#calmTo = this.#head
      this.publish()
    })
  }

  #ringIfHalfFull(): void {
    this.#tail = Atomics.load(this.#words, LANE.tail)
    const half = this.capacity >> 1
    if (((this.#head - this.#tail) | 0) >= half) {
      this.#announceIfForgotten()
      ring(this.#control)
      this.#ringFrom = (this.#head + (this.capacity >> 3)) | 0
    } else this.#ringFrom = (this.#tail + half) | 0
  }

  #ringIfAsleep(): void {
    this.#announceIfForgotten()
    if (Atomics.load(this.#control, CONTROL.bell) === BELL.sleep) ring(this.#control)
  }

  #announceIfForgotten(): void {
    if (Atomics.load(this.#words, LANE.adopted) !== Atomics.load(this.#control, CONTROL.epoch)) {
      this.#options.announce(this.buffer)
      ring(this.#control)
    }
  }

  /** The slow path of a full lane. True when `slots` are free. */
  #makeRoom(slots: number): boolean {
    // While the clock stands still; when it moves, or is off, the reader may have made room. A reader that made some
    // and then hangs moves no clock, so TAIL is looked at too, by a plain load: a hint, at a tenth of an atomic's cost.
    if (
      this.#skip > 0 &&
      this.#controlF64[CONTROL_F64.clock] === this.#lastClock &&
      this.#words[LANE.tail] === this.#tail
    ) {
      this.#skip--
      return false
    }
    this.publish()
    if (this.#hasRoom(slots)) {
      this.#refusing = false
      this.#skip = 0
      return true
    }
    this.#announceIfForgotten()
    ring(this.#control)
    if (!this.#refusing && this.#options.overflow === 'block' && this.#waitForRoom(slots)) return true
    if (!this.#refusing) {
      this.#refusing = true
      this.#options.onFull?.()
    }
    this.#skip = RECHECK_EVERY - 1
    this.#lastClock = this.#controlF64[CONTROL_F64.clock]!
    this.#totals[LANE_F64.dropped] = this.#dropped
    this.#options.onWait?.()
    return false
  }

  #hasRoom(slots: number): boolean {
    this.#tail = Atomics.load(this.#words, LANE.tail)
    return ((this.#head + slots - this.#tail) | 0) <= this.capacity
  }

  #waitForRoom(slots: number): boolean {
    const start = monotonicNow()
    const deadline = start + this.#options.blockMaxMs
    this.#stalls++
    let room = false
    for (;;) {
      Atomics.store(this.#words, LANE.waiting, 1)
      room = this.#hasRoom(slots)
      if (room || monotonicNow() >= deadline) break
      ring(this.#control)
      Atomics.wait(this.#words, LANE.waiting, 1, WAIT_SLICE_MS)
      this.#announceIfForgotten()
      this.#options.onWait?.()
    }
    Atomics.store(this.#words, LANE.waiting, 0)
    this.#stalledMs += monotonicNow() - start
    this.#totals[LANE_F64.stalls] = this.#stalls
    this.#totals[LANE_F64.stalledMs] = this.#stalledMs
    return room
  }
}
