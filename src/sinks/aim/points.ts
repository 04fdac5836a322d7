/**
 * Rows → messages of instructions. A value stands under the hash of its step in each of four arrays: `val`, `epoch`,
 * `time` and `step`.
 *
 * P1 The four have equal keys: readers walk them side by side. A value without an epoch has null there. They stand in
 *    one message but for arrays that are written whole, which are sent until all are there.
 * P2 Values are floats, whatever they look like, and steps ints: an int would make another type of series.
 * P3 The hash of a step is made once for its row. It is most of what a value costs us.
 * P4 A series that the server has nothing of is written array by array as a whole, a third of `update`'s cost there.
 *    That replaces what stands below, so it must be all of it: an interrupted call has written nothing else.
 */
import type { Batch, SeriesId } from '../../core/types.ts'
import { contextOf } from './contexts.ts'
import { hashOf } from './hash.ts'
import { type AimPath, MessageWriter } from './message.ts'
import { type PackedWriter, TYPE } from './packed.ts'
import type { AimSession } from './session.ts'
import { systemSeries } from './system-names.ts'
import { type AimTrace, merged, type Seen, traceKey, writeNewTrace, writeTraceChange } from './traces.ts'

export interface EncodedRows {
  readonly messages: Iterable<Buffer>
  /** To be called once all are acknowledged. */
  readonly commit: () => void
  /** Values that a later one of the same series and step in the batch replaces. */
  readonly superseded: number
}

/** Decoding takes the square of a message's length: beyond it, writing whole costs more than it saves. */
const MAX_WHOLE_STEPS = 1000
/** Fewer fit into one message with `update`, too. */
const MIN_WHOLE_STEPS = 8
/** Of a value in four arrays by `update`: what remains of a message is filled with so many. */
const VALUE_BYTES = 900
/** Of a value in one array that is written whole. */
const WHOLE_VALUE_BYTES = 60
/** No message should be longer (message.ts, M1). */
const MAX_MESSAGE_BYTES = 64 * 1024

/** One series' values, step by step. */
class Column {
  readonly name: string
  readonly contextText: string
  readonly keys: bigint[] = []
  readonly steps: number[] = []
  readonly values: number[] = []
  readonly times: number[] = []
  readonly epochs: (number | null)[] = []
  /** Whether steps have risen so far, as they mostly do; if not, where each is. */
  #places: Map<number, number> | undefined

  constructor(name: string, contextText: string) {
    this.name = name
    this.contextText = contextText
  }

  /** @returns whether it replaces another */
  add(step: number, key: bigint, value: number, time: number, epoch: number | null): boolean {
    const at = this.#placeOf(step)
    const isNew = at === this.steps.length
    this.keys[at] = key
    this.steps[at] = step
    this.values[at] = value
    this.times[at] = time
    this.epochs[at] = epoch
    if (isNew) this.#places?.set(step, at)
    return !isNew
  }

  #placeOf(step: number): number {
    const { steps } = this
    const rises = steps.length === 0 || step > steps[steps.length - 1]!
    if (rises && this.#places === undefined) return steps.length
    this.#places ??= new Map(steps.map((one, at) => [one, at]))
    return this.#places.get(step) ?? steps.length
  }

  seen(): Seen {
    let last = 0
    let min = Number.POSITIVE_INFINITY
    let max = Number.NEGATIVE_INFINITY
    for (let i = 0; i < this.steps.length; i++) {
      const value = this.values[i]!
      if (this.steps[i]! >= this.steps[last]!) last = i
      if (value < min) min = value
      if (value > max) max = value
    }
    const [first, firstStep] = [this.values[0]!, this.steps[0]!]
    return { first, firstStep, last: this.values[last]!, lastStep: this.steps[last]!, min, max }
  }
}

const ARRAYS = ['step', 'val', 'epoch', 'time'] as const

export class PointsEncoder {
  readonly #session: AimSession
  readonly #epochMetric: string
  readonly #writer = new MessageWriter()

  constructor(session: AimSession, epochMetric: string) {
    this.#session = session
    this.#epochMetric = epochMetric
  }

  encode(batch: Batch): EncodedRows {
    const columns = new Map<SeriesId, Column>()
    let superseded = 0
    const { rows, series, step, time, value } = batch
    for (let row = 0; row + 1 < rows!.length; row++) {
      const [from, to] = [rows![row]!, rows![row + 1]!]
      const key = hashOf(step[from]!)
      const epoch = this.#epochOf(batch, from, to)
      for (let i = from; i < to; i++) {
        const id = series[i]!
        let column = columns.get(id)
        if (column === undefined) {
          const { name, context } = systemSeries(batch.describe(id))
          columns.set(id, (column = new Column(name, context)))
        }
        if (column.add(step[i]!, key, value[i]!, time[i]! / 1000, epoch)) superseded++
      }
    }
    const learned = new Map<string, AimTrace>()
    return {
      messages: this.#messages([...columns.values()], learned),
      commit: () => {
        for (const [key, trace] of learned) this.#session.traces.set(key, trace)
      },
      superseded,
    }
  }

