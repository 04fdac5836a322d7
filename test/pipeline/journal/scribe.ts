/** Writes journals and remembers what it wrote; reads them back item by item. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { RunRecord, UnknownRecord } from '../../../src/core/types.ts'
import type { StagedPoints } from '../../../src/pipeline/coalesce.ts'
import { type FrameHeader, readHeader, segmentName } from '../../../src/pipeline/journal/format.ts'
import { type OpenJournalOptions, openJournal } from '../../../src/pipeline/journal/reader.ts'
import { listSegments, nextFrame } from '../../../src/pipeline/journal/segment-file.ts'
import { JournalWriter, type JournalWriterOptions } from '../../../src/pipeline/journal/writer.ts'

export interface PointItem {
  readonly name: string
  readonly context: string
  readonly step: number
  readonly time: number
  readonly value: number
  readonly row: number
  readonly session: number
}
export type Item = PointItem | RunRecord | UnknownRecord

export interface GivenPoint {
  readonly name: string
  readonly context?: string
  readonly step: number
  readonly time?: number
  readonly value: number
  readonly row?: number
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-journal-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Path of a module beside the one with that URL, in the same language. */
export function sibling(name: string, url: string): string {
  return fileURLToPath(new URL(`./${name}${url.slice(url.lastIndexOf('.'))}`, url))
}

/** The repository's folder, wherever the compiled test stands. */
export const root: string = fileURLToPath(import.meta.url.replace(/\/(dist\/)?test\/pipeline\/.*$/, '/'))

/** A writer, and what it committed and what it still has staged, by sequence number. */
export class Scribe {
  readonly folder: string
  /** Item i has sequence number i. */
  readonly items: Item[]
  staged: Item[] = []
  writer: JournalWriter

  constructor(folder: string, options: Partial<JournalWriterOptions> = {}, items: Item[] = []) {
    this.folder = folder
    this.items = items
    this.writer = JournalWriter.open({ folder, runId: 'run', session: 'process', nonce: 'first', ...options })
  }

  points(points: readonly GivenPoint[], options: StageOptions = {}): this {
    const given = points.map((point) => ({
      name: point.name,
      context: point.context ?? '',
      step: point.step,
      time: point.time ?? 1_700_000_000_000 + point.step,
      value: point.value,
      row: point.row ?? this.writer.takeRow(),
      session: this.writer.session,
    }))
    const block = toBlock(
      given,
      given.map((point) => this.writer.series(point.name, point.context)),
      options,
    )
    this.writer.stagePoints(block, options.lane, options.position)
    for (const point of given) this.staged.push(point)
    return this
  }

  record(record: RunRecord, lane?: number, position?: number): this {
    this.writer.stageRecord(record, lane, position)
    this.staged.push(record)
    return this
  }

  commit(): this {
    const staged = this.staged
    this.staged = []
    // a disk that has just failed is asked again
    this.writer.commit(undefined, true)
    for (const item of staged) this.items.push(item)
    return this
  }
}

export interface StageOptions {
  readonly lane?: number
  readonly position?: number
  readonly closed?: readonly number[]
  readonly coalesced?: number
}

/** Points as the coalescer hands them over, in arrays that are larger than they need to be. */
export function toBlock(
  points: readonly PointItem[],
  series: readonly number[],
  { closed = [], coalesced = 0 }: StageOptions = {},
): StagedPoints {
  const room = points.length + 3
  const block = {
    length: points.length,
    series: new Uint32Array(room).fill(4_000_000_000),
    value: new Float64Array(room).fill(Number.NaN),
    fragments: {
      length: 0,
      step: new Float64Array(room),
      time: new Float64Array(room),
      row: new Uint32Array(room),
      count: new Uint32Array(room),
    },
    closed: Uint32Array.from([...closed, 77, 77]),
    closedLength: closed.length,
    coalesced,
  }
  const { fragments } = block
  for (const [i, point] of points.entries()) {
    block.series[i] = series[i]!
    block.value[i] = point.value
    const before = points[i - 1]
    if (!before || before.step !== point.step || before.time !== point.time || before.row !== point.row) {
      const at = fragments.length++
      fragments.step[at] = point.step
      fragments.time[at] = point.time
      fragments.row[at] = point.row
    }
    fragments.count[fragments.length - 1]!++
  }
  return block
}

