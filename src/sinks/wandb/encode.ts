/**
 * Rows → lines of `wandb-history.jsonl` and `wandb-events.jsonl`, as they stand in the body of a request. Pure: the
 * same journal from the same state gives the same lines, wherever batches are cut.
 *
 * E1 `_step` is the user's step where that is above the one before, else the next free one: neither the server nor
 *    `wandb sync` has to renumber. The user's own stands under `global_step` in every line, unless the user logs a
 *    series of that name. Steps beyond 2^52 are not followed, so that there is always a next one.
 * E2 A row gives a line to each file that has something of it; one of system metrics alone takes no `_step`.
 * E3 What is held for a step goes into the row of that step, or into a line of its own before the first row beyond it.
 * E4 Numbers are as JavaScript spells them: NaN and the infinities bare, as W&B's own; -0 is 0.
 * E5 A line that has a series and not its axis gets the last value of the axis: see axes.ts.
 * E6 All of it is ASCII, so its length in bytes is its length in characters.
 */
import type { Batch, SeriesId, WallMs } from '../../core/types.ts'
import { type AxesState, AxisNames, AxisValues } from './axes.ts'
import { escaped } from './escape.ts'
import { isSystem, keyOf } from './keys.ts'
import type { HeldEntries } from './state.ts'

export interface EncodeFrom {
  /** `_step` of the last line; -1 before the first. */
  readonly lastStep: number
  readonly held: readonly HeldEntries[]
  readonly axes?: AxesState | undefined
}

export interface Encoded {
  /** Lines with their quotes, a comma between them. */
  readonly history: string
  readonly historyLines: number
  readonly events: string
  readonly eventLines: number
  readonly lastStep: number
  /** Lines whose `_step` is not the user's. */
  readonly renumbered: number
  /** What waits on. */
  readonly held: readonly HeldEntries[]
  readonly axes: AxesState | undefined
  /** What was held and stands in these lines, in their order; the step of lines that have nothing else with them. */
  readonly entries: readonly (readonly [key: string, json: string])[]
  /** Points that gave way to something held under their key. */
  readonly superseded: number
  /** Time of the last line; undefined without lines. */
  readonly time: WallMs | undefined
}

const GLOBAL_STEP = 'global_step'
/** Steps up to here are followed. */
const MAX_FOLLOWED_STEP = 2 ** 52

const HISTORY = 0
const EVENT = 1
const OWN_STEP = 2

/** `,\"` key `\":` value: at most 7 bytes for a byte of the name, a separator, 25 for the number. */
export function pointBytes(nameBytes: number): number {
  return 7 * nameBytes + 40
}
/**
 * `"{\"_step\":`, `,\"_timestamp\":`, `,\"_runtime\":`, `,\"global_step\":` with their numbers and `}",` in the
 * history, and as much again with `\"_wandb\":true` among the events.
 */
export const ROW_BYTES = 360

export class RowEncoder {
  readonly #createdAt: number
  /** By series: `,\"key\":` */
  readonly #pieces: (string | undefined)[] = []
  readonly #kinds: number[] = []
  readonly #keys: string[] = []
  /** Whether any series is not a plain one. */
  #hasKinds = false
  #secondsText = ''
  #seconds = -1
  #axisNames: AxisNames | undefined

  constructor(createdAt: WallMs) {
    this.#createdAt = Math.floor(createdAt)
  }

  /** The key in the history of a series that was in a batch; undefined for one of system metrics. */
  readonly historyKey = (id: SeriesId): string | undefined =>
    this.#kinds[id] === EVENT ? undefined : this.#keys[id]

  encode(batch: Batch, from: EncodeFrom): Encoded {
    const { rows, series, step, value, time } = batch
    const count = rows === undefined ? 0 : Math.max(0, rows.length - 1)
    this.#learn(batch)
    const pieces = this.#pieces
    const hasKinds = this.#hasKinds
    const out = this.#lines(from)
    const isOdd = hasKinds || out.axes !== undefined
    let history = out.history
    for (let row = 0; row < count; row++) {
      const start = rows![row]!
      const end = rows![row + 1]!
      const userStep = step[start]!
      const stamp = Math.floor(time[start]!)
      if (isOdd || out.isHolding) {
        out.history = history
        this.#oddRow(batch, start, end, stamp, out)
        history = out.history
        continue
      }
      let text = out.lineStart(userStep)
      for (let at = start; at < end; at++) text += pieces[series[at]!]! + value[at]!
      const comma = out.historyLines++ === 0 ? '' : ','
      history += `${comma}${text}${this.#timesText(stamp)},\\"global_step\\":${userStep}}"`
    }
    out.history = history
    if (count > 0) out.time = Math.floor(time[rows![count - 1]!]!)
    return out.result()
  }

  /** Lines of their own for all that is held. */
  flush(from: EncodeFrom): Encoded {
    const out = this.#lines(from)
    out.flush()
    return out.result()
  }

