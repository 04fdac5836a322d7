/**
 * Aim's packed trees (aim/ext/transport/message_utils.py, aim/storage/treeutils.pyx): what requests carry and storage
 * holds. Entries one behind the other, each `u32 length of its path, path, u8 whether a blob, u32 length, value`,
 * depth first. Little endian but for numbers in paths.
 */
import { AimBlob, AimCustom, type AimTree } from './tree.ts'

export const TYPE = { null: 0, bool: 1, int: 2, float: 3, text: 4, bytes: 5, array: 6, object: 7, custom: 15 }
/** Ends a part of a path, and begins one that is a number. No UTF-8 has it. */
export const MARK = 0xfe
/** Of a part of a path that is a number. */
const NUMBER_BYTES = 10
const HEAD_BYTES = 9
const FIRST_BYTES = 64 * 1024

/** Writes a tree entry by entry; where the next one stands is walked to by `down` and `up`. */
export class PackedWriter {
  #bytes: Buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #length = 0
  #path: Buffer = Buffer.allocUnsafe(256)
  #pathLength = 0

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /** @returns where `up` leads back to */
  down(key: string): number {
    const mark = this.#pathLength
    const bytes = Buffer.byteLength(key)
    this.#roomInPath(bytes + 1)
    this.#path.write(key, mark)
    this.#path[mark + bytes] = MARK
    this.#pathLength = mark + bytes + 1
    return mark
  }

  /** To the n-th of a list; n below 2^32. */
  downTo(n: number): number {
    const mark = this.#pathLength
    this.#roomInPath(NUMBER_BYTES)
    this.#path[mark] = MARK
    this.#path.writeUInt32BE(0, mark + 1)
    this.#path.writeUInt32BE(n, mark + 5)
    this.#path[mark + 9] = MARK
    this.#pathLength = mark + NUMBER_BYTES
    return mark
  }

  /** To a member whose key is a number. */
  downToKey(key: bigint): number {
    const mark = this.downTo(0)
    this.#path.writeBigInt64BE(key, mark + 1)
    return mark
  }

  up(mark: number): void {
    this.#pathLength = mark
  }

  float(value: number): void {
    const at = this.#entry(9)
    this.#bytes[at] = TYPE.float
    this.#bytes.writeDoubleLE(value, at + 1)
  }

  int(value: bigint): void {
    const at = this.#entry(9)
    this.#bytes[at] = TYPE.int
    this.#bytes.writeBigInt64LE(value, at + 1)
  }

  /** Those that have no content: null, an array (its items come below it), an empty object. */
  bare(type: number): void {
    this.#bytes[this.#entry(1)] = type
  }

  text(type: number, text: string, isBlob = false): void {
    const bytes = Buffer.byteLength(text)
    const at = this.#entry(1 + bytes, isBlob)
    this.#bytes[at] = type
    this.#bytes.write(text, at + 1)
  }

  /** @throws RangeError for an int beyond 64 bits, TypeError for what no tree holds */
  tree(tree: AimTree): void {
    if (tree === null) this.bare(TYPE.null)
    else if (typeof tree === 'boolean') this.#bytesOf(TYPE.bool, Buffer.of(tree ? 1 : 0), false)
    else if (typeof tree === 'number') this.float(tree)
    else if (typeof tree === 'bigint') this.int(tree)
    else if (typeof tree === 'string') this.text(TYPE.text, tree)
    else if (tree instanceof Uint8Array) this.#bytesOf(TYPE.bytes, tree, false)
    else if (tree instanceof AimBlob) this.#blob(tree)
    else if (tree instanceof AimCustom) {
      this.text(TYPE.custom, tree.type)
      this.#members(tree.members)
    } else if (Array.isArray(tree)) this.#items(tree)
    else if (Object.keys(tree).length === 0) this.bare(TYPE.object)
    else this.#members(tree as Readonly<Record<string, AimTree>>)
  }

  /** What was written, of which the writer keeps nothing. */
  take(): Buffer {
    const bytes = Buffer.from(this.#bytes.subarray(0, this.#length))
    this.#length = 0
    this.#pathLength = 0
    return bytes
  }

  #items(items: readonly AimTree[]): void {
    this.bare(TYPE.array)
    for (let n = 0; n < items.length; n++) {
      const mark = this.downTo(n)
      this.tree(items[n]!)
      this.up(mark)
    }
  }

  #members(members: Readonly<Record<string, AimTree>>): void {
    for (const [key, member] of Object.entries(members)) {
      if (key === '') throw new TypeError("Aim's trees have no empty keys")
      const mark = this.down(key)
      this.tree(member)
      this.up(mark)
    }
  }

  #blob({ data }: AimBlob): void {
    if (typeof data === 'string') this.text(TYPE.text, data, true)
    else this.#bytesOf(TYPE.bytes, data, true)
  }

  #bytesOf(type: number, bytes: Uint8Array, isBlob: boolean): void {
    const at = this.#entry(1 + bytes.length, isBlob)
    this.#bytes[at] = type
    this.#bytes.set(bytes, at + 1)
  }

  /** Begins an entry at the path. @returns where its value of so many bytes goes */
  #entry(valueBytes: number, isBlob = false): number {
    const needed = this.#length + HEAD_BYTES + this.#pathLength + valueBytes
    if (needed > this.#bytes.length) this.#bytes = grown(this.#bytes, needed)
    const bytes = this.#bytes
    let at = this.#length
    at = bytes.writeUInt32LE(this.#pathLength, at)
    this.#path.copy(bytes, at, 0, this.#pathLength)
    at += this.#pathLength
    bytes[at++] = isBlob ? 1 : 0
    at = bytes.writeUInt32LE(valueBytes, at)
    this.#length = needed
    return at
  }

  #roomInPath(more: number): void {
    const needed = this.#pathLength + more
    if (needed > this.#path.length) this.#path = grown(this.#path, needed)
  }
}

export function packTree(tree: AimTree): Buffer {
  const writer = new PackedWriter()
  writer.tree(tree)
  return writer.take()
}

function grown(bytes: Buffer, needed: number): Buffer {
  const larger = Buffer.allocUnsafe(Math.max(needed, 2 * bytes.length))
  bytes.copy(larger)
  return larger
}
