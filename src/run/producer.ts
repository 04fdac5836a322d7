/** One thread's way of logging to one run: names to series, rows and records into the thread's lane. */
import { PRODUCER, PRODUCERS, producerCounters, takeProducer } from '../core/counters.ts'
import { type ErrorCode, type ErrorRecord, TraceletError } from '../core/errors.ts'
import type { RunRecord } from '../core/types.ts'
import { encodeRecord } from '../pipeline/journal/records.ts'
import type { LaneWriter } from '../ring/lane-writer.ts'
import { LANE_RECORD, maxRecordBytes } from '../ring/layout.ts'
import { Metric } from './metric.ts'

/** Longest name of a series, parameter or tag, in UTF-8 bytes. Backends with less room say how they shorten. */
export const MAX_NAME_BYTES = 4096
/** A record is small up to an eighth of what the lane takes, within these bounds. */
const SMALL_MIN_BYTES = 2048
const SMALL_MAX_BYTES = 65_536
const encoder = new TextEncoder()
const NOTHING = new Uint8Array(0)
/** In place of a series: its name cannot be logged; it could not be defined yet. */
const BAD_NAME = -1
export const UNDEFINED = -2

export interface LogPlace {
  /** Integer in ±(2^53 − 1); by default a counter per run and producer, from 0, or where a resumed run goes on. */
  readonly step?: number | undefined
  /** Wall time in ms since 1970; by default the time of the call. */
  readonly time?: number | undefined
  /** Tells apart series of one name, such as 'train' and 'val'; by default none. */
  readonly context?: string | undefined
}

/** The keys of an object as met last time, with their series: names are compared by identity, not looked up. */
interface Shape {
  readonly keys: string[]
  readonly series: number[]
}
/** What is known of the rows of one context: their series, their shapes, the one met last. */
interface Shapes {
  readonly context: string
  readonly series: Map<string, number>
  last: Shape
  readonly byFirstKey: Map<string, Shape>
}

export class RunProducer {
  readonly lane: LaneWriter
  readonly runNumber: number
  /** @internal this producer's block of the run's counters */
  readonly counts: Float64Array
  readonly #metrics = new Map<string, Metric>()
  readonly #shapes: Shapes = emptyShapes('')
  readonly #shapesByContext = new Map<string, Shapes>()
  readonly #takeSeries: () => number
  readonly #report: (issue: ErrorRecord) => void
  /** @internal of steps that are not given */
  readonly firstStep: number
  #nextStep: number

  /** @param takeSeries numbers series within the lane, over all its runs */
  constructor(
    lane: LaneWriter,
    runNumber: number,
    counters: SharedArrayBuffer,
    takeSeries: () => number,
    report: (issue: ErrorRecord) => void,
    firstStep = 0,
  ) {
    const number = takeProducer(counters)
    if (number >= PRODUCERS) {
      throw new TraceletError(
        'ERR_HANDLE',
        `a run takes at most ${PRODUCERS} producers; use a run per group of threads`,
      )
    }
    this.lane = lane
    this.runNumber = runNumber
    this.counts = producerCounters(counters, number)
    this.#takeSeries = takeSeries
    this.#report = report
    this.firstStep = firstStep
    this.#nextStep = firstStep
  }

