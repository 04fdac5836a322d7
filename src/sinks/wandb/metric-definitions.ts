/**
 * How series are to be read: `_wandb.value.m` of a run's config, a list of objects by the field numbers of the SDK's
 * MetricRecord:
 *
 *   "1" name        or "2" glob, which ends in `*`
 *   "5" place of the series that is the axis in this list, from 1
 *   "6" options     1 the axis goes into each row, 2 hidden, 3 defined by name (not by glob)
 *   "7" summary     1 min, 2 max, 3 mean, 4 best, 5 last, 6 none, 7 copy, 8 first
 *   "8" goal        1 minimize, 2 maximize
 *
 * What SDK 0.31.0 does, and this too:
 * - a second definition of a name adds its summaries to the first, and replaces the axis where it has one;
 * - an axis that nobody defined gets an entry of its name alone, `"6":[],"7":[]`;
 * - a definition by name stands above every glob; its summary is the name's alone, even where it has none;
 * - dots of a name are escaped, `a\.b`, since a bare one leads into a nested value.
 * Where several globs fit, the SDK takes any; here the longest counts. It has no 'best' any more: what had a goal was
 * kept, `"8"`, and nothing was computed. Here the summary has `best`, as that of SDKs before it.
 *
 * Two definitions stand before those of the user: `global_step`, hidden, and `*` with it as the axis, since `_step` is
 * not the user's step where that went back. Series that the user defines without an axis have it, too.
 */
import type { MetricSummary, RunRecord } from '../../core/types.ts'
import { isObject, type Json, type JsonObject } from './extended-json.ts'
import { keyOf } from './keys.ts'

export const GLOBAL_STEP = 'global_step'

export interface MetricDefinition {
  /** A key of the history, or the beginning of keys. */
  readonly key: string
  readonly isGlob: boolean
  readonly axis?: string
  readonly isHidden: boolean
  readonly isDefined: boolean
  /** Field numbers of the summaries, ascending. */
  readonly summary: readonly number[]
  readonly goal?: 'minimize' | 'maximize'
  /** Fields that this version does not know, as another writer left them. */
  readonly more?: JsonObject
}

export const SUMMARY = { min: 1, max: 2, mean: 3, best: 4, last: 5, none: 6, copy: 7, first: 8 } as const
export const GOAL = { minimize: 1, maximize: 2 } as const
const STEP_SYNC = 1
const HIDDEN = 2
const DEFINED = 3
const KNOWN = ['1', '2', '5', '6', '7', '8']

type MetricRecord = Extract<RunRecord, { kind: 'metric' }>

export class MetricDefinitions {
  /** By name, or by glob with its `*`. */
  #all = new Map<string, MetricDefinition>()
  #version = 0

  constructor() {
    this.#setOwn()
  }

  /** Another number after every change. */
  get version(): number {
    return this.#version
  }

