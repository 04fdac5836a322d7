/** Params and tags as users give them, made into records: flattened, typed, redacted, cut to what a lane takes. */
import type { ErrorRecord } from '../core/errors.ts'
import { redact, redactText } from '../core/redact.ts'
import type { ParamValue, RunRecord } from '../core/types.ts'
import { describe, nameIssue, type RunProducer } from './producer.ts'

/** Anything with nested objects; leaves become params named by their path: `optimizer.lr`. */
export type Params = Readonly<Record<string, unknown>>
/** Names alone, or names with values. */
export type Tags = readonly string[] | Readonly<Record<string, string | number | boolean>>

const MAX_DEPTH = 32

export function logParams(producer: RunProducer, params: Params, report: (issue: ErrorRecord) => void): void {
  if (typeof params !== 'object' || params === null || Array.isArray(params)) {
    return report({
      code: 'ERR_VALUE',
      message: `logParams() takes an object, but was given ${describe(params)}`,
    })
  }
  const flat: [string, ParamValue][] = []
  flatten({ ...params }, '', 0, flat, new Set(), report)
  send(producer, flat, (entries) => ({ kind: 'params', params: Object.fromEntries(entries) }), report)
}

export function setTags(producer: RunProducer, tags: Tags, report: (issue: ErrorRecord) => void): void {
  if (typeof tags !== 'object' || tags === null) {
    return report({
      code: 'ERR_VALUE',
      message: `setTags() takes words or an object, but was given ${describe(tags)}`,
    })
  }
  const given = Array.isArray(tags) ? tags.map((tag) => [tag, ''] as const) : Object.entries(tags)
  const entries: [string, string][] = []
  for (const [name, value] of given) {
    const issue = nameIssue(name)
    if (issue) report(issue)
    else entries.push([redactText(name), typeof value === 'string' ? redact(name, value) : String(value)])
  }
  send(producer, entries, (some) => ({ kind: 'tags', tags: Object.fromEntries(some) }), report)
}

/** Sends entries in one record, or in halves until each fits; one that is too long alone is refused. */
function send<Value>(
  producer: RunProducer,
  entries: readonly (readonly [string, Value])[],
  toRecord: (entries: readonly (readonly [string, Value])[]) => RunRecord,
  report: (issue: ErrorRecord) => void,
): void {
  if (entries.length === 0) return
  if (producer.recordIfFits(toRecord(entries))) return
  if (entries.length === 1) {
    const name = entries[0]![0].slice(0, 100)
    return report({
      code: 'ERR_VALUE_TOO_LONG',
      message: `the value of '${name}' does not fit into a record; log it as an artifact or raise laneSlots`,
    })
  }
  const half = entries.length >> 1
  send(producer, entries.slice(0, half), toRecord, report)
  send(producer, entries.slice(half), toRecord, report)
}

function flatten(
  value: unknown,
  path: string,
  depth: number,
  into: [string, ParamValue][],
  parents: Set<object>,
  report: (issue: ErrorRecord) => void,
): void {
  if (value instanceof Map) {
    return flatten(Object.fromEntries(value), path, depth, into, parents, report)
  }
  if (isPlainObject(value)) {
    if (parents.has(value) || depth > MAX_DEPTH) {
      return report({
        code: 'ERR_VALUE',
        message: `the parameter '${path}' holds itself or is nested too deep`,
      })
    }
    parents.add(value)
    for (const [key, inner] of Object.entries(value)) {
      const issue = nameIssue(key)
      if (issue) report(issue)
      else flatten(inner, path === '' ? key : `${path}.${key}`, depth + 1, into, parents, report)
    }
    parents.delete(value)
    return
  }
  const leaf = toParam(value)
  if (leaf === undefined) {
    report({
      code: 'ERR_VALUE',
      message: `the parameter '${path}' is a ${typeof value}, which has no value to log`,
    })
  } else into.push([redactText(path), redact(path, leaf)])
}

function toParam(value: unknown): ParamValue | undefined {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (typeof value !== 'object') return undefined
  try {
    return JSON.stringify(
      ArrayBuffer.isView(value) ? Array.from(value as Uint8Array) : value,
      (key, inner) => (typeof inner === 'bigint' ? inner.toString() : redact(key, inner)),
    )
  } catch {
    return String(value)
  }
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
