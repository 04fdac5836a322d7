/** A journal in memory, cut into frames as told: what delivery reads, without files. */
import type { JournalEntry, JournalReader, RunRecord, Series } from '../../../src/core/types.ts'
import type { RecordsReader } from '../../../src/pipeline/journal/reader.ts'

export class MemoryJournal {
  readonly entries: JournalEntry[] = []
  readonly names: Series[] = []
  seq = 0
  records = 0
  #session = 0

  series(name: string, context = ''): number {
    const known = this.names.find((series) => series.name === name && series.context === context)
    if (known) return known.id
    this.names.push({ id: this.names.length, name, context })
    return this.names.length - 1
  }

  /** One frame: points as [row, step, series name, value]; rows that close after it. */
  frame(
    points: readonly (readonly [number, number, string, number])[],
    closed: readonly number[] = [],
  ): this {
    this.entries.push({
      kind: 'points',
      seq: this.seq,
      points: {
        length: points.length,
        series: Uint32Array.from(points, ([, , name]) => this.series(name)),
        step: Float64Array.from(points, ([, step]) => step),
        time: Float64Array.from(points, ([, step]) => 1_700_000_000_000 + step),
        value: Float64Array.from(points, ([, , , value]) => value),
      },
      row: Uint32Array.from(points, ([row]) => row),
      closed: Uint32Array.from(closed),
      session: this.#session,
    })
    this.seq += points.length
    return this
  }

  /** `count` points of one series, steps going on from `step`, in frames of `frameSize`, each step its own row. */
  scalars(name: string, count: number, frameSize = 100, step = 0): this {
    for (let done = 0; done < count; done += frameSize) {
      const size = Math.min(frameSize, count - done)
      this.frame(
        Array.from({ length: size }, (_, index) => [
          step + done + index,
          step + done + index,
          name,
          (done + index) / 2,
        ]),
      )
    }
    return this
  }

  record(record: RunRecord): this {
    this.entries.push({ kind: 'record', seq: this.seq, record })
    this.seq++
    this.records++
    return this
  }

  session(): this {
    this.entries.push({ kind: 'session', seq: this.seq, session: ++this.#session })
    return this
  }

  corrupt(points: number, records: number): this {
    return this.#missing('corrupt', points, records)
  }

  /** Removed by retention. */
  gone(points: number, records: number): this {
    return this.#missing('gone', points, records)
  }

  #missing(kind: 'corrupt' | 'gone', points: number, records: number): this {
    this.entries.push({ kind, seq: this.seq, points, records })
    this.seq += points + records
    this.records += records
    return this
  }

  /** Of a point. */
  valueOf(seq: number): number | undefined {
    const frame = this.entries.find(
      (entry) => entry.kind === 'points' && entry.seq <= seq && endOf(entry) > seq,
    )
    return frame?.kind === 'points' ? frame.points.value[seq - frame.seq] : undefined
  }

  /** As it is read where only records matter. */
  recordsReader(from = 0): RecordsReader {
    const reader = this.reader(from)
    return {
      get seq() {
        return reader.seq
      },
      next() {
        const entry = reader.next()
        return entry?.kind === 'points'
          ? { kind: 'skipped', seq: entry.seq, points: entry.points.length }
          : entry
      },
      close: () => reader.close(),
    }
  }

  /** Begins with the frame that holds `from`; sees what is added while it reads. */
  reader(from = 0): JournalReader {
    const { entries, names } = this
    let at = entries.findIndex(
      (entry) => endOf(entry) > from || (endOf(entry) === from && entry.seq === from),
    )
    if (at < 0) at = entries.length
    let seq = entries[at]?.seq ?? this.seq
    return {
      get seq() {
        return Math.max(seq, from)
      },
      next() {
        const entry = entries[at]
        if (entry === undefined) return undefined
        at++
        seq = endOf(entry)
        return entry
      },
      series: (id) => names[id]!,
      close() {},
    }
  }
}

function endOf(entry: JournalEntry): number {
  if (entry.kind === 'points') return entry.seq + entry.points.length
  if (entry.kind === 'record') return entry.seq + 1
  return entry.kind === 'session' ? entry.seq : entry.seq + entry.points + entry.records
}
