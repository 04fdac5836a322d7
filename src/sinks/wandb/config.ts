/**
 * A run's config as W&B keeps it, one JSON text that each update replaces as a whole:
 *
 *   {"lr":{"value":0.1},"optimizer":{"value":{"name":"adam"}},"_wandb":{"value":{"t":…,"m":…,"tracelet":…}}}
 *
 * Several may write to a run, and so did we in an earlier process: what the server has stays, and ours goes over it.
 *
 * Params have flat names, `optimizer.name`; W&B's own are nested. So a name is nested by its dots, but where another
 * name needs its place: beside `a`, `a.b` stays literal at the top. Which are literal is decided by all names
 * together, whatever came first. As in SDK 0.31.0, NaN is null, the infinities are bare, and lists are lists: an array
 * reaches us as its JSON text.
 */
import type { ParamValue, RunInfo, RunRecord } from '../../core/types.ts'
import { isObject, type Json, type JsonObject, jsonText, parseJson } from './extended-json.ts'
import { MetricDefinitions } from './metric-definitions.ts'

const OWN = '_wandb'

interface Param {
  readonly value: Json
  /** It stood at the server under its whole name. */
  readonly isLiteral?: true
}

export class RunConfig {
  readonly definitions: MetricDefinitions = new MetricDefinitions()
  readonly #run: RunInfo
  #params = new Map<string, Param>()
  /** What stands beside `value` at a top name. */
  readonly #beside = new Map<string, JsonObject>()
  /** `_wandb.value` of the server. */
  #own: JsonObject = {}

  constructor(run: RunInfo) {
    this.#run = run
  }

  /** Takes over what the server has: its text, or nothing. */
  restore(config: string | null | undefined): void {
    const all = parseJson(config)
    if (!isObject(all)) return
    for (const [name, entry] of Object.entries(all)) {
      // Servers have been seen to give values alone.
      const isWrapped = isObject(entry) && 'value' in entry
      const value = isWrapped ? entry.value! : entry
      if (name === OWN) {
        if (isObject(value)) this.#own = value
        continue
      }
      if (isWrapped) {
        const { value: _value, ...beside } = entry
        if (Object.keys(beside).length > 0) this.#beside.set(name, beside)
      }
      this.#flatten(name, value, name.includes('.'))
    }
    this.definitions.restore(this.#own.m)
  }

  /** @returns takes it back */
  addParams(params: Readonly<Record<string, ParamValue>>): () => void {
    const before = new Map(this.#params)
    for (const [given, value] of Object.entries(params)) {
      const name = paramName(given)
      const isLiteral = this.#params.get(name)?.isLiteral
      this.#params.set(name, { value: jsonOf(value), ...(isLiteral && { isLiteral }) })
    }
    return () => {
      this.#params = before
    }
  }

  /** @returns takes it back */
  define(record: Extract<RunRecord, { kind: 'metric' }>): () => void {
    return this.definitions.define(record)
  }

  /** The whole config as W&B's JSON text. */
  text(): string {
    const entries = [...this.tops()].map(([name, value]) => {
      const beside = this.#beside.get(name)
      return `${JSON.stringify(name)}:${jsonText({ ...beside, value })}`
    })
    entries.push(`"${OWN}":${jsonText({ value: this.ownValue() })}`)
    return `{${entries.join(',')}}`
  }

  /** What stands under each name but W&B's own. */
  tops(): ReadonlyMap<string, Json> {
    const tops = new Map<string, Json>()
    for (const [name, { value, isLiteral }] of this.#params) {
      if (isLiteral || !isNested(name, this.#params)) tops.set(name, value)
      else place(tops, name.split('.'), value)
    }
    return tops
  }

  /** W&B's own part. */
  ownValue(): JsonObject {
    const { nonce, id } = this.#run
    return {
      ...this.#own,
      // A resume takes a run for started only if it has `t`, the SDK's telemetry by field numbers: 13 is the platform.
      t: this.#own.t ?? { '13': `${process.platform}-${process.arch}` },
      m: this.definitions.list(),
      tracelet: { nonce, id },
    }
  }

  /** As far as names with dots can say the same. */
  #flatten(name: string, value: Json, isLiteral: boolean): void {
    if (!isLiteral && isObject(value) && isFlattenable(value)) {
      for (const [key, inner] of Object.entries(value)) this.#flatten(`${name}.${key}`, inner, false)
    } else this.#params.set(name, { value, ...(isLiteral && { isLiteral: true as const }) })
  }
}

/** W&B's own part of the config has its name; each name that begins so has one `_` more at the end of its first part. */
function paramName(given: string): string {
  return given.replace(/^_wandb_*(?=\.|$)/, (first) => `${first}_`)
}

function jsonOf(value: ParamValue): Json {
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return null
    // all digits, as the SDK: JavaScript rounds them from the 17th on
    const isLong = Number.isInteger(value) && Math.abs(value) > Number.MAX_SAFE_INTEGER
    return isLong && Math.abs(value) < 1e21 ? BigInt(value) : value
  }
  if (typeof value !== 'string' || value[0] !== '[') return value
  // only what comes back as the very same text was an array
  const list = parseJson(value)
  return Array.isArray(list) && jsonText(list) === value ? list : value
}

function isNested(name: string, params: ReadonlyMap<string, Param>): boolean {
  if (!name.includes('.')) return false
  if (name.split('.').some((part) => part === '')) return false
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    if (params.has(name.slice(0, dot))) return false
  }
  return true
}

function isFlattenable(value: JsonObject): boolean {
  const entries = Object.entries(value)
  return (
    entries.length > 0 &&
    entries.every(
      ([key, inner]) => key !== '' && !key.includes('.') && (!isObject(inner) || isFlattenable(inner)),
    )
  )
}

function place(tops: Map<string, Json>, path: readonly string[], value: Json): void {
  const [top, ...rest] = path as [string, ...string[]]
  let at = (tops.get(top) ?? Object.create(null)) as Record<string, Json>
  tops.set(top, at)
  for (const part of rest.slice(0, -1)) at = (at[part] ??= Object.create(null)) as Record<string, Json>
  at[rest.at(-1)!] = value
}
