/** Which points and records are for a destination: by name, kind and step. Pure; what is absent lets all pass. */
import { type DestinationOptions, isChosen } from './destination-options.ts'
import type { RunRecord, UnknownRecord } from './records.ts'

export interface Routing {
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
  readonly kinds?: readonly string[]
  readonly excludeKinds?: readonly string[]
  readonly everyN?: number
}

/** Of a destination's options those that route; empty when everything goes there. */
export function routingOf(options: Partial<DestinationOptions>): Routing {
  const { include, exclude, kinds, excludeKinds, everyN } = options
  return {
    ...(include && { include }),
    ...(exclude?.length && { exclude }),
    ...(kinds && { kinds }),
    ...(excludeKinds?.length && { excludeKinds }),
    ...(everyN !== undefined && everyN !== 1 && { everyN }),
  }
}

export class Route {
  readonly #routing: Routing
  readonly #included: RegExp | undefined
  readonly #excluded: RegExp | undefined

  constructor(routing: Routing) {
    this.#routing = routing
    this.#included = routing.include && anyPattern(routing.include)
    this.#excluded = routing.exclude && anyPattern(routing.exclude)
  }

  /** Points are for the destination when their step is a multiple of this. */
  get everyN(): number {
    return this.#routing.everyN ?? 1
  }

  /** Whether there are points that are not for the destination. */
  get choosesPoints(): boolean {
    return this.everyN > 1 || !this.#takesKind('points') || (this.#included ?? this.#excluded) !== undefined
  }

  takesSeries(name: string): boolean {
    return this.#takesKind('points') && this.#takesName(name)
  }

  /**
   * Names do not choose among definitions of metrics: these may speak of many series, and do no harm. An artifact that
   * is read has its own name; files of the run, alerts and the console's lines have none.
   */
  takesRecord(record: RunRecord | UnknownRecord): boolean {
    if (!isChosen(record.kind)) return true
    if (!this.#takesKind(record.kind)) return false
    if (record.kind === 'metric') return true
    const name = 'name' in record ? record.name : record.kind === 'input' ? record.artifact : undefined
    return name === undefined || this.#takesName(name)
  }

  #takesKind(kind: string): boolean {
    const { kinds, excludeKinds } = this.#routing
    return (kinds?.includes(kind) ?? true) && !excludeKinds?.includes(kind)
  }

  #takesName(name: string): boolean {
    return (this.#included?.test(name) ?? true) && !this.#excluded?.test(name)
  }
}

/** Fits whole names; `*` stands for any characters, none and `/` among them. */
export function anyPattern(patterns: readonly string[]): RegExp {
  const sources = patterns.map((pattern) =>
    pattern
      .split(/\*+/)
      .map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'))
      .join('.*'),
  )
  // without a pattern nothing fits
  return new RegExp(sources.length === 0 ? '(?!)' : `^(?:${sources.join('|')})$`, 'su')
}