  /** One row: all values get one step, one time and one context. */
  log(values: Readonly<Record<string, number>>, place?: LogPlace): void {
    const lane = this.lane
    let step = place?.step
    if (step === undefined) step = this.#nextStep++
    else if (!Number.isSafeInteger(step)) {
      this.#refuseRow(values, stepIssue(step))
      return
    }
    let time = place?.time
    if (time === undefined) time = lane.now()
    else if (!Number.isFinite(time)) {
      this.#refuseRow(values, timeIssue(time))
      return
    }
    if (typeof values !== 'object' || values === null) {
      this.#refuse('ERR_VALUE', rowMessage(values), 1)
      return
    }
    const context = place?.context
    const shapes = context === undefined ? this.#shapes : this.#shapesOf(context)
    if (shapes === undefined) {
      this.#refuseRow(values, nameIssue(context)!)
      return
    }
    let shape = shapes.last
    let index = 0
    let accepted = 0
    let lost = 0
    try {
      for (const key in values) {
        const value = values[key]
        let series: number
        if (shape.keys[index] === key) series = shape.series[index]!
        else {
          shape = this.#shapeFor(shapes, shape, index, key)
          series = shape.series[index]!
        }
        index++
        if (typeof value !== 'number' || series === BAD_NAME) {
          this.#refuseValue(key, value, series)
          continue
        }
        accepted++
        if (series === UNDEFINED || !lane.push(series, step, value, time)) lost++
      }
    } finally {
      // also when a getter of the caller's threw: what was pushed before it counts
      shapes.last = lost > 0 ? forgetUndefined(shapes, shape) : shape
      this.counts[PRODUCER.accepted]! += accepted
      if (lost > 0) this.counts[PRODUCER.lostLaneFull]! += lost
      lane.publish()
    }
  }

  metric(name: string, context = ''): Metric {
    const key = context === '' ? name : `${name}\0${context}`
    let metric = this.#metrics.get(key)
    if (!metric) {
      const issue = nameIssue(name) ?? (context === '' ? undefined : nameIssue(context))
      if (issue) throw new TraceletError(issue.code, issue.message)
      metric = new Metric(this, name, context)
      this.#metrics.set(key, metric)
    }
    return metric
  }

  /** Puts a record into the lane, behind everything logged so far; a loss is counted. */
  record(record: RunRecord): void {
    this.#pushRecord(encodeRecord(record))
  }

  /** The same for one that may be too long for any lane like this; false, and nothing done, when it is. */
  recordIfFits(record: RunRecord): boolean {
    return this.#recordUpTo(maxRecordBytes(this.lane.capacity), record)
  }

  /** The same for a record that is small for the lane; false, and nothing done, when it had better be parked. */
  recordSmall(record: RunRecord): boolean {
    const most = maxRecordBytes(this.lane.capacity)
    const small = Math.max(SMALL_MIN_BYTES, Math.min(SMALL_MAX_BYTES, most / 8))
    return this.#recordUpTo(Math.min(small, most), record)
  }

  /** Rows logged so far are complete. */
  mark(): void {
    const pushed = this.counts[PRODUCER.accepted]! - this.counts[PRODUCER.lostLaneFull]!
    this.lane.pushRecord(LANE_RECORD.mark, this.runNumber, pushed, NOTHING)
  }

  finish(deadlineAt: number): boolean {
    return this.lane.pushRecord(LANE_RECORD.finish, this.runNumber, deadlineAt, NOTHING)
  }

  refusePoint(name: string, step: unknown, value: unknown): void {
    if (typeof value !== 'number') this.#refuseValue(name, value, 0)
    else this.#refuse('ERR_STEP', stepIssue(step).message, 1)
  }

