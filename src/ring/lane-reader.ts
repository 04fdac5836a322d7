/**
 * The drain thread's half of a lane. Reading and freeing are apart: `read` moves on as slots are taken,
 * TAIL only when the journal has them (R3).
 */
import { TraceletError } from '../core/errors.ts'
import {
  LANE,
  LANE_F64,
  LANE_STATE,
  MAGIC,
  RECORD_BYTES_PER_SLOT,
  recordSlots,
  SLOT_BYTES,
  SLOTS_OFFSET,
  VERSION,
} from './layout.ts'

export interface LaneRecord {
  readonly a: number
  readonly b: number
  readonly bytes: Uint8Array
  readonly slots: number
}

export function laneId(lane: SharedArrayBuffer): number {
  return new Int32Array(lane, 0, SLOTS_OFFSET / 4)[LANE.id]!
}

export class LaneReader {
  readonly id: number
  readonly buffer: SharedArrayBuffer
  readonly mask: number
  /** Slot words, for the drain loop: [sequence, series, …] and [–, step, value, time]. */
  readonly u32: Uint32Array
  readonly f64: Float64Array
  /** Next slot to take; 32-bit position. */
  read: number
  /** The same as a count that does not wrap: what journal frames carry. */
  position: number
  readonly #words: Int32Array
  readonly #totals: Float64Array
  #tail: number

  /**
   * @param journaledTo how far the journals say the lane was taken by a former drain thread; 0 for a new lane
   * @throws TraceletError ERR_HANDLE for a buffer that is not a lane of this version
   */
  constructor(buffer: SharedArrayBuffer, epoch: number, journaledTo: number) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer, 0, SLOTS_OFFSET / 4)
    this.#totals = new Float64Array(buffer, 0, SLOTS_OFFSET / 8)
    if (this.#words[LANE.magic] !== MAGIC || this.#words[LANE.version] !== VERSION) {
      throw new TraceletError('ERR_HANDLE', 'a lane was announced that this version of tracelet did not make')
    }
    this.id = this.#words[LANE.id]!
    this.mask = this.#words[LANE.capacity]! - 1
    this.u32 = new Uint32Array(buffer, SLOTS_OFFSET)
    this.f64 = new Float64Array(buffer, SLOTS_OFFSET)
    this.#tail = Atomics.load(this.#words, LANE.tail)
    this.read = this.#tail
    // TAIL as a count that does not wrap: the one next to what the journals say
    const position = journaledTo + ((this.#tail - (journaledTo | 0)) | 0)
    this.position = position < 0 ? position + 2 ** 32 : position
    Atomics.store(this.#words, LANE.adopted, epoch)
  }

  /** Published slots not yet taken. */
  available(): number {
    return (Atomics.load(this.#words, LANE.head) - this.read) | 0
  }

  /** Slots taken that the producer cannot reuse yet. */
  get unfreed(): number {
    return (this.read - this.#tail) | 0
  }

  take(slots: number): void {
    this.read = (this.read + slots) | 0
    this.position += slots
  }

  /** Gives every taken slot back and wakes a producer that waits for room. */
  free(): void {
    if (this.read === this.#tail) return
    this.#tail = this.read
    Atomics.store(this.#words, LANE.tail, this.#tail)
    if (Atomics.load(this.#words, LANE.waiting) === 1) {
      Atomics.store(this.#words, LANE.waiting, 0)
      Atomics.notify(this.#words, LANE.waiting)
    }
  }

  /** The record whose first slot is at `read`; its slots are published together. */
  record(): LaneRecord {
    const first = this.read & this.mask
    const length = this.f64[first * 4 + 1]!
    const bytes = new Uint8Array(length)
    const source = new Uint8Array(this.buffer)
    for (let from = 0, position = this.read + 1; from < length; from += RECORD_BYTES_PER_SLOT, position++) {
      const at = SLOTS_OFFSET + (position & this.mask) * SLOT_BYTES + 8
      bytes.set(source.subarray(at, at + Math.min(RECORD_BYTES_PER_SLOT, length - from)), from)
    }
    return {
      a: this.f64[first * 4 + 2]!,
      b: this.f64[first * 4 + 3]!,
      bytes,
      slots: recordSlots(length),
    }
  }

  /** Closed by its producer, read to its end and freed. */
  get isDone(): boolean {
    if (Atomics.load(this.#words, LANE.state) !== LANE_STATE.closed) return false
    return this.available() === 0 && this.unfreed === 0
  }
  get dropped(): number {
    return this.#totals[LANE_F64.dropped]!
  }

  /** Forgets the lane: its producer announces it again should it write once more. */
  release(): void {
    Atomics.store(this.#words, LANE.adopted, 0)
  }
}
