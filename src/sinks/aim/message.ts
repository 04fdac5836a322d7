/**
 * A message of the write socket (aim/ext/transport/tracking.py): a packed list of instructions
 * `[handler, method, arguments]`, which the server carries out one after the other and answers once.
 *
 * M1 The server's decoder takes time with the square of a message's bytes: 16 to 24 KB are the cheapest per value,
 *    0.8 MB hold up everybody there for 0.8 s, 6 MB for 45 s. Whoever writes looks at `length` and stops.
 * M2 Messages are no transactions: of one that fails, what stood before the bad instruction is done.
 */
import { PackedWriter, TYPE } from './packed.ts'
import type { AimTree } from './tree.ts'

/** A place in Aim's storage. */
export type AimPath = readonly (string | bigint)[]

export class MessageWriter {
  readonly #writer = new PackedWriter()
  #instructions = 0

  get instructions(): number {
    return this.#instructions
  }

  /** Bytes so far. */
  get length(): number {
    return this.#writer.length
  }

  call(handler: string, method: string, args: readonly AimTree[]): void {
    const mark = this.#begin(handler, method)
    this.#writer.tree(args)
    this.#writer.up(mark)
  }

  /** Replaces what stands there and below it. */
  set(handler: string, path: AimPath, tree: AimTree): void {
    this.#at(handler, '__setitem__', path, () => this.#writer.tree(tree))
  }

  /** The same with a tree whose keys are numbers. */
  setAll<Value>(
    handler: string,
    path: AimPath,
    keys: readonly bigint[],
    values: ArrayLike<Value>,
    write: (value: Value, writer: PackedWriter) => void,
  ): void {
    const writer = this.#writer
    this.#at(handler, '__setitem__', path, () => {
      if (keys.length === 0) writer.bare(TYPE.object)
      for (let i = 0; i < keys.length; i++) {
        const mark = writer.downToKey(keys[i]!)
        write(values[i]!, writer)
        writer.up(mark)
      }
    })
  }

  /** Values below a place, each under its key, beside what stands there: 3 entries a value instead of 15 by `set`. */
  update<Value>(
    handler: string,
    path: AimPath,
    keys: readonly bigint[],
    values: ArrayLike<Value>,
    write: (value: Value, writer: PackedWriter) => void,
  ): void {
    const writer = this.#writer
    this.#at(handler, 'update', path, () => {
      writer.bare(TYPE.array)
      for (let i = 0; i < keys.length; i++) {
        const item = writer.downTo(i)
        writer.bare(TYPE.array)
        const first = writer.downTo(0)
        writer.int(keys[i]!)
        writer.up(first)
        const second = writer.downTo(1)
        write(values[i]!, writer)
        writer.up(second)
        writer.up(item)
      }
    })
  }

  /** Members of a place, beside those that stand there. */
  updateMembers(handler: string, path: AimPath, members: Readonly<Record<string, AimTree>>): void {
    this.#at(handler, 'update', path, () => this.#writer.tree(Object.entries(members)))
  }

  /** Marks a place as an array, without touching what it holds. */
  makeArray(handler: string, path: AimPath): void {
    this.call(handler, 'make_array', [path])
  }

  /** The message, of which the writer keeps nothing. */
  take(): Buffer {
    this.#instructions = 0
    return this.#writer.take()
  }

  #at(handler: string, method: string, path: AimPath, writeValue: () => void): void {
    const writer = this.#writer
    const mark = this.#begin(handler, method)
    writer.bare(TYPE.array)
    const first = writer.downTo(0)
    writer.tree(path)
    writer.up(first)
    writer.downTo(1)
    writeValue()
    writer.up(mark)
  }

  /** @returns where it began; the arguments are written next */
  #begin(handler: string, method: string): number {
    const writer = this.#writer
    if (this.#instructions === 0) writer.bare(TYPE.array)
    const mark = writer.downTo(this.#instructions++)
    writer.bare(TYPE.array)
    const first = writer.downTo(0)
    writer.text(TYPE.text, handler)
    writer.up(first)
    const second = writer.downTo(1)
    writer.text(TYPE.text, method)
    writer.up(second)
    writer.downTo(2)
    return mark
  }
}