export interface ReadBack {
  /** Sequence number → item. */
  readonly items: Map<number, Item>
  readonly corrupt: { seq: number; points: number; records: number }[]
  readonly gone: { seq: number; points: number; records: number }[]
  readonly sessions: { seq: number; session: number }[]
  /** Rows, with the sequence number their close mark stands at. */
  readonly closed: { seq: number; row: number }[]
  /** Where reading ended. */
  readonly end: number
  readonly carried: { coalesced: number; lost: number; lostRecords: number }
}

/** Reads to the end, and checks that the entries leave no sequence number out. */
export function readBack(folder: string, options: Partial<OpenJournalOptions> = {}): ReadBack {
  const reader = openJournal(folder, { live: false, ...options })
  const back: ReadBack = {
    items: new Map(),
    corrupt: [],
    gone: [],
    sessions: [],
    closed: [],
    end: 0,
    carried: reader.carried,
  }
  let seq = options.fromSeq ?? 0
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      assert.equal(entry.seq, seq, 'entries follow each other')
      if (entry.kind === 'session') back.sessions.push({ seq, session: entry.session })
      else if (entry.kind === 'record') back.items.set(seq++, entry.record)
      else if (entry.kind === 'corrupt' || entry.kind === 'gone') {
        back[entry.kind].push({ seq, points: entry.points, records: entry.records })
        seq += entry.points + entry.records
      } else {
        const { points, row } = entry
        for (let i = 0; i < points.length; i++) {
          const { name, context } = reader.series(points.series[i]!)
          back.items.set(seq++, {
            name,
            context,
            step: points.step[i]!,
            time: points.time[i]!,
            value: points.value[i]!,
            row: row[i]!,
            session: entry.session,
          })
        }
        for (const closedRow of entry.closed) back.closed.push({ seq, row: closedRow })
      }
      assert.equal(reader.seq, seq, 'the reader stands after the entry')
    }
    assert.equal(reader.next(), undefined, 'the end stays the end')
  } finally {
    reader.close()
  }
  return { ...back, end: seq }
}

export function isPoint(item: Item): item is PointItem {
  return !('kind' in item)
}

/**
 * Every item read is the one that was written under that number; what is missing is in 'corrupt' entries, points and
 * records apart; reading got to the end. Returns the numbers that are missing.
 */
export function assertHonest(back: ReadBack, written: readonly Item[], fromSeq = 0): number[] {
  assert.equal(back.end, written.length, 'read to the end')
  const missing: number[] = []
  for (let seq = fromSeq; seq < written.length; seq++) {
    const item = back.items.get(seq)
    if (item === undefined) missing.push(seq)
    else assert.deepStrictEqual(item, written[seq], `item ${seq}`)
  }
  for (const { seq, points, records } of [...back.corrupt, ...back.gone]) {
    const lost = written.slice(seq, seq + points + records)
    assert.deepEqual(
      { seq, points, records },
      { seq, points: lost.filter(isPoint).length, records: lost.length - lost.filter(isPoint).length },
    )
  }
  return missing
}

export interface Frame extends FrameHeader {
  readonly segment: number
  readonly from: number
  readonly to: number
}

/** The frames of an undamaged journal. */
export function framesOf(folder: string): Frame[] {
  const frames: Frame[] = []
  for (const segment of listSegments(folder)) {
    const bytes = new Uint8Array(readFileSync(join(folder, segmentName(segment))))
    const view = new DataView(bytes.buffer)
    for (let from = 0; from < bytes.length; ) {
      const header = readHeader(bytes, view, from)
      assert.ok(header, `frame at ${from} of segment ${segment}`)
      const to = nextFrame(from, header)
      frames.push({ ...header, segment, from, to })
      from = to
    }
  }
  return frames
}