  /** @returns takes it back */
  define({ name, axis, summary, goal }: MetricRecord): () => void {
    const isGlob = name.endsWith('*')
    const key = isGlob ? name.slice(0, -1) : keyOf(name, '')
    const axisKey = axis === undefined ? undefined : keyOf(axis, '')
    const numbers = summary?.map((word: MetricSummary) => SUMMARY[word]) ?? []
    const all = new Map(this.#all)
    const before = this.#all.get(idOf(key, isGlob))
    const newGoal = goal ?? before?.goal
    this.#put({
      ...{ key, isGlob, isHidden: before?.isHidden ?? false, isDefined: !isGlob },
      ...(key !== GLOBAL_STEP && { axis: axisKey ?? before?.axis ?? GLOBAL_STEP }),
      summary: ascending([...(before?.summary ?? []), ...numbers]),
      ...(newGoal && { goal: newGoal }),
      ...(before?.more && { more: before.more }),
    })
    return () => {
      this.#all = all
      this.#version++
    }
  }

  /** What another writer, or we in an earlier process, left at the server; ours come before and after. */
  restore(list: Json | undefined): void {
    if (!Array.isArray(list)) return
    const entries = list.map((entry: Json) => (isObject(entry) ? entry : {}))
    for (const entry of entries) {
      const definition = read(entry, entries)
      if (definition && !this.#isOwn(definition)) this.#put(definition)
    }
  }

  /** The definition that counts for a key. */
  of(key: string): MetricDefinition | undefined {
    const exact = this.#all.get(idOf(key, false))
    if (exact?.isDefined) return exact
    let best: MetricDefinition | undefined
    for (const one of this.#all.values()) {
      if (!one.isGlob || !key.startsWith(one.key)) continue
      if (best === undefined || one.key.length > best.key.length) best = one
    }
    return best
  }

  /** As it stands after all that was said of it. */
  given(name: string): MetricDefinition | undefined {
    const isGlob = name.endsWith('*')
    return this.#all.get(idOf(isGlob ? name.slice(0, -1) : keyOf(name, ''), isGlob))
  }

  /** In the order in which they came, those of axes that nobody defined left out. */
  all(): readonly MetricDefinition[] {
    return [...this.#all.values()]
  }

  list(): JsonObject[] {
    const all = new Map(this.#all)
    for (const { axis } of this.#all.values()) {
      if (axis !== undefined && !all.has(idOf(axis, false))) all.set(idOf(axis, false), implicit(axis))
    }
    const places = new Map([...all.keys()].map((id, at) => [id, at + 1]))
    return [...all.values()].map((one) => written(one, places))
  }

  #setOwn(): void {
    this.#put({ ...implicit(GLOBAL_STEP), isHidden: true, isDefined: true })
    this.#put({ ...implicit(''), isGlob: true, axis: GLOBAL_STEP })
  }

  /** As `#setOwn` has made it. */
  #isOwn({ key, isGlob, axis, summary }: MetricDefinition): boolean {
    const isEmpty = summary.length === 0
    if (isGlob) return key === '' && isEmpty && (axis === undefined || axis === GLOBAL_STEP)
    return key === GLOBAL_STEP && isEmpty && axis === undefined
  }

  #put(definition: MetricDefinition): void {
    this.#all.set(idOf(definition.key, definition.isGlob), definition)
    this.#version++
  }
}

/** No key of a series ends the name of another: a glob has its `*` behind a character that no name has alone. */
function idOf(key: string, isGlob: boolean): string {
  return isGlob ? `*${key}` : `=${key}`
}

function implicit(key: string): MetricDefinition {
  return { key, isGlob: false, isHidden: false, isDefined: false, summary: [] }
}

function read(entry: JsonObject, entries: readonly JsonObject[]): MetricDefinition | undefined {
  const glob = entry['2']
  const name = typeof glob === 'string' ? glob : entry['1']
  if (typeof name !== 'string') return undefined
  const isGlob = typeof glob === 'string'
  const axis = typeof entry['5'] === 'number' ? entries[entry['5'] - 1]?.['1'] : undefined
  const options = numbersOf(entry['6'])
  const goal =
    entry['8'] === GOAL.minimize ? 'minimize' : entry['8'] === GOAL.maximize ? 'maximize' : undefined
  const more = Object.entries(entry).filter(([field]) => !KNOWN.includes(field))
  return {
    key: unescaped(isGlob ? name.replace(/\*$/, '') : name),
    isGlob,
    ...(typeof axis === 'string' && { axis: unescaped(axis) }),
    isHidden: options.includes(HIDDEN),
    isDefined: options.includes(DEFINED),
    summary: ascending(numbersOf(entry['7'])),
    ...(goal && { goal }),
    ...(more.length > 0 && { more: Object.fromEntries(more) }),
  }
}

function written(one: MetricDefinition, places: ReadonlyMap<string, number>): JsonObject {
  const { isGlob, axis, summary, goal, more } = one
  return {
    ...more,
    [isGlob ? '2' : '1']: writtenName(one),
    ...(axis !== undefined && { '5': places.get(idOf(axis, false))! }),
    '6': optionsOf(one),
    '7': summary,
    ...(goal && { '8': GOAL[goal] }),
  }
}

/** As it stands at W&B, with the `*` of a glob. */
export function writtenName({ key, isGlob }: Pick<MetricDefinition, 'key' | 'isGlob'>): string {
  return `${withEscapes(key)}${isGlob ? '*' : ''}`
}

/** Field numbers of its options. */
export function optionsOf({ axis, isHidden, isDefined }: MetricDefinition): number[] {
  return [
    ...(axis !== undefined ? [STEP_SYNC] : []),
    ...(isHidden ? [HIDDEN] : []),
    ...(isDefined ? [DEFINED] : []),
  ]
}

export function withEscapes(key: string): string {
  return key.replaceAll('.', '\\.')
}
function unescaped(name: string): string {
  return name.replaceAll('\\.', '.')
}

function numbersOf(list: Json | undefined): number[] {
  return Array.isArray(list) ? list.filter((one: Json) => typeof one === 'number') : []
}
function ascending(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b)
}
