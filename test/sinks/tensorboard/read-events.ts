/** Reads event files back, sharing no code with what writes them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ReadValue {
  readonly tag: string
  readonly step: bigint
  readonly wallSeconds: number
  /** Of a scalar. */
  readonly value?: number
  /** Of a string tensor. */
  readonly texts?: readonly string[]
  /** Encoded bytes of an image. */
  readonly image?: Buffer
}

export function eventFilesOf(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.includes('tfevents'))
}

/** @throws Error at the first record that is not whole */
export function readEvents(directory: string): ReadValue[] {
  return eventFilesOf(directory).flatMap((name) => parseEventFile(readFileSync(join(directory, name))))
}

/** As TensorBoard sees a file that is being written: what follows the last whole record is not there yet. */
export function readWholeEvents(directory: string): ReadValue[] {
  return eventFilesOf(directory).flatMap((name) => {
    const file = readFileSync(join(directory, name))
    let end = 0
    while (end + 12 <= file.length) {
      const next = end + 12 + Number(file.readBigUInt64LE(end)) + 4
      if (next > file.length) break
      end = next
    }
    return parseEventFile(file.subarray(0, end))
  })
}

/**
 * As TensorBoard's own loader: a session start, but for the first one, removes what has its step or beyond.
 * @throws Error at the first record that is not whole
 */
export function parseEventFile(file: Buffer): ReadValue[] {
  let values: ReadValue[] = []
  let hasStarted = false
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    if (file.readUInt32LE(at + 8) !== masked(file.subarray(at, at + 8)))
      throw new Error(`bad length at ${at}`)
    const payload = file.subarray(at + 12, at + 12 + length)
    if (file.readUInt32LE(at + 12 + length) !== masked(payload)) throw new Error(`bad record at ${at}`)
    const event = fields(payload)
    if (at === 0 && String(event.get(3)?.[0]) !== 'brain.Event:2') throw new Error('no file version')
    const wallSeconds = (event.get(1)![0] as Buffer).readDoubleLE()
    const step = BigInt.asIntN(64, (event.get(2)?.[0] as bigint | undefined) ?? 0n)
    const session = event.get(7)?.[0] as Buffer | undefined
    if (session && fields(session).get(1)?.[0] === 1n) {
      if (hasStarted) values = values.filter((value) => value.step < step)
      hasStarted = true
    }
    const summary = event.get(5)?.[0] as Buffer | undefined
    for (const bytes of summary ? (fields(summary).get(1) as Buffer[]) : []) {
      const message = fields(bytes)
      const tensor = message.get(8)?.[0] as Buffer | undefined
      const image = message.get(4)?.[0] as Buffer | undefined
      values.push({
        tag: String(message.get(1)![0]),
        step,
        wallSeconds,
        ...(message.has(2) && { value: (message.get(2)![0] as Buffer).readFloatLE() }),
        ...(image && { image: fields(image).get(4)![0] as Buffer }),
        ...(tensor && { texts: (fields(tensor).get(8) ?? []).map(String) }),
      })
    }
    at += 12 + length + 4
  }
  return values
}

/** Field number → what stands there: a bigint of a varint, else the bytes. */
function fields(message: Buffer): Map<number, (bigint | Buffer)[]> {
  const found = new Map<number, (bigint | Buffer)[]>()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (at < message.length) {
    const key = Number(varint())
    const field = key >> 3
    const size = { 0: 0, 1: 8, 5: 4 }[key & 7] ?? Number(varint())
    const value = (key & 7) === 0 ? varint() : message.subarray(at, (at += size))
    found.set(field, [...(found.get(field) ?? []), value])
  }
  return found
}

/** By a table, since images are large. */
const OF_BYTE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

function masked(bytes: Uint8Array): number {
  let crc = -1
  for (const byte of bytes) crc = (crc >>> 8) ^ OF_BYTE[(crc ^ byte) & 0xff]!
  const rotated = (~crc >>> 15) | (~crc << 17)
  return (rotated + 0xa282ead8) >>> 0
}
