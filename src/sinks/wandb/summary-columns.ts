/**
 * What a summary knows of each key, as columns: a point costs a few array writes and no text. What a draft changes is
 * kept beside until it counts, so it can be taken back.
 */
import { numberText } from './extended-json.ts'
import type { MetricDefinition } from './metric-definitions.ts'
import { SUMMARY } from './metric-definitions.ts'

/** Bits of what is shown of a key in place of its last value. */
export const SHOWN = { min: 1, max: 2, mean: 4, least: 8, greatest: 16, last: 32, none: 64 } as const
const BEST = SHOWN.least | SHOWN.greatest

export const KIND = {
  nothing: 0,
  number: 1,
  /** JSON text. */
  text: 2,
  /** JSON text of the server's, which stands until a value comes. */
  served: 3,
} as const

const FIRST_ROOM = 64
const SAVED_NUMBERS = 7

/** Of the values of one key, in the order of their lines. NaN stays NaN in all but `best`, as in SDK 0.31.0. */
export class SummaryColumns {
  length = 0
  readonly keys: string[] = []
  /** `"key":` */
  readonly prefixes: string[] = []
  readonly texts: (string | undefined)[] = []
  shown = new Uint8Array(FIRST_ROOM)
  kind = new Uint8Array(FIRST_ROOM)
  last = new Float64Array(FIRST_ROOM)
  min = new Float64Array(FIRST_ROOM)
  max = new Float64Array(FIRST_ROOM)
  sum = new Float64Array(FIRST_ROOM)
  count = new Float64Array(FIRST_ROOM)
  /** By the goal, without NaN; NaN before the first. */
  best = new Float64Array(FIRST_ROOM)
  readonly #slots = new Map<string, number>()
  /** Number of the draft that changed a slot last. */
  #stamps = new Uint32Array(FIRST_ROOM)
  /** Above the stamp of a slot that no draft has changed. */
  #draft = 1
  #touched: number[] = []
  #saved: number[] = []
  #savedTexts: (string | undefined)[] = []

  slotOf(key: string): number {
    const known = this.#slots.get(key)
    if (known !== undefined) return known
    const slot = this.length++
    if (slot === this.kind.length) this.#grow()
    this.#slots.set(key, slot)
    this.keys.push(key)
    this.prefixes.push(`${JSON.stringify(key)}:`)
    this.texts.push(undefined)
    this.min[slot] = Number.POSITIVE_INFINITY
    this.max[slot] = Number.NEGATIVE_INFINITY
    this.best[slot] = Number.NaN
    return slot
  }