  #lines(from: EncodeFrom): Lines {
    let axes: AxisValues | undefined
    if (from.axes !== undefined) {
      if (this.#axisNames?.of !== from.axes.of) this.#axisNames = new AxisNames(from.axes.of)
      if (this.#axisNames.axes.size > 0) axes = new AxisValues(this.#axisNames, from.axes)
    }
    return new Lines(from, axes, (at) => this.#timesText(at))
  }

  /** One with system metrics, with something held for its step, or with a step or an axis of the user's own. */
  #oddRow(batch: Batch, start: number, end: number, stamp: number, out: Lines): void {
    const { series, value, step } = batch
    const userStep = step[start]!
    const entries = out.entriesFor(userStep)
    const taken = entries.length > 0 ? new Set(entries.map(([key]) => key)) : undefined
    let text = ''
    let events = ''
    let hasOwnStep = taken?.has(GLOBAL_STEP) ?? false
    for (let at = start; at < end; at++) {
      const id = series[at]!
      const kind = this.#kinds[id]!
      if (kind === EVENT) {
        events += this.#pieces[id]! + value[at]!
        continue
      }
      if (taken?.has(this.#keys[id]!)) {
        out.superseded++
        continue
      }
      if (kind === OWN_STEP) hasOwnStep = true
      text += this.#pieces[id]! + value[at]!
      out.axes?.add(this.#keys[id]!, value[at]!)
    }
    if (events !== '') {
      const comma = out.eventLines++ === 0 ? '' : ','
      out.events += `${comma}"{\\"_wandb\\":true${events}${this.#timesText(stamp)}}"`
    }
    if (text !== '' || entries.length > 0) out.addLine(userStep, stamp, text, entries, hasOwnStep)
  }

  #learn({ series, length, describe }: Batch): void {
    const pieces = this.#pieces
    for (let at = 0; at < length; at++) {
      const id = series[at]!
      if (pieces[id] !== undefined) continue
      const { name, context } = describe(id)
      const key = keyOf(name, context)
      this.#kinds[id] = isSystem(name) ? EVENT : key === GLOBAL_STEP ? OWN_STEP : HISTORY
      if (this.#kinds[id] !== HISTORY) this.#hasKinds = true
      this.#keys[id] = key
      pieces[id] = pieceOf(key)
    }
  }

  /** `_timestamp` in seconds with all of its ms, `_runtime` since the run's creation. */
  #timesText(stamp: number): string {
    const seconds = Math.floor(stamp / 1000)
    if (seconds !== this.#seconds) {
      this.#seconds = seconds
      this.#secondsText = `,\\"_timestamp\\":${seconds}`
    }
    const runtime = (stamp - this.#createdAt) / 1000
    // a negative one has its fraction on the other side
    if (seconds < 0) return `,\\"_timestamp\\":${stamp / 1000},\\"_runtime\\":${runtime}`
    const ms = stamp - seconds * 1000
    const fraction = ms === 0 ? '' : `.${ms + 1000}`.replace('.1', '.')
    return `${this.#secondsText}${fraction},\\"_runtime\\":${runtime}`
  }
}

/** Lines as they come, and what they leave. */
class Lines {
  history = ''
  historyLines = 0
  events = ''
  eventLines = 0
  superseded = 0
  renumbered = 0
  lastStep: number
  time: WallMs | undefined
  readonly entries: (readonly [string, string])[] = []
  /** Undefined where no series has an axis. */
  readonly axes: AxisValues | undefined
  readonly #from: EncodeFrom
  #held: readonly HeldEntries[]
  readonly #timesText: (stamp: number) => string

  constructor(from: EncodeFrom, axes: AxisValues | undefined, timesText: (stamp: number) => string) {
    this.lastStep = from.lastStep
    this.#from = from
    this.#held = from.held
    this.axes = axes
    this.#timesText = timesText
    this.flushSealed()
  }

  get isHolding(): boolean {
    return this.#held.length > 0
  }

  /** `"{\"_step\":…` of the next line. */
  lineStart(userStep: number): string {
    const next = this.lastStep + 1
    const step = userStep > next && userStep <= MAX_FOLLOWED_STEP ? userStep : next
    if (step !== userStep) this.renumbered++
    this.lastStep = step
    return `"{\\"_step\\":${step}`
  }

  /** What is held for this step; what is held for steps before it gets its lines. */
  entriesFor(step: number): readonly (readonly [string, string])[] {
    if (this.#held.length === 0) return []
    let found: readonly (readonly [string, string])[] = []
    const left: HeldEntries[] = []
    for (const group of this.#held) {
      if (group.step < step) this.#addOwn(group)
      else if (group.step === step) found = group.values
      else left.push(group)
    }
    this.#held = left
    return found
  }

  flush(): void {
    for (const group of this.#held) this.#addOwn(group)
    this.#held = []
  }

  flushSealed(): void {
    if (!this.#held.some(({ isSealed }) => isSealed)) return
    for (const group of this.#held) if (group.isSealed) this.#addOwn(group)
    this.#held = this.#held.filter(({ isSealed }) => !isSealed)
  }

  addLine(
    userStep: number,
    stamp: number,
    points: string,
    entries: readonly (readonly [string, string])[],
    hasOwnStep: boolean,
  ): void {
    let text = this.lineStart(userStep) + points
    for (const [key, json] of entries) {
      text += pieceOf(key) + escaped(json)
      this.axes?.add(key)
    }
    this.entries.push(...entries)
    if (this.axes !== undefined) text += this.axes.take()
    text += this.#timesText(stamp)
    if (!hasOwnStep) text += `,\\"global_step\\":${userStep}`
    this.history += `${this.historyLines++ === 0 ? '' : ','}${text}}"`
  }

  result(): Encoded {
    const { history, historyLines, events, eventLines, lastStep, renumbered, entries, superseded, time } =
      this
    return {
      history,
      historyLines,
      events,
      eventLines,
      lastStep,
      renumbered,
      held: this.#held,
      axes: this.axes?.state ?? this.#from.axes,
      entries,
      superseded,
      time,
    }
  }

  #addOwn({ step, time, values }: HeldEntries): void {
    this.time = Math.floor(time)
    const hasOwnStep = values.some(([key]) => key === GLOBAL_STEP)
    this.addLine(step, this.time, '', values, hasOwnStep)
    if (!hasOwnStep) this.entries.push([GLOBAL_STEP, String(step)])
  }
}

/** `,\"key\":` */
function pieceOf(key: string): string {
  return `,${escaped(JSON.stringify(key))}:`
}
