/**
 * A run's sequences as `meta/chunks/<run>/traces/<context hash>/<name>` tells of them: hints for tables and lists, and how
 * a reader learns that a sequence is there.
 */
import type { AimPath, MessageWriter } from './message.ts'
import { type AimTree, isBranch } from './tree.ts'

export interface AimTrace {
  /** `float`, `int`, `number`, `aim.text`, `list(aim.image)` … */
  readonly dtype: string
  readonly first: number
  readonly firstStep: number
  readonly last: number
  readonly lastStep: number
  readonly min: number
  readonly max: number
  /** Of lists of objects: how many the longest has. */
  readonly recordLength?: number
}

/** What points of one call say of their series. */
export interface Seen {
  readonly first: number
  readonly firstStep: number
  /** Of the highest step. */
  readonly last: number
  readonly lastStep: number
  readonly min: number
  readonly max: number
}

const NUMBERS = new Set(['float', 'int', 'number'])

export function isOfNumbers({ dtype }: AimTrace): boolean {
  return NUMBERS.has(dtype)
}

/** As Aim's client (aim/sdk/tracker.py): none is written that nothing was below, or above, as of nothing but NaN. */
export function limitsOf({ min, max }: Pick<Seen, 'min' | 'max'>): { min?: number; max?: number } {
  return { ...(min < Number.POSITIVE_INFINITY && { min }), ...(max > Number.NEGATIVE_INFINITY && { max }) }
}

export function traceKey(contextHash: bigint, name: string): string {
  return `${contextHash}/${name}`
}

/** What `collect` of `traces` gave. */
export function* readTraces(collected: AimTree): Generator<[key: string, trace: AimTrace]> {
  if (!isBranch(collected)) return
  for (const [context, names] of Object.entries(collected)) {
    if (!isBranch(names)) continue
    for (const [name, trace] of Object.entries(names)) {
      if (!isBranch(trace)) continue
      const number = (key: string, missing = Number.NaN) => {
        const value = trace[key]
        return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : missing
      }
      yield [
        `${context}/${name}`,
        {
          // as Aim's client
          dtype: String(trace.dtype ?? 'float'),
          first: number('first'),
          firstStep: number('first_step'),
          last: number('last'),
          lastStep: number('last_step'),
          min: number('min', Number.POSITIVE_INFINITY),
          max: number('max', Number.NEGATIVE_INFINITY),
          recordLength: number('record_max_length') || 0,
        },
      ]
    }
  }
}

/**
 * What the bookkeeping is after points, as Aim's own client would have it (aim/sdk/tracker.py): a NaN is never less or
 * more than another.
 */
export function merged(known: AimTrace | undefined, seen: Seen): AimTrace {
  if (known === undefined) return { dtype: 'float', ...seen }
  const isLater = !(seen.lastStep < known.lastStep)
  return {
    ...known,
    ...(known.dtype === 'int' && { dtype: 'number' }),
    ...(isLater && { last: seen.last, lastStep: seen.lastStep }),
    min: seen.min < known.min ? seen.min : known.min,
    max: seen.max > known.max ? seen.max : known.max,
  }
}

export interface TracePlace {
  readonly meta: string
  readonly runHash: string
  readonly contextHash: bigint
  readonly context: { readonly [key: string]: AimTree }
  readonly name: string
}

/** The first of a sequence: all that says that it is there. */
export function writeNewTrace(
  writer: MessageWriter,
  { meta, runHash, contextHash, context, name }: TracePlace,
  kind: string,
  dtype: string,
  trace: { readonly [key: string]: AimTree },
): void {
  const run: AimPath = ['meta', 'chunks', runHash]
  writer.set(meta, ['meta', 'contexts', contextHash], context)
  writer.set(meta, [...run, 'contexts', contextHash], context)
  writer.set(meta, ['meta', 'traces_types', dtype, contextHash, name], 1n)
  writer.set(meta, [...run, 'typed_traces', kind, contextHash, name], 1n)
  writer.set(meta, [...run, 'traces', contextHash, name], trace)
}

/** What has changed of a sequence of numbers that is there. */
export function writeTraceChange(
  writer: MessageWriter,
  { meta, runHash, contextHash, name }: TracePlace,
  known: AimTrace,
  now: AimTrace,
): void {
  const run: AimPath = ['meta', 'chunks', runHash]
  const changes = {
    ...(!Object.is(now.last, known.last) && { last: now.last }),
    ...(now.lastStep !== known.lastStep && { last_step: BigInt(now.lastStep) }),
    ...(now.min !== known.min && { min: now.min }),
    ...(now.max !== known.max && { max: now.max }),
    // a run that another client has begun with ints
    ...(known.dtype === 'int' && { dtype: 'number' }),
  }
  if (known.dtype === 'int') writer.set(meta, ['meta', 'traces_types', 'number', contextHash, name], 1n)
  if (Object.keys(changes).length === 0) return
  writer.updateMembers(meta, [...run, 'traces', contextHash, name], changes)
}
