/** The points of a run, read back from its journal: whole series, and what is left of each in a line. */
import type { JournalEntry, MetricSummary, Series, SeriesId } from '../core/types.ts'
import { openJournal } from '../pipeline/journal/reader.ts'
import type { Superseded } from '../pipeline/journal/rewinds.ts'
import type { MetricDefinition } from './stored-records.ts'

/** A series as it was logged: point i is (step[i], time[i], value[i]), in the order of logging per producer. */
export interface History {
  readonly step: Float64Array
  /** Wall time in ms since 1970. */
  readonly time: Float64Array
  readonly value: Float64Array
  /** Points of the run, of whatever series, that retention removed: they came before all that is left. */
  readonly removed: number
}

export interface SeriesLength {
  readonly name: string
  readonly context: string
  readonly points: number
}

export interface Point {
  readonly step: number
  readonly value: number
}

/**
 * A series in a line. NaN takes no part in min, max, mean and best; where there is nothing but NaN they are NaN.
 * Infinities take part.
 */
export interface SeriesSummary extends SeriesLength {
  readonly min: number
  readonly max: number
  /** Of all points; NaN where +Infinity meets −Infinity. */
  readonly mean: number
  /** The point of the highest step, of several the latest logged; NaN counts here. */
  readonly last: Point
  /** The first point with the best value; only where `defineMetric` gave a goal and a number was logged. */
  readonly best?: Point
  /** What `defineMetric` wants to be shown; `['last']` without a definition. */
  readonly shown: readonly MetricSummary[]
  /** Name of the series to be used as x-axis, where one was defined. */
  readonly axis?: string
}

/** @param superseded what is left out; a series of which nothing else is there is none */
export function readSeries(folder: string, superseded: Superseded): (Series & SeriesLength)[] {
  const found = new Map<SeriesId, Series & { points: number }>()
  readPoints(folder, ({ seq, points }, describe) => {
    const end = superseded.fromStep(seq)
    for (let i = 0; i < points.length; i++) {
      if (points.step[i]! >= end) continue
      const id = points.series[i]!
      const known = found.get(id)
      if (known) known.points++
      else found.set(id, { ...describe(id), points: 1 })
    }
  })
  return [...found.values()]
}

export function readHistory(folder: string, name: string, context: string, superseded: Superseded): History {
  const step = new Column()
  const time = new Column()
  const value = new Column()
  let wanted: SeriesId | undefined
  const others = new Set<SeriesId>()
  let removed = 0
  readJournal(folder, (entry, describe) => {
    if (entry.kind === 'gone') removed += entry.points
    if (entry.kind !== 'points') return
    const { seq, points } = entry
    const end = superseded.fromStep(seq)
    for (let i = 0; i < points.length; i++) {
      const id = points.series[i]!
      if (wanted === undefined && !others.has(id)) {
        const series = describe(id)
        if (series.name === name && series.context === context) wanted = id
        else others.add(id)
      }
      if (id !== wanted || points.step[i]! >= end) continue
      step.push(points.step[i]!)
      time.push(points.time[i]!)
      value.push(points.value[i]!)
    }
  })
  return { step: step.done(), time: time.done(), value: value.done(), removed }
}

/** @param definitionOf the definition that holds for a series when all of the journal is read */
export function readSummaries(
  folder: string,
  name: string | undefined,
  onRecord: (entry: Extract<JournalEntry, { kind: 'record' }>) => void,
  definitionOf: (name: string) => MetricDefinition | undefined,
  superseded: Superseded,
): SeriesSummary[] {
  const sums = new Map<SeriesId, Sums>()
  const others = new Set<SeriesId>()
  const visit = ({ seq, points }: Extract<JournalEntry, { kind: 'points' }>, series: Describe) => {
    const end = superseded.fromStep(seq)
    for (let i = 0; i < points.length; i++) {
      if (points.step[i]! >= end) continue
      const id = points.series[i]!
      if (others.has(id)) continue
      let sum = sums.get(id)
      if (!sum) {
        const described = series(id)
        if (name !== undefined && described.name !== name) {
          others.add(id)
          continue
        }
        sum = new Sums(described)
        sums.set(id, sum)
      }
      sum.add(points.step[i]!, points.value[i]!)
    }
  }
  readJournal(folder, (entry, series) => {
    if (entry.kind === 'points') visit(entry, series)
    else if (entry.kind === 'record') onRecord(entry)
  })
  return [...sums.values()].map((sum) => sum.summary(definitionOf(sum.series.name)))
}

type Describe = (id: SeriesId) => Series

function readPoints(
  folder: string,
  visit: (entry: Extract<JournalEntry, { kind: 'points' }>, series: Describe) => void,
): void {
  readJournal(folder, (entry, series) => {
    if (entry.kind === 'points') visit(entry, series)
  })
}

function readJournal(folder: string, visit: (entry: JournalEntry, series: Describe) => void): void {
  const reader = openJournal(folder, { live: false })
  const series = (id: SeriesId) => reader.series(id)
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) visit(entry, series)
  } finally {
    reader.close()
  }
}

/** What is kept of a series while its points pass. */
class Sums {
  readonly series: Series
  #points = 0
  /** Of points that are not NaN. */
  #numbers = 0
  #sum = 0
  #min: Point = NO_POINT
  #max: Point = NO_POINT
  #lastStep = -Infinity
  #lastValue = Number.NaN

  constructor(series: Series) {
    this.series = series
  }

  add(step: number, value: number): void {
    this.#points++
    if (step >= this.#lastStep) {
      this.#lastStep = step
      this.#lastValue = value
    }
    if (Number.isNaN(value)) return
    if (this.#numbers++ === 0) {
      this.#min = { step, value }
      this.#max = this.#min
    } else if (value < this.#min.value) this.#min = { step, value }
    else if (value > this.#max.value) this.#max = { step, value }
    this.#sum += value
  }

  summary(definition: MetricDefinition | undefined): SeriesSummary {
    const { name, context } = this.series
    const best =
      definition?.goal === undefined || this.#numbers === 0
        ? undefined
        : definition.goal === 'minimize'
          ? this.#min
          : this.#max
    return {
      name,
      context,
      points: this.#points,
      min: this.#min.value,
      max: this.#max.value,
      mean: this.#numbers === 0 ? Number.NaN : this.#sum / this.#numbers,
      last: { step: this.#lastStep, value: this.#lastValue },
      ...(best !== undefined && { best }),
      shown: definition?.summary ?? ['last'],
      ...(definition?.axis !== undefined && { axis: definition.axis }),
    }
  }
}
const NO_POINT: Point = { step: 0, value: Number.NaN }

/** A column that grows. */
class Column {
  #values = new Float64Array(1024)
  #length = 0

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float64Array(this.#length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  done(): Float64Array {
    return this.#values.slice(0, this.#length)
  }
}
