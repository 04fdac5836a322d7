/**
 * What a run says besides points, as Aim holds it.
 *
 *   params          attributes, nested at their dots
 *   tags            Aim's tags `key:value`, by which runs are found, and attributes `tags.key`
 *   notes           the run's description
 *   dataset, input  attributes `datasets.name`, `inputs.artifact`
 *   console         log lines, in the run's Logs tab
 *   alert           log records, in its Messages tab and for `aim-watcher`
 *   text, histogram sequences of objects
 *   state           `end_time` and the check-in `finished`. Aim knows no failed or killed run: `tracelet.state` says it
 *
 * Not there: definitions of metrics, since axes, smoothing and aggregation are chosen by whoever looks at Aim's charts;
 * and a mark where a run went back, since a later value of a step takes the place of the one before.
 */

import { readFile } from 'node:fs/promises'
import type { ParamValue, RecordKind, RunInfo, RunRecord, SinkState, WriteResult } from '../../core/types.ts'
import type { Refusal } from '../http.ts'
import { type Notices, shown } from '../notices.ts'
import { BlobError, verified } from '../run-blobs.ts'
import { ALERTS, alertObject } from './alerts.ts'
import { Attributes, attributeOf } from './attributes.ts'
import { checkIn } from './check-ins.ts'
import { shownLines } from './console.ts'
import { distributionObject } from './distributions.ts'
import { MessageWriter } from './message.ts'
import {
  DISTRIBUTION,
  LOG_LINE,
  LOG_RECORD,
  learnObjects,
  nextPlace,
  type ObjectSequence,
  objectMessages,
  TEXT,
  textObject,
} from './objects.ts'
import type { AimSession } from './session.ts'
import { type AimTree, isBranch } from './tree.ts'

export const RECORD_KINDS: readonly RecordKind[] = [
  'params',
  'tags',
  'state',
  'notes',
  'dataset',
  'input',
  'console',
  'alert',
  'text',
  'histogram',
]

/** Of ours, beside the user's params. */
const OWN = 'tracelet'
const LOGS = 'logs'

export class AimRecords {
  readonly #session: AimSession
  readonly #run: RunInfo
  readonly #notices: Notices
  readonly #attributes: Attributes
  /** By our keys: Aim's words for them. */
  readonly #tags = new Map<string, string>()
  /** Lines of the console and alerts so far: the place of each is its number. */
  #lines: number
  #alerts: number

  constructor(session: AimSession, run: RunInfo, notices: Notices, state: SinkState) {
    this.#session = session
    this.#run = run
    this.#notices = notices
    this.#attributes = new Attributes(session)
    const tags = isBranch(session.attributes) ? session.attributes.tags : undefined
    for (const [key, value] of Object.entries(isBranch(tags) ? tags : {}))
      this.#tags.set(key, tagOf(key, String(value)))
    this.#lines = typeof state?.lines === 'number' ? state.lines : nextPlace(session, LOGS)
    this.#alerts = typeof state?.alerts === 'number' ? state.alerts : nextPlace(session, ALERTS)
  }

