/**
 * The axis of a series in the lines that have the series and not the axis: its last value goes into them, as SDK 0.31.0
 * does it, since W&B draws a series only from lines that have both. Where the axis was not logged yet nothing goes.
 *
 * What is defined and the last values stand in the cursor's state, so that lines stay a function of state and journal:
 * the server may know of a definition already that the journal still has ahead of rows to come.
 */
import type { RunRecord } from '../../core/types.ts'
import { escaped } from './escape.ts'
import { keyOf } from './keys.ts'
import { GLOBAL_STEP } from './metric-definitions.ts'

export interface AxesState {
  /** Key of the history, or the beginning of keys with a `*` behind; '' for the step, which every line has. */
  readonly of: readonly (readonly [key: string, axis: string])[]
  /** As JavaScript spells them: JSON has no NaN. */
  readonly last: readonly (readonly [axis: string, value: string])[]
}

/** Of the state, as text, with a last value for every axis. */
const MAX_STATE_CHARS = 2048
const MAX_VALUE_CHARS = 30

/** @returns undefined where there is no room: that definition counts for no line, in this process or another */
export function withDefinition(
  state: AxesState | undefined,
  { name, axis }: Extract<RunRecord, { kind: 'metric' }>,
): AxesState | undefined {
  const key = name.endsWith('*') ? name : keyOf(name, '')
  const axisKey = axis === undefined ? undefined : keyOf(axis, '')
  const all = new Map(state?.of)
  if (axisKey !== undefined || !all.has(key)) {
    all.set(key, axisKey === undefined || axisKey === GLOBAL_STEP ? '' : axisKey)
  }
  const defined = { of: [...all], last: state?.last ?? [] }
  const axes = new Set(all.values())
  const values = [...axes].reduce((sum, one) => sum + JSON.stringify(one).length + MAX_VALUE_CHARS, 0)
  return JSON.stringify(defined.of).length + values <= MAX_STATE_CHARS ? defined : undefined
}

/** Which axis a key has. */
export class AxisNames {
  readonly of: AxesState['of']
  /** Any other than the step. */
  readonly axes: ReadonlySet<string>
  readonly #exact: ReadonlyMap<string, string>
  /** The longest first. */
  readonly #globs: readonly (readonly [string, string])[]
  readonly #known = new Map<string, string>()

  constructor(of: AxesState['of']) {
    this.of = of
    this.axes = new Set(of.map(([, axis]) => axis).filter(Boolean))
    this.#exact = new Map(of.filter(([key]) => !key.endsWith('*')))
    this.#globs = of
      .filter(([key]) => key.endsWith('*'))
      .map(([key, axis]) => [key.slice(0, -1), axis] as const)
      .sort(([a], [b]) => b.length - a.length)
  }

  /** '' where there is nothing to be added. */
  axisOf(key: string): string {
    let axis = this.#known.get(key)
    if (axis === undefined) {
      axis = key === GLOBAL_STEP ? '' : this.#find(key)
      this.#known.set(key, axis)
    }
    return axis
  }

  #find(key: string): string {
    return this.#exact.get(key) ?? this.#globs.find(([start]) => key.startsWith(start))?.[1] ?? ''
  }
}

/** The axes from line to line. */
export class AxisValues {
  readonly #names: AxisNames
  readonly #from: AxesState
  #last: Map<string, string> | undefined
  /** Of the line that is being made. */
  readonly #present = new Set<string>()
  readonly #wanted = new Set<string>()

  constructor(names: AxisNames, from: AxesState) {
    this.#names = names
    this.#from = from
  }

  get state(): AxesState {
    return this.#last === undefined ? this.#from : { of: this.#from.of, last: [...this.#last] }
  }

  /** The line has this. */
  add(key: string, value?: number): void {
    const names = this.#names
    if (names.axes.has(key)) {
      this.#present.add(key)
      if (value !== undefined) this.#values.set(key, String(value))
    }
    const axis = names.axisOf(key)
    if (axis !== '') this.#wanted.add(axis)
  }

  /** What goes into the line beside that; the next one begins. */
  take(): string {
    if (this.#wanted.size === 0 && this.#present.size === 0) return ''
    let text = ''
    for (const axis of this.#wanted) {
      if (this.#present.has(axis)) continue
      const value = this.#values.get(axis)
      if (value !== undefined) text += `,${escaped(JSON.stringify(axis))}:${value}`
    }
    this.#wanted.clear()
    this.#present.clear()
    return text
  }

  get #values(): Map<string, string> {
    this.#last ??= new Map(this.#from.last)
    return this.#last
  }
}
