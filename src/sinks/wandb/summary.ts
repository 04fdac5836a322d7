/**
 * The summary of a run, a line of `wandb-summary.json`: of every key of the history its last value or what its
 * definition asks for, `"val/loss":{"min":0.2}`, and `_step`, `_timestamp`, `_runtime`, `_wandb.runtime` of the last
 * line. As in SDK 0.31.0 `_runtime` is a whole number here, and what a definition calls `none` is left out.
 *
 * Nothing counts before `commit()`: a draft that is not committed has no part in the next one. Values are added in the
 * order of their lines, so where batches are cut makes no difference, and the sums stand in the cursor's state with the
 * place they belong to: rows that come again are never added twice.
 *
 * Texts are made for keys that changed and put together in blocks, so a line of 100,000 keys of which ten changed is
 * a few hundred blocks to be joined.
 */
import type { Batch, SeriesId } from '../../core/types.ts'
import type { RunConfig } from './config.ts'
import { numberText } from './extended-json.ts'
import { GLOBAL_STEP } from './metric-definitions.ts'
import { SummaryColumns } from './summary-columns.ts'
import { isAggregated, restore, stateOf } from './summary-state.ts'

export interface SummaryRows {
  readonly batch?: Batch
  /** Rows of it that do not go. */
  readonly rejected?: ReadonlySet<number>
  /** Key in the history; undefined for what is not there. The same for as long as the run is open. */
  readonly keyOf: (id: SeriesId) => string | undefined
  /** What goes with the rows, or in lines of its own: key and JSON text. */
  readonly entries: readonly (readonly [key: string, json: string])[]
  /** `_step`, time and run time of the last line. */
  readonly step: number
  readonly timeMs: number
  readonly runtimeS: number
  /** No line is wanted: what has changed stands in a later one. */
  readonly isQuiet?: true
}

export interface SummaryDraft {
  /** JSON text; undefined when nothing has changed. */
  readonly line: string | undefined
  /** From now on it counts. Only of the last draft. */
  commit(): void
}

/** A longer value stays in the history alone. */
const MAX_VALUE_CHARS = 64 * 1024
/** A longer line would leave no room in a request: such a run has no summary (some 150,000 keys). */
const MAX_LINE_CHARS = 5 * 1024 * 1024
const BLOCK = 256

const UNKNOWN = 0
const NOT_HERE = -1

export class Summary {
  readonly #columns = new SummaryColumns()
  readonly #config: RunConfig
  /** By series: slot + 1; 0 before it was asked for. */
  #slots = new Int32Array(64)
  /** By block of slots; undefined where a key of it has changed. */
  readonly #blocks: (string | undefined)[] = []
  readonly #texts: string[] = []
  #version = -1
  #aggregated: number[] = []
  #known = 0
  /** Something is to be seen that was in no line yet. */
  #isChanged = false
  #times: string
  #open: object | undefined
  #globalSlot = NOT_HERE
  /** The user has a series of that name. */
  #hasOwnGlobalStep = false

  /**
   * @param saved `state` of an earlier one
   * @param served JSON text that the server has
   */
  constructor(saved: unknown, served: string | null | undefined, config: RunConfig) {
    this.#config = config
    this.#times = restore(this.#columns, config.definitions, saved, served)
    this.#define()
    this.#isChanged = false
  }