  #epochOf({ describe, series, value }: Batch, from: number, to: number): number | null {
    for (let i = from; i < to; i++) {
      const { name, context } = describe(series[i]!)
      if (name === this.#epochMetric && context === '') return value[i]!
    }
    return null
  }

  *#messages(columns: readonly Column[], learned: Map<string, AimTrace>): Generator<Buffer> {
    const writer = this.#writer
    const session = this.#session
    // of a call that was given up
    writer.take()
    for (const column of columns) {
      const { hash } = contextOf(column.contextText)
      const known = session.traces.get(traceKey(hash, column.name))
      const count = column.keys.length
      if (known === undefined && count >= MIN_WHOLE_STEPS && count <= MAX_WHOLE_STEPS) {
        yield* this.#writeWhole(column, hash)
      } else yield* this.#writeParts(column, hash, known === undefined)
    }
    for (const column of columns) {
      this.#writeTrace(column, learned)
      if (writer.length >= session.messageBytes) yield writer.take()
    }
    if (writer.length > 0) yield writer.take()
  }

  *#writeWhole(column: Column, contextHash: bigint): Generator<Buffer> {
    const writer = this.#writer
    const { seqs } = this.#session.handlers
    for (const array of ARRAYS) {
      const path = this.#pathOf(contextHash, column.name, array)
      const bytes = WHOLE_VALUE_BYTES * column.keys.length
      if (writer.length > 0 && writer.length + bytes > MAX_MESSAGE_BYTES) yield writer.take()
      writer.setAll<unknown>(seqs, path, column.keys, valuesOf(column, array), WRITE[array])
      writer.makeArray(seqs, path)
      if (writer.length >= this.#session.messageBytes) yield writer.take()
    }
  }

  *#writeParts(column: Column, contextHash: bigint, isNew: boolean): Generator<Buffer> {
    const writer = this.#writer
    const session = this.#session
    const { seqs } = session.handlers
    const paths = ARRAYS.map((array) => this.#pathOf(contextHash, column.name, array))
    if (isNew) for (const path of paths) writer.makeArray(seqs, path)
    for (let from = 0; from < column.keys.length; ) {
      const room = Math.floor((session.messageBytes - writer.length) / VALUE_BYTES)
      const to = Math.min(column.keys.length, from + Math.max(1, room))
      const keys = column.keys.slice(from, to)
      for (const [at, array] of ARRAYS.entries()) {
        const values = valuesOf(column, array).slice(from, to)
        writer.update<unknown>(seqs, paths[at]!, keys, values, WRITE[array])
      }
      from = to
      if (writer.length >= session.messageBytes) yield writer.take()
    }
  }

  #writeTrace(column: Column, learned: Map<string, AimTrace>): void {
    const { runHash, handlers, traces } = this.#session
    const { hash, members } = contextOf(column.contextText)
    const key = traceKey(hash, column.name)
    const known = traces.get(key)
    const seen = column.seen()
    const trace = merged(known, seen)
    const place = { meta: handlers.meta, runHash, contextHash: hash, context: members, name: column.name }
    if (known === undefined) {
      writeNewTrace(this.#writer, place, 'metric', 'float', {
        dtype: 'float',
        version: 2n,
        first: seen.first,
        first_step: BigInt(seen.firstStep),
        last: seen.last,
        last_step: BigInt(seen.lastStep),
        // as Aim's client: none that is less or more was seen where all were NaN
        ...(Number.isFinite(seen.min) || seen.min < seen.max ? { min: seen.min, max: seen.max } : {}),
      })
    } else writeTraceChange(this.#writer, place, known, trace)
    learned.set(key, trace)
  }

  #pathOf(contextHash: bigint, name: string, array: string): AimPath {
    return ['seqs', 'v2', 'chunks', this.#session.runHash, contextHash, name, array]
  }
}

function valuesOf(column: Column, array: (typeof ARRAYS)[number]): readonly unknown[] {
  if (array === 'val') return column.values
  if (array === 'epoch') return column.epochs
  return array === 'time' ? column.times : column.steps
}

const float = (value: unknown, writer: PackedWriter) => writer.float(value as number)
const WRITE = {
  val: float,
  time: float,
  step: (value: unknown, writer: PackedWriter) => writer.int(BigInt(value as number)),
  epoch: (value: unknown, writer: PackedWriter) => {
    if (value === null) writer.bare(TYPE.null)
    else if (Number.isSafeInteger(value)) writer.int(BigInt(value as number))
    else writer.float(value as number)
  },
} as const
