/**
 * As much of Protocol Buffers' wire format as the file sinks need. The functions that return bytes are for rare
 * messages (one per record of a run); points are laid by the sinks with `putVarint` alone.
 */

/** Bytes that `putVarint` takes at most. */
export const MAX_VARINT_BYTES = 10

/** Writes an integer in ±(2^53 − 1) as an int64: negative ones in two's complement. Returns where it ends. */
export function putVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value
  if (rest < 0) {
    // Two slices of 28 bits by arithmetic that is exact for doubles, then the 8 sign bits.
    const low = ((rest % 0x10000000) + 0x10000000) % 0x10000000
    const high = ((rest - low) / 0x10000000) & 0xfffffff
    for (let shift = 0; shift < 28; shift += 7) out[at++] = (low >>> shift) | 0x80
    for (let shift = 0; shift < 28; shift += 7) out[at++] = (high >>> shift) | 0x80
    out[at++] = 0xff
    out[at++] = 0x01
    return at
  }
  while (rest >= 0x80000000) {
    out[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  while (rest >= 0x80) {
    out[at++] = rest | 0x80
    rest >>>= 7
  }
  out[at++] = rest
  return at
}

/** How many bytes `putVarint` takes for a length, 0 … 2^31 − 1. */
export function varintBytes(length: number): number {
  if (length < 0x80) return 1
  if (length < 0x4000) return 2
  if (length < 0x200000) return 3
  return length < 0x10000000 ? 4 : 5
}

const VARINT = 0
const FIXED64 = 1
const LENGTH_DELIMITED = 2

export function varintField(field: number, value: number): Uint8Array {
  return Buffer.concat([key(field, VARINT), varint(value)])
}

export function doubleField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([key(field, FIXED64), bytes])
}

/** A nested message of these parts. */
export function messageField(field: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts)
  return Buffer.concat([lengthDelimited(field, body.length), body])
}

/** What stands before the bytes of a nested message or text. */
export function lengthDelimited(field: number, bytes: number): Uint8Array {
  return Buffer.concat([key(field, LENGTH_DELIMITED), varint(bytes)])
}

/** A repeated double, packed. */
export function doublesField(field: number, values: Float64Array): Uint8Array {
  const bytes = Buffer.alloc(values.length * 8)
  for (const [index, value] of values.entries()) bytes.writeDoubleLE(value, index * 8)
  return messageField(field, bytes)
}

export function stringField(field: number, text: string): Uint8Array {
  return messageField(field, Buffer.from(text))
}

function key(field: number, wireType: number): Uint8Array {
  return varint(field * 8 + wireType)
}

function varint(value: number): Uint8Array {
  const bytes = Buffer.alloc(MAX_VARINT_BYTES)
  return bytes.subarray(0, putVarint(bytes, 0, value))
}