  draft(rows: SummaryRows): SummaryDraft {
    this.#rollBack()
    const columns = this.#columns
    const globalStep = rows.batch === undefined ? undefined : this.#addBatch(rows.batch, rows)
    for (const [key, json] of rows.entries) {
      if (key === GLOBAL_STEP && this.#hasOwnGlobalStep) continue
      if (json.length <= MAX_VALUE_CHARS) this.#addEntry(columns.slotOf(key), json)
    }
    if (globalStep !== undefined && !this.#hasOwnGlobalStep) {
      if (this.#globalSlot === NOT_HERE) this.#globalSlot = columns.slotOf(GLOBAL_STEP)
      columns.setNumber(this.#globalSlot, globalStep)
    }
    this.#define()
    const { touched } = columns
    const times = touched.length > 0 ? timesText(rows) : this.#times
    for (const slot of touched) this.#blocks[Math.floor(slot / BLOCK)] = undefined
    const isChanged = touched.length > 0 || this.#isChanged
    for (const slot of touched) this.#texts[slot] = columns.textOf(slot)
    const line = isChanged && !rows.isQuiet ? this.#line(times) : undefined
    const open = {}
    this.#open = open
    return {
      line,
      commit: () => {
        if (this.#open !== open) throw new Error('a draft of the summary counts only until the next one')
        this.#open = undefined
        this.#times = times
        this.#isChanged = isChanged && rows.isQuiet === true
        columns.begin()
      },
    }
  }

  /** What the cursor keeps of it. */
  get state(): unknown {
    this.#rollBack()
    return stateOf(this.#columns, this.#aggregated, this.#times)
  }

  /** @returns step of the last row that has something in the history */
  #addBatch({ rows, series, value, step }: Batch, { rejected, keyOf }: SummaryRows): number | undefined {
    const columns = this.#columns
    const count = rows === undefined ? 0 : rows.length - 1
    let last: number | undefined
    for (let row = 0; row < count; row++) {
      if (rejected?.has(row)) continue
      const end = rows![row + 1]!
      for (let at = rows![row]!; at < end; at++) {
        const slot = this.#slotOf(series[at]!, keyOf)
        if (slot === NOT_HERE) continue
        columns.setNumber(slot, value[at]!)
        last = step[at]!
      }
    }
    return last
  }

  #addEntry(slot: number, json: string): void {
    const number = /^-?\d/.test(json) ? Number(json) : Number.NaN
    if (Number.isNaN(number)) this.#columns.setText(slot, json)
    else this.#columns.setNumber(slot, number)
  }

  #slotOf(id: SeriesId, keyOf: SummaryRows['keyOf']): number {
    const known = id < this.#slots.length ? this.#slots[id]! : UNKNOWN
    if (known !== UNKNOWN) return known === NOT_HERE ? NOT_HERE : known - 1
    if (id >= this.#slots.length) {
      const wider = new Int32Array(Math.max(id + 1, this.#slots.length * 2))
      wider.set(this.#slots)
      this.#slots = wider
    }
    const key = keyOf(id)
    const slot = key === undefined ? NOT_HERE : this.#columns.slotOf(key)
    if (key === GLOBAL_STEP) this.#hasOwnGlobalStep = true
    this.#slots[id] = slot === NOT_HERE ? NOT_HERE : slot + 1
    if (slot !== NOT_HERE) this.#defineNew()
    return slot
  }

  /** Before its first value. */
  #defineNew(): void {
    const { definitions } = this.#config
    const columns = this.#columns
    for (; this.#known < columns.length; this.#known++) {
      const slot = this.#known
      columns.setShown(slot, definitions.of(columns.keys[slot]!))
      if (isAggregated(columns, slot)) this.#aggregated.push(slot)
      this.#blocks[Math.floor(slot / BLOCK)] = undefined
      this.#texts[slot] = columns.textOf(slot)
    }
  }

  /** What the definitions have come to say. */
  #define(): void {
    this.#defineNew()
    const { definitions } = this.#config
    if (this.#version === definitions.version) return
    this.#version = definitions.version
    const columns = this.#columns
    this.#aggregated = []
    for (let slot = 0; slot < columns.length; slot++) {
      if (columns.setShown(slot, definitions.of(columns.keys[slot]!))) {
        this.#blocks[Math.floor(slot / BLOCK)] = undefined
        this.#texts[slot] = columns.textOf(slot)
        this.#isChanged = true
      }
      if (isAggregated(columns, slot)) this.#aggregated.push(slot)
    }
  }

  #line(times: string): string | undefined {
    const { length } = this.#columns
    for (let from = 0; from < length; from += BLOCK) {
      const block = from / BLOCK
      this.#blocks[block] ??= this.#texts
        .slice(from, from + BLOCK)
        .filter(Boolean)
        .join(',')
    }
    const all = [...this.#blocks, times].filter(Boolean).join(',')
    return all.length <= MAX_LINE_CHARS ? `{${all}}` : undefined
  }

  /** A draft that nobody has committed leaves nothing. */
  #rollBack(): void {
    const isOpen = this.#open !== undefined
    this.#open = undefined
    const touched = [...this.#columns.touched]
    if (!isOpen && touched.length === 0) return
    this.#columns.rollBack()
    for (const slot of touched) {
      this.#texts[slot] = this.#columns.textOf(slot)
      this.#blocks[Math.floor(slot / BLOCK)] = undefined
    }
  }
}

function timesText({ step, timeMs, runtimeS }: SummaryRows): string {
  const runtime = Math.max(0, Math.floor(runtimeS))
  const timestamp = numberText(timeMs / 1000)
  return `"_step":${step},"_timestamp":${timestamp},"_runtime":${runtime},"_wandb":{"runtime":${runtime}}`
}