  #recordUpTo(mostBytes: number, record: RunRecord): boolean {
    const bytes = encodeRecord(record)
    if (bytes.length > mostBytes) return false
    this.#pushRecord(bytes)
    return true
  }

  #pushRecord(bytes: Uint8Array): void {
    this.counts[PRODUCER.recordsAccepted]!++
    if (!this.lane.pushRecord(LANE_RECORD.record, this.runNumber, 0, bytes)) {
      this.counts[PRODUCER.recordsLost]!++
    }
  }

  /** Counts and reports something that was never accepted. */
  #refuse(code: ErrorCode, message: string, points: number): void {
    this.counts[PRODUCER.refused]! += points
    this.#report({ code, message })
  }

  #refuseRow(values: object, issue: ErrorRecord): void {
    this.#refuse(issue.code, issue.message, Math.max(1, Object.keys(values ?? {}).length))
  }

  #refuseValue(name: string, value: unknown, series: number): void {
    const bad = series === BAD_NAME ? nameIssue(name) : undefined
    const message = `'${name.slice(0, 100)}' was given ${describe(value)}; only numbers can be logged as a metric`
    this.#refuse(bad?.code ?? 'ERR_VALUE', bad?.message ?? message, 1)
  }

  /** The shape that has `key` at `index` after the same keys before; remembered by the first key. */
  #shapeFor(shapes: Shapes, shape: Shape, index: number, key: string): Shape {
    if (index === 0) {
      const known = shapes.byFirstKey.get(key)
      if (known) return known
      const fresh = { keys: [key], series: [this.#seriesOf(shapes, key)] }
      shapes.byFirstKey.set(key, fresh)
      return fresh
    }
    // another row with the same beginning: from here on the new keys stand in the shape
    shape.keys.length = index
    shape.series.length = index
    shape.keys.push(key)
    shape.series.push(this.#seriesOf(shapes, key))
    return shape
  }

  /** Undefined for what cannot be a context. */
  #shapesOf(context: string): Shapes | undefined {
    if (context === '') return this.#shapes
    const known = this.#shapesByContext.get(context)
    if (known || nameIssue(context)) return known
    const fresh = emptyShapes(context)
    this.#shapesByContext.set(context, fresh)
    return fresh
  }

  #seriesOf(shapes: Shapes, name: string): number {
    const known = shapes.series.get(name)
    if (known !== undefined) return known
    return nameIssue(name) ? BAD_NAME : this.#define(shapes, name)
  }

  /**
   * The lane's number of a series, told to the drain thread ahead of the series' first point.
   * @returns UNDEFINED when the lane had no room: points that need it are lost, the next one tries again
   * @internal
   */
  define(name: string, context: string): number {
    const shapes = this.#shapesOf(context)!
    return shapes.series.get(name) ?? this.#define(shapes, name)
  }

  #define(shapes: Shapes, name: string): number {
    const series = this.#takeSeries()
    const bytes = encoder.encode(`${name}\0${shapes.context}`)
    if (!this.lane.pushRecord(LANE_RECORD.series, series, this.runNumber, bytes)) return UNDEFINED
    shapes.series.set(name, series)
    return series
  }
}

function emptyShapes(context: string): Shapes {
  return { context, series: new Map(), last: { keys: [], series: [] }, byFirstKey: new Map() }
}

/** Lost points may mean a series that could not be defined: its place in the shape must not stay. */
function forgetUndefined(shapes: Shapes, shape: Shape): Shape {
  if (!shape.series.includes(UNDEFINED)) return shape
  shapes.byFirstKey.delete(shape.keys[0]!)
  return { keys: [], series: [] }
}

/** What is wrong with a name, if anything. */
export function nameIssue(name: unknown): ErrorRecord | undefined {
  if (typeof name !== 'string')
    return { code: 'ERR_NAME', message: `a name must be a string, but is ${describe(name)}` }
  if (name === '') return { code: 'ERR_NAME', message: 'a name must not be empty' }
  if (name.includes('\0')) return { code: 'ERR_NAME', message: 'a name must not hold the character U+0000' }
  const bytes = name.length * 3 > MAX_NAME_BYTES ? encoder.encode(name).length : 0
  if (bytes <= MAX_NAME_BYTES) return undefined
  return {
    code: 'ERR_NAME',
    message: `a name must not be longer than ${MAX_NAME_BYTES} bytes in UTF-8, but '${name.slice(0, 40)}…' has ${bytes}`,
  }
}

export function stepIssue(step: unknown): ErrorRecord {
  return {
    code: 'ERR_STEP',
    message: `a step must be an integer between -(2^53 - 1) and 2^53 - 1, but is ${describe(step)}; round it or log it as a metric of its own`,
  }
}

export function timeIssue(time: unknown): ErrorRecord {
  return {
    code: 'ERR_TIME',
    message: `a time must be a finite number of milliseconds, but is ${describe(time)}`,
  }
}

function rowMessage(values: unknown): string {
  return `log() takes an object of numbers, but was given ${describe(values)}`
}

export function describe(value: unknown): string {
  if (typeof value === 'string') return `the text '${value.slice(0, 40)}'`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}
