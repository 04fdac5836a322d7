/**
 * The memory map of the ring: the only owner of offsets.
 *
 *   control block, one per process                    lane, one per producer thread
 *   byte    0  magic, version            creator       byte    0  magic, version, capacity, lane id   creator
 *   byte  128  BELL                      both          byte  128  HEAD, STATE; f64 DROPPED, STALLS,   producer
 *   byte  256  EPOCH, STATE              main                     STALLED_MS
 *   byte  384  FLUSH_REQUEST             any thread    byte  256  TAIL, ADOPTED                       drain
 *   byte  512  FLUSH_DONE                drain         byte  384  WAITING                             both
 *   byte  640  f64 CLOCK, HEARTBEAT      drain         byte  512  slots: capacity × 32 bytes          producer
 *   byte  768  NEXT_LANE                 any thread
 *
 *   slot   u32 sequence (= position + 1) · u32 series · f64 step · f64 value · f64 time
 *   record one slot with CONTROL | kind in place of the series, step = byte length, value and time = two numbers,
 *          then ceil(length / 24) slots whose last 24 bytes carry the text or bytes
 *
 * Positions are 32-bit and wrap; compare by `(a - b) | 0`. Capacity is a power of two. All words little-endian
 * (typed arrays on every machine Node supports). Everything is position-independent: a lane may lie in a mapped file.
 *
 * R1  A lane has one writer and one reader for good; words of the two never share 128 bytes.
 * R2  The producer stores slots plainly, then HEAD with Atomics.store; the reader loads HEAD with Atomics.load
 *     before it reads slots: the pair orders the plain accesses. A plain store of HEAD works on x86 and is wrong
 *     on arm64.
 * R3  The reader stores TAIL with Atomics.store only after the append that holds those slots; the producer loads
 *     it with Atomics.load before it overwrites. An old TAIL only makes the lane look fuller than it is.
 * R4  The sequence word is written last and not read while running; after the death of a mapped lane's owner it
 *     tells the written slots that were not yet published.
 * R5  BELL: the reader stores how it sleeps, then looks at every HEAD again, then waits. A producer stores HEAD,
 *     then loads BELL. Both are sequentially consistent, so no wake-up is missed; every wait has a time-out besides.
 * R6  EPOCH counts drain threads. One that finds another number than its own stops without touching anything;
 *     a lane whose ADOPTED is not EPOCH is announced again by its producer.
 * R7  CLOCK is 0 while the reader sleeps longer than it is exact for; the producer then reads the clock itself.
 */

export const MAGIC = 0x544c5231 // "TLR1"
export const VERSION = 1

const LINE_BYTES = 128
const word = (line: number, index = 0) => (line * LINE_BYTES) / 4 + index
const double = (line: number, index = 0) => (line * LINE_BYTES) / 8 + index

/** Int32 indices into the control block. */
export const CONTROL = {
  magic: word(0),
  version: word(0, 1),
  bell: word(1),
  epoch: word(2),
  state: word(2, 1),
  flushRequest: word(3),
  flushDone: word(4),
  nextLane: word(6),
} as const
/** Float64 indices into the control block. Wall ms and monotonic ms. */
export const CONTROL_F64 = {
  clock: double(5),
  heartbeat: double(5, 1),
} as const
export const CONTROL_BYTES = 8 * LINE_BYTES

/** How the reader sleeps; the value of BELL. */
export const BELL = {
  awake: 0,
  /** Back within 100 ms by itself: only a half-full lane or a flush rings. */
  nap: 1,
  /** Sleeps until somebody rings. */
  sleep: 2,
} as const

/** Int32 indices into a lane. */
export const LANE = {
  magic: word(0),
  version: word(0, 1),
  capacity: word(0, 2),
  id: word(0, 3),
  head: word(1),
  state: word(1, 1),
  tail: word(2),
  adopted: word(2, 1),
  waiting: word(3),
} as const
/** Float64 indices into a lane; totals since the lane was made. */
export const LANE_F64 = {
  dropped: double(1, 1),
  stalls: double(1, 2),
  stalledMs: double(1, 3),
} as const
export const LANE_STATE = { live: 0, closed: 1 } as const

export const SLOTS_OFFSET = 4 * LINE_BYTES
export const SLOT_BYTES = 32
export const SLOT_U32 = SLOT_BYTES / 4
export const SLOT_F64 = SLOT_BYTES / 8
/** Bytes of a record that one continuation slot carries. */
export const RECORD_BYTES_PER_SLOT = 24

/** Bit that tells a record from a point; series ids are below it. */
export const CONTROL_BIT = 0x80000000
/** Kinds of records in a lane. `value` and `time` of the head slot are named a and b. */
export const LANE_RECORD = {
  /** a = lane-local series id, b = run number, bytes = name, 0, context in UTF-8. */
  series: 1,
  /** a = run number, bytes = a record as the journal encodes it. */
  record: 2,
  /** Rows of run a are complete so far; b = points the producer has put into this lane for the run. */
  mark: 3,
  /** Run a is finished; b = monotonic ms until which delivery may take. */
  finish: 4,
} as const
export type LaneRecordKind = (typeof LANE_RECORD)[keyof typeof LANE_RECORD]

export const MIN_LANE_SLOTS = 256
export const MAX_LANE_SLOTS = 1 << 22

export function createControl(): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(CONTROL_BYTES)
  const words = new Int32Array(buffer)
  words[CONTROL.magic] = MAGIC
  words[CONTROL.version] = VERSION
  return buffer
}

/** Whether it is a control block that this version made; anything may be asked about. */
export function isControl(buffer: unknown): boolean {
  if (!(buffer instanceof SharedArrayBuffer) || buffer.byteLength !== CONTROL_BYTES) return false
  const words = new Int32Array(buffer)
  return words[CONTROL.magic] === MAGIC && words[CONTROL.version] === VERSION
}

export function createLane(control: SharedArrayBuffer, slots: number): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(SLOTS_OFFSET + slots * SLOT_BYTES)
  const words = new Int32Array(buffer)
  words[LANE.magic] = MAGIC
  words[LANE.version] = VERSION
  words[LANE.capacity] = slots
  words[LANE.id] = Atomics.add(new Int32Array(control), CONTROL.nextLane, 1)
  return buffer
}

/** Slots that a record of so many bytes takes. */
export function recordSlots(byteLength: number): number {
  return 1 + Math.ceil(byteLength / RECORD_BYTES_PER_SLOT)
}

/** Longest record a lane of so many slots takes: half of it, so that a full lane can always make progress. */
export function maxRecordBytes(slots: number): number {
  return (slots / 2 - 1) * RECORD_BYTES_PER_SLOT
}