  setNumber(slot: number, value: number): void {
    if (this.#stamps[slot] !== this.#draft) this.#save(slot)
    this.kind[slot] = KIND.number
    this.last[slot] = value
    this.min[slot] = Math.min(this.min[slot]!, value)
    this.max[slot] = Math.max(this.max[slot]!, value)
    this.sum[slot]! += value
    this.count[slot]!++
    if ((this.shown[slot]! & BEST) !== 0) this.#setBest(slot, value)
  }

  setText(slot: number, json: string): void {
    if (this.#stamps[slot] !== this.#draft) this.#save(slot)
    this.kind[slot] = KIND.text
    this.texts[slot] = json
  }

  /** @returns whether it changed what is to be seen */
  setShown(slot: number, definition: MetricDefinition | undefined): boolean {
    const shown = shownBy(definition)
    const before = this.shown[slot]!
    if (shown === before) return false
    this.shown[slot] = shown
    if ((shown & BEST) !== (before & BEST)) {
      const bound = (shown & SHOWN.least) !== 0 ? this.min[slot]! : this.max[slot]!
      this.best[slot] = this.count[slot]! > 0 ? bound : Number.NaN
    }
    return true
  }

  /** `"key":value`; '' for what is not to be seen. */
  textOf(slot: number): string {
    const kind = this.kind[slot]!
    const shown = this.shown[slot]!
    if (kind === KIND.nothing || (shown & SHOWN.none) !== 0) return ''
    const last = kind === KIND.number ? numberText(this.last[slot]!) : this.texts[slot]!
    // SDK 0.31.0 calls 0 the min of what is no number, and parts media into their fields: here they stay as they are
    const isPlain = shown === 0 || kind === KIND.served || this.count[slot] === 0
    return this.prefixes[slot]! + (isPlain ? last : this.#aggregate(slot, shown, last))
  }

  /** From here on changes can be taken back; those before stay. */
  begin(): void {
    this.#draft++
    this.#touched = []
    this.#saved = []
    this.#savedTexts = []
  }

  get touched(): readonly number[] {
    return this.#touched
  }

  rollBack(): void {
    for (const [index, slot] of this.#touched.entries()) {
      const at = index * SAVED_NUMBERS
      const saved = this.#saved
      this.kind[slot] = saved[at]!
      this.last[slot] = saved[at + 1]!
      this.min[slot] = saved[at + 2]!
      this.max[slot] = saved[at + 3]!
      this.sum[slot] = saved[at + 4]!
      this.count[slot] = saved[at + 5]!
      this.best[slot] = saved[at + 6]!
      this.texts[slot] = this.#savedTexts[index]
    }
    this.begin()
  }

  #save(slot: number): void {
    this.#stamps[slot] = this.#draft
    this.#touched.push(slot)
    const { kind, last, min, max, sum, count, best } = this
    this.#saved.push(kind[slot]!, last[slot]!, min[slot]!, max[slot]!, sum[slot]!, count[slot]!, best[slot]!)
    this.#savedTexts.push(this.texts[slot])
  }

  #setBest(slot: number, value: number): void {
    const best = this.best[slot]!
    const isBetter = (this.shown[slot]! & SHOWN.least) !== 0 ? value < best : value > best
    if (isBetter || Number.isNaN(best)) this.best[slot] = value
  }

  #aggregate(slot: number, shown: number, last: string): string {
    const parts: string[] = []
    if (shown & SHOWN.min) parts.push(`"min":${numberText(this.min[slot]!)}`)
    if (shown & SHOWN.max) parts.push(`"max":${numberText(this.max[slot]!)}`)
    if (shown & SHOWN.mean) parts.push(`"mean":${numberText(this.sum[slot]! / this.count[slot]!)}`)
    if (shown & BEST) parts.push(`"best":${numberText(this.best[slot]!)}`)
    if (shown & SHOWN.last) parts.push(`"last":${last}`)
    return `{${parts.join(',')}}`
  }

  #grow(): void {
    this.shown = doubled(this.shown)
    this.kind = doubled(this.kind)
    this.last = doubled(this.last)
    this.min = doubled(this.min)
    this.max = doubled(this.max)
    this.sum = doubled(this.sum)
    this.count = doubled(this.count)
    this.best = doubled(this.best)
    this.#stamps = doubled(this.#stamps)
  }
}

function shownBy(definition: MetricDefinition | undefined): number {
  if (definition === undefined) return 0
  const { summary, goal } = definition
  if (summary.includes(SUMMARY.none)) return SHOWN.none
  return (
    (summary.includes(SUMMARY.min) ? SHOWN.min : 0) |
    (summary.includes(SUMMARY.max) ? SHOWN.max : 0) |
    (summary.includes(SUMMARY.mean) ? SHOWN.mean : 0) |
    (summary.includes(SUMMARY.last) ? SHOWN.last : 0) |
    (summary.includes(SUMMARY.best) && goal ? (goal === 'minimize' ? SHOWN.least : SHOWN.greatest) : 0)
  )
}

function doubled<Column extends Uint8Array | Uint32Array | Float64Array>(column: Column): Column {
  const wider = new (column.constructor as new (length: number) => Column)(column.length * 2)
  wider.set(column)
  return wider
}
