/**
 * Sequences of objects: texts, log lines, distributions, images, figures. Unlike numbers they are dense, by the step
 * itself: `seqs/chunks/<run>/<context>/<name>/{val,epoch,time}/<step>`, version 1, without an array of steps.
 */
import type { WallMs } from '../../core/types.ts'
import { contextOf } from './contexts.ts'
import { type AimPath, MessageWriter } from './message.ts'
import type { AimSession } from './session.ts'
import { traceKey, writeNewTrace } from './traces.ts'
import { AimBlob, AimCustom, type AimTree } from './tree.ts'

/** Which list of a run's sequences it is in, and what its objects are called. */
export interface ObjectKind {
  readonly sequences: 'texts' | 'distributions' | 'images' | 'figures' | 'sequence'
  readonly dtype: string
}

export interface PlacedObject {
  readonly step: number
  readonly time: WallMs
  readonly object: AimTree
}

export interface ObjectSequence {
  readonly name: string
  readonly context: string
  readonly kind: ObjectKind
  /** In the order of their logging; one at least. */
  readonly objects: readonly PlacedObject[]
  /** Of a list: how many it has at most. */
  readonly recordLength?: number
}

const ARRAYS = ['val', 'epoch', 'time'] as const

/** Messages that bring them, each object of some size in one of its own. Twice is harmless. */
export function* objectMessages(session: AimSession, sequence: ObjectSequence): Generator<Buffer> {
  const { name, kind, objects } = sequence
  const { handlers, runHash, traces } = session
  const { hash, members } = contextOf(sequence.context)
  const place: AimPath = ['seqs', 'chunks', runHash, hash, name]
  const writer = new MessageWriter()
  const known = traces.get(traceKey(hash, name))
  if (known === undefined) for (const array of ARRAYS) writer.makeArray(handlers.seqs, [...place, array])
  for (const { step, time, object } of objects) {
    const key = BigInt(step)
    writer.set(handlers.seqs, [...place, 'val', key], object)
    writer.set(handlers.seqs, [...place, 'epoch', key], null)
    writer.set(handlers.seqs, [...place, 'time', key], time / 1000)
    if (writer.length >= session.messageBytes) yield writer.take()
  }
  const first = objects[0]!
  const last = objects.reduce((highest, one) => (one.step >= highest.step ? one : highest))
  const longest = Math.max(sequence.recordLength ?? 0, known?.recordLength ?? 0)
  if (known === undefined) {
    writeNewTrace(
      writer,
      { meta: handlers.meta, runHash, contextHash: hash, context: members, name },
      kind.sequences,
      kind.dtype,
      {
        dtype: kind.dtype,
        version: 1n,
        first: first.object,
        first_step: BigInt(first.step),
        last: last.object,
        last_step: BigInt(last.step),
        ...(longest > 0 && { record_max_length: BigInt(longest) }),
      },
    )
  } else {
    const isLater = !(last.step < known.lastStep)
    writer.updateMembers(handlers.meta, session.place('traces', hash, name), {
      ...(isLater && { last_step: BigInt(last.step) }),
      ...(longest > (known.recordLength ?? 0) && { record_max_length: BigInt(longest) }),
    })
  }
  if (writer.length > 0) yield writer.take()
}

/**
 * Where a sequence without steps of its own goes on. What we have sent ourselves stands in the cursor's state; another
 * client's must not be overwritten.
 */
export function nextPlace({ traces }: AimSession, name: string): number {
  const last = traces.get(traceKey(contextOf('').hash, name))?.lastStep
  return last === undefined || Number.isNaN(last) ? 0 : last + 1
}

/** To be called once the messages are acknowledged. */
export function learnObjects(
  session: AimSession,
  { name, context, kind, objects, recordLength }: ObjectSequence,
): void {
  const key = traceKey(contextOf(context).hash, name)
  const known = session.traces.get(key)
  const steps = objects.map(({ step }) => step)
  session.traces.set(key, {
    dtype: kind.dtype,
    ...{ first: Number.NaN, last: Number.NaN, min: Number.NaN, max: Number.NaN },
    firstStep: known?.firstStep ?? steps[0]!,
    lastStep: Math.max(known?.lastStep ?? Number.NEGATIVE_INFINITY, ...steps),
    recordLength: Math.max(recordLength ?? 0, known?.recordLength ?? 0),
  })
}

export const TEXT: ObjectKind = { sequences: 'texts', dtype: 'aim.text' }
export const LOG_LINE: ObjectKind = { sequences: 'sequence', dtype: 'aim.log_line' }
export const LOG_RECORD: ObjectKind = { sequences: 'sequence', dtype: 'aim.log_record' }
export const DISTRIBUTION: ObjectKind = { sequences: 'distributions', dtype: 'aim.distribution' }
export const FIGURE: ObjectKind = { sequences: 'figures', dtype: 'aim.figure' }
export const IMAGE: ObjectKind = { sequences: 'images', dtype: 'aim.image' }
export const IMAGES: ObjectKind = { sequences: 'images', dtype: 'list(aim.image)' }

export function textObject(text: string, type = 'aim.text'): AimCustom {
  return new AimCustom(type, { data: new AimBlob(text) })
}