  /** What the cursor must know. */
  get state(): NonNullable<SinkState> {
    return { runHash: this.#session.runHash, lines: this.#lines, alerts: this.#alerts }
  }

  /** Name, experiment and where it comes from. Harmless twice. */
  async describe(experiment: string, signal: AbortSignal): Promise<Refusal | undefined> {
    const { handlers, isNew } = this.#session
    const writer = new MessageWriter()
    if (isNew) {
      writer.set(handlers.meta, this.#session.place('end_time'), null)
      writer.call(handlers.props, 'name.setter', [this.#run.name])
      writer.call(handlers.props, 'experiment.setter', [experiment])
      writer.set(handlers.meta, ['meta', 'attrs'], {})
      // last: by it the run is told from a new one
      writer.set(handlers.meta, this.#session.place('attrs'), {})
    }
    const { id, group, parent, user, program } = this.#run
    const known = Object.entries({ run_id: id, group, parent, user, program })
    const leaves = known.flatMap(([key, value]) =>
      value === undefined ? [] : [[[OWN, key], value] as const],
    )
    return this.#session.send(
      [...(isNew ? [writer.take()] : []), ...this.#attributes.messages(leaves)],
      signal,
    )
  }

  async write(record: RunRecord, signal: AbortSignal): Promise<WriteResult> {
    switch (record.kind) {
      case 'params':
        return this.#set(this.#paramsOf(record.params), signal)
      case 'tags':
        return this.#writeTags(record.tags, signal)
      case 'notes':
        return this.#call('description.setter', record.notes, signal)
      case 'dataset': {
        const { kind: _, name, ...members } = record
        const leaves = Object.entries(members).map(
          ([key, value]) => [['datasets', name, key], value] as const,
        )
        return this.#set(leaves, signal)
      }
      case 'input':
        return this.#set([[['inputs', record.artifact], record.type ?? '']], signal)
      case 'alert':
        return this.#writeAlert(record, signal)
      case 'state':
        return this.#writeState(record, signal)
      case 'console':
        return this.#writeLines(record, signal)
      case 'text': {
        const { name, step, time } = record
        const text = await this.#textOf(record)
        if (typeof text !== 'string') return text
        const objects = [{ step, time, object: textObject(text) }]
        return this.#place({ name, context: '', kind: TEXT, objects }, signal)
      }
      case 'histogram': {
        const { name, step, time } = record
        const object = distributionObject(record, () =>
          this.#notices.tell('bins', 'Aim has evenly spaced bins: counts of others are spread over them'),
        )
        return this.#place(
          { name, context: '', kind: DISTRIBUTION, objects: [{ step, time, object }] },
          signal,
        )
      }
      default:
        throw new Error(`Aim's sink declares no ${record.kind}`)
    }
  }

  *#paramsOf(params: Readonly<Record<string, ParamValue>>): Generator<readonly [readonly string[], AimTree]> {
    for (const [name, value] of Object.entries(params)) yield [this.#pathOf(name), attributeOf(value)]
  }

  #pathOf(name: string): readonly string[] {
    const path = this.#attributes.pathOf(name)
    const stored = path.join('.')
    if (stored !== name) {
      this.#notices.tell(
        'param',
        `Aim has members of '${shown(name)}' already: its value is stored as '${shown(stored)}'`,
      )
    }
    return path
  }

  async #set(
    leaves: Iterable<readonly [path: readonly string[], value: AimTree]>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    return this.#answer(await this.#session.send(this.#attributes.messages(leaves), signal))
  }

  async #call(method: string, value: AimTree, signal: AbortSignal): Promise<WriteResult> {
    const writer = new MessageWriter()
    writer.call(this.#session.handlers.props, method, [value])
    return this.#answer(await this.#session.send([writer.take()], signal))
  }

  /** Aim's own tags are words alone; one of ours that changes its value takes the old word away. */
  async #writeTags(tags: Readonly<Record<string, string>>, signal: AbortSignal): Promise<WriteResult> {
    const { props } = this.#session.handlers
    for (const [key, value] of Object.entries(tags)) {
      const before = this.#tags.get(key)
      const word = tagOf(key, value)
      // another key may have the same word
      const isShared = [...this.#tags].some(([other, its]) => other !== key && its === before)
      if (before !== undefined && before !== word && !isShared) {
        const removed = await this.#session.read(props, 'remove_tag', [before], signal)
        if ('refusal' in removed) return removed.refusal
      }
      const added = await this.#session.read(props, 'add_tag', [word], signal)
      if ('refusal' in added) return added.refusal
      this.#tags.set(key, word)
    }
    return this.#set(
      Object.entries(tags).map(([key, value]) => [['tags', key], value] as const),
      signal,
    )
  }

  async #writeState(
    { state, time }: Extract<RunRecord, { kind: 'state' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { handlers } = this.#session
    const told = await this.#set([[[OWN, 'state'], state]], signal)
    if (told.status !== 'accepted') return told
    if (state === 'finished') {
      const refusal = await checkIn(this.#session, 'finished', time, signal)
      if (refusal !== undefined) return refusal
    }
    const writer = new MessageWriter()
    writer.set(handlers.meta, this.#session.place('end_time'), state === 'running' ? null : time / 1000)
    return this.#answer(await this.#session.send([writer.take()], signal))
  }

  async #writeLines(
    { text, time }: Extract<RunRecord, { kind: 'console' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const lines = shownLines(text)
    const objects = lines.map((line, at) => ({
      step: this.#lines + at,
      time,
      object: textObject(line, LOG_LINE.dtype),
    }))
    const answer = await this.#place({ name: LOGS, context: '', kind: LOG_LINE, objects }, signal)
    if (answer.status !== 'accepted') return answer
    this.#lines += lines.length
    return { status: 'accepted', state: this.state }
  }

  async #writeAlert(
    record: Extract<RunRecord, { kind: 'alert' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { time } = record
    const objects = [{ step: this.#alerts, time, object: alertObject(record) }]
    const answer = await this.#place({ name: ALERTS, context: '', kind: LOG_RECORD, objects }, signal)
    if (answer.status !== 'accepted') return answer
    const refusal = await checkIn(this.#session, 'new_logs', time, signal)
    if (refusal !== undefined) return refusal
    this.#alerts++
    return { status: 'accepted', state: this.state }
  }

  async #textOf({ text }: Extract<RunRecord, { kind: 'text' }>): Promise<string | WriteResult> {
    if (typeof text === 'string') return text
    try {
      return await readFile((await verified(text, this.#run.folder)).location, 'utf8')
    } catch (error) {
      const { message: reason } = error as Error
      if (error instanceof BlobError) return { status: 'split', code: 'ERR_BLOB', reason }
      // of a disk, and may pass
      return { status: 'retry', code: 'ERR_BLOB', reason, unsent: true }
    }
  }

  async #place(sequence: ObjectSequence, signal: AbortSignal): Promise<WriteResult> {
    const refusal = await this.#session.send(objectMessages(this.#session, sequence), signal)
    if (refusal === undefined) learnObjects(this.#session, sequence)
    return this.#answer(refusal)
  }

  #answer(refusal: Refusal | undefined): WriteResult {
    return refusal ?? { status: 'accepted' }
  }
}

function tagOf(key: string, value: string): string {
  return value === '' ? key : `${key}:${value}`
}
