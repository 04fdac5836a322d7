/** Reads the scalars of an event file strictly: any byte that is not part of a whole, intact record is an error. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ScalarColumns {
  readonly step: number[]
  readonly wallSeconds: number[]
  readonly value: number[]
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** Path of the run's one event file; undefined when there is none yet. */
export function eventFileOf(folder: string): string | undefined {
  const names = readdirSync(folder).filter((name) => name.includes('tfevents'))
  if (names.length > 1) throw new Error(`several event files: ${names.join(', ')}`)
  return names[0] === undefined ? undefined : join(folder, names[0])
}

/** By tag, in the order of the file. What is not a scalar is checked and passed over. */
export function readScalars(path: string): Map<string, ScalarColumns> {
  const file = readFileSync(path)
  const found = new Map<string, ScalarColumns>()
  for (let at = 0; at < file.length; ) {
    if (file.length - at < 12) throw new Error(`a torn header at ${at} of ${file.length}`)
    const length = file.readUInt32LE(at) + file.readUInt32LE(at + 4) * 2 ** 32
    if (file.readUInt32LE(at + 8) !== maskedCrc(file, at, at + 8))
      throw new Error(`a damaged header at ${at}`)
    const from = at + 12
    const to = from + length
    if (to + 4 > file.length) throw new Error(`a torn record at ${at} of ${file.length}`)
    if (file.readUInt32LE(to) !== maskedCrc(file, from, to)) throw new Error(`a damaged record at ${at}`)
    readEvent(new Message(file, from, to), found)
    at = to + 4
  }
  return found
}

/** Event: 1 wall_time double, 2 step int64, 5 Summary. */
function readEvent(event: Message, found: Map<string, ScalarColumns>): void {
  let wallSeconds = 0
  let step = 0
  while (event.nextField()) {
    if (event.field === 1) wallSeconds = event.double()
    else if (event.field === 2) step = event.int64()
    else if (event.field === 5) readSummary(event.message(), step, wallSeconds, found)
    else event.skip()
  }
}

/** Summary: 1 Value, repeated; Value: 1 tag, 2 simple_value float. */
function readSummary(
  summary: Message,
  step: number,
  wallSeconds: number,
  found: Map<string, ScalarColumns>,
): void {
  while (summary.nextField()) {
    if (summary.field !== 1) {
      summary.skip()
      continue
    }
    const value = summary.message()
    let tag = ''
    let scalar: number | undefined
    while (value.nextField()) {
      if (value.field === 1) tag = value.text()
      else if (value.field === 2) scalar = value.float()
      else value.skip()
    }
    if (scalar === undefined) continue
    let columns = found.get(tag)
    if (!columns) found.set(tag, (columns = { step: [], wallSeconds: [], value: [] }))
    columns.step.push(step)
    columns.wallSeconds.push(wallSeconds)
    columns.value.push(scalar)
  }
}

/** A protobuf message within the file. */
class Message {
  field = 0
  #wire = 0
  readonly #bytes: Buffer
  #at: number
  readonly #to: number

  constructor(bytes: Buffer, at: number, to: number) {
    this.#bytes = bytes
    this.#at = at
    this.#to = to
  }

  nextField(): boolean {
    if (this.#at > this.#to) throw new Error(`a field runs over the end of its message at ${this.#to}`)
    if (this.#at === this.#to) return false
    const key = this.int64()
    this.field = key >> 3
    this.#wire = key & 7
    return true
  }
  double(): number {
    return this.#bytes.readDoubleLE((this.#at += 8) - 8)
  }
  float(): number {
    return this.#bytes.readFloatLE((this.#at += 4) - 4)
  }
  text(): string {
    const length = this.int64()
    return this.#bytes.toString('utf8', this.#at, (this.#at += length))
  }
  message(): Message {
    const length = this.int64()
    this.#at += length
    return new Message(this.#bytes, this.#at - length, this.#at)
  }
  skip(): void {
    const isVarint = this.#wire === 0
    const bytes = { 1: 8, 5: 4 }[this.#wire] ?? this.int64()
    if (!isVarint) this.#at += bytes
  }
  /** Exact within ±(2^53 − 1). */
  int64(): number {
    let low = 0
    let high = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++]!
      if (shift < 28) low |= (byte & 0x7f) << shift
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28
        high = (byte & 0x7f) >> 4
      } else high |= (byte & 0x7f) << (shift - 32)
      if (byte < 0x80) return (high | 0) * 2 ** 32 + (low >>> 0)
    }
  }
}

function maskedCrc(bytes: Buffer, from: number, to: number): number {
  let crc = -1
  for (let at = from; at < to; at++) crc = CRC[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8)
  crc = ~crc
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
