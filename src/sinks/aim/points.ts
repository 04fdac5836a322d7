/**
 * Rows → messages of instructions. A value stands under the hash of its step in each of four arrays: `val`, `epoch`,
 * `time` and `step`.
 *
 * P1 The four have equal keys: readers walk them side by side. A value without an epoch has null there. They stand in
 *    one message but for arrays that are written whole, which are sent until all are there.
 * P2 Values are floats, whatever they look like, and steps ints: an int would make another type of series.
 * P3 The hash of a step is made once for its row. It is most of what a value costs us.
 * P4 A series that the server has nothing of is written array by array as a whole, a third of `update`'s cost there.
 *    That replaces what stands below, so it must be all of it: an interrupted call has written nothing else, and nobody
 *    but us writes the run.
 * P5 Series are told apart as Aim does it, by name and hash of the context: `val` and `subset=val` are one to it, and
 *    written one after the other, the second would replace the first (P4).
 */
import type { Batch, Series, SeriesId } from '../../core/types.ts'
import { type Notices, shown } from '../notices.ts'
import { ALERTS } from './alerts.ts'
import { Column } from './columns.ts'
import { type AimContext, contextOf } from './contexts.ts'
import { hashOf } from './hash.ts'
import { type AimPath, MessageWriter } from './message.ts'
import { type PackedWriter, TYPE } from './packed.ts'
import type { AimSession } from './session.ts'
import { systemSeries } from './system-names.ts'
import {
  type AimTrace,
  isOfNumbers,
  limitsOf,
  merged,
  traceKey,
  writeNewTrace,
  writeTraceChange,
} from './traces.ts'

export interface EncoderOptions {
  /** Series whose value is the epoch of its row. */
  readonly epochMetric: string
  /** Another may write the same run, and the same series of it: nothing is replaced. */
  readonly isShared: boolean
  readonly notices: Notices
}

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

/** Sequences of Aim's own, of lines and messages. */
const OWN_SEQUENCES = new Set(['logs', ALERTS])

const ARRAYS = ['step', 'val', 'epoch', 'time'] as const

export class PointsEncoder {
  readonly #session: AimSession
  readonly #options: EncoderOptions
  readonly #writer = new MessageWriter()
  /** Of numbers that we have written: the session's may be told of a text of the same name, and so be of texts. */
  readonly #traces = new Map<string, AimTrace>()

  constructor(session: AimSession, options: EncoderOptions) {
    this.#session = session
    this.#options = options
  }

  encode(batch: Batch): EncodedRows {
    const columns = new Map<string, Column>()
    const columnOf = new Map<SeriesId, Column>()
    let superseded = 0
    const { rows, series, step, time, value } = batch
    for (let row = 0; row + 1 < rows!.length; row++) {
      const [from, to] = [rows![row]!, rows![row + 1]!]
      const key = hashOf(step[from]!)
      const epoch = this.#epochOf(batch, from, to)
      for (let i = from; i < to; i++) {
        const id = series[i]!
        let column = columnOf.get(id)
        if (column === undefined) columnOf.set(id, (column = this.#columnOf(columns, batch.describe(id))))
        if (column.add(step[i]!, key, value[i]!, time[i]! / 1000, epoch)) superseded++
      }
    }
    const learned = new Map<string, AimTrace>()
    return {
      messages: this.#messages([...columns.values()], learned),
      commit: () => {
        for (const [key, trace] of learned) {
          this.#traces.set(key, trace)
          this.#session.traces.set(key, trace)
        }
      },
      superseded,
    }
  }

  #columnOf(columns: Map<string, Column>, series: Series): Column {
    const { name, context: text } = systemSeries(series)
    const context = contextOf(text)
    const stored = this.#nameOf(name, context)
    const key = traceKey(context.hash, stored)
    const column = columns.get(key) ?? new Column(stored, context)
    columns.set(key, column)
    return column
  }

  /** One sequence has one type for ever: of numbers where texts or images are, Aim's readers would see nothing. */
  #nameOf(name: string, { hash, members }: AimContext): string {
    const isOwn = OWN_SEQUENCES.has(name) && Object.keys(members).length === 0
    const known = this.#traceOf(traceKey(hash, name))
    if (known === undefined ? !isOwn : isOfNumbers(known)) return name
    const stored = `${name} (metric)`
    this.#options.notices.tell(
      'metric',
      `Aim has no numbers in '${shown(name)}', a sequence of something else: they are stored as '${shown(stored)}'`,
    )
    return stored
  }

  #traceOf(key: string): AimTrace | undefined {
    return this.#traces.get(key) ?? this.#session.traces.get(key)
  }

  #epochOf({ describe, series, value }: Batch, from: number, to: number): number | null {
    for (let i = from; i < to; i++) {
      const { name, context } = describe(series[i]!)
      if (name === this.#options.epochMetric && context === '') return value[i]!
    }
    return null
  }

  *#messages(columns: readonly Column[], learned: Map<string, AimTrace>): Generator<Buffer> {
    const writer = this.#writer
    const session = this.#session
    // of a call that was given up
    writer.take()
    for (const column of columns) {
      const { hash } = column.context
      const isNew = this.#traceOf(traceKey(hash, column.name)) === undefined
      const mayReplace = isNew && !this.#options.isShared
      const count = column.keys.length
      if (mayReplace && count >= MIN_WHOLE_STEPS && count <= MAX_WHOLE_STEPS) {
        yield* this.#writeWhole(column, hash)
      } else yield* this.#writeParts(column, hash, isNew)
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
    const { runHash, handlers } = this.#session
    const { hash, members } = column.context
    const key = traceKey(hash, column.name)
    const known = this.#traceOf(key)
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
        ...limitsOf(seen),
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
