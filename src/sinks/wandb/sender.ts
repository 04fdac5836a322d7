/**
 * One opened run: its lines in, requests out, and what the cursor must know then.
 *
 *  L1  Line n of a file is the same forever: offsets are explicit, a retry says the same at the same place.
 *  L2  Nothing changes before the server's yes: a request that fails leaves the state as it was.
 *  L3  Lines that the server has and the state does not know of are compared before anything is sent over them.
 *  L4  What was tried as lines of its own stays so (sealed): it may be there already.
 */
import type { Batch, RunRecord, WallMs, WriteResult } from '../../core/types.ts'
import type { Refusal } from '../http.ts'
import { type Answered, ofRun, type RemoteRun, type WandbApi } from './api.ts'
import { withDefinition } from './axes.ts'
import { type Encoded, type EncodeFrom, RowEncoder } from './encode.ts'
import { escaped } from './escape.ts'
import { holdEntries, NOTHING_HELD, seal, together } from './held.ts'
import { otherWriter } from './open-run.ts'
import type { HeldEntries, HeldState, WandbState } from './state.ts'
import type { RunStream, Streamed } from './stream.ts'
import type { Summary } from './summary.ts'
import type { Tail } from './tail.ts'

export interface SenderParts {
  readonly api: WandbApi
  readonly remote: RemoteRun
  readonly stream: RunStream
  readonly state: WandbState
  readonly tail: Tail | undefined
  readonly summary: Summary
  readonly createdAt: WallMs
  readonly onStopRequested: () => void
  /** So many rows have not got their own step. */
  readonly onRenumbered: (count: number) => void
}

type Encode = (from: EncodeFrom) => Encoded

/** What goes with the lines of a request. */
export interface Going {
  readonly batch?: Batch
  /** Closes the run with it. */
  readonly exitCode?: number
}

/** Of a request; the SDK's own cap is 10 MiB of lines. */
export const MAX_REQUEST_BYTES = 8 * 1024 * 1024
/** Console lines in one request, in bytes. */
const MAX_OUTPUT_BYTES = 2 * 1024 * 1024

export class RunSender {
  readonly #parts: SenderParts
  readonly #encoder: RowEncoder
  #state: WandbState
  #tail: Tail | undefined
  /** The state that was opened holds something: it may have come alone before the answer was known. */
  readonly #isUnsure: boolean
  /** What the state will say when the request under way is taken. */
  #next: EncodeFrom | undefined
  /** There was no room for it. */
  #unsentSummary: string | undefined
  #prepared: { readonly batch: Batch; readonly from: EncodeFrom; readonly encoded: Encoded } | undefined

  constructor(parts: SenderParts) {
    this.#parts = parts
    this.#encoder = new RowEncoder(parts.createdAt)
    this.#state = parts.state
    this.#tail = parts.tail
    this.#isUnsure = parts.tail !== undefined && this.held.entries.length > 0
  }

  get state(): WandbState {
    return this.#state
  }

  get held(): HeldState {
    return this.#state.held ?? NOTHING_HELD
  }

  /** Lines of ours are there that are still to come from the journal. */
  get isBehind(): boolean {
    return this.#tail !== undefined
  }

  hold(held: HeldState): void {
    const { held: _, ...rest } = this.#state
    const isNothing = held.entries.length === 0 && held.output.length === 0
    this.#state = isNothing ? rest : { ...rest, held }
  }

  /** Apart while lines are to be compared: any number of the first may have come alone. */
  withEntries({ entries, output }: HeldState, group: HeldEntries): HeldState {
    if (this.isBehind) return { entries: [...entries, group], output }
    return holdEntries({ entries: together(entries), output }, group.step, group.time, group.values)
  }

  /** @returns whether lines to come can follow it */
  define(record: Extract<RunRecord, { kind: 'metric' }>): boolean {
    const axes = withDefinition(this.#state.axes, record)
    if (axes !== undefined) this.#state = { ...this.#state, axes }
    return axes !== undefined
  }

  /** Back to what it was before a record that was not taken. */
  restore(state: WandbState): void {
    this.#state = state
  }

  reopened(): void {
    const { exitCode: _, ...rest } = this.#state
    this.#state = rest
    this.#parts.stream.reopen()
  }

  /** Encodes what most likely comes next. */
  prepare(batch: Batch): void {
    const from = this.#next ?? this.#from
    this.#prepared = { batch, from, encoded: this.#encoder.encode(batch, from) }
  }

  /** Rows, and with them what is held for their steps and of the console. */
  async rows(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const encode: Encode = (from) => this.#encoded(batch, from)
    const { held } = this
    const answer = await this.#send(encode, { batch }, signal)
    const isRefused = answer.status === 'split' && answer.tooLarge === undefined
    // of several rows the halves come first: which lines there are must not hang on where batches are cut
    const isSingle = (batch.rows?.length ?? 0) <= 2
    if (!isRefused || !isSingle || (held.entries.length === 0 && held.output.length === 0)) return answer
    // What is held may be at fault. It was accepted: it must not cost the rows, nor be lost with them.
    const entries = this.#tail ? this.#asTheyCame(this.#tail) : held.entries
    this.hold(seal({ ...held, entries }))
    const alone = ofRun(await this.flush({}, signal))
    if (alone.status !== 'accepted') return alone
    return this.#send(encode, { batch }, signal)
  }

  /** All that is held, in lines of its own. */
  async flush(going: Going, signal: AbortSignal): Promise<WriteResult> {
    return this.#send((from) => this.#encoder.flush(from), going, signal)
  }

  async heartbeat(signal: AbortSignal): Promise<WriteResult> {
    const { stream, api, remote } = this.#parts
    return this.#answered(await stream.send(api, remote, {}, signal))
  }

  get #from(): EncodeFrom {
    const { lastStep, axes } = this.#state
    return { lastStep, held: together(this.held.entries), axes }
  }

  #encoded(batch: Batch, from: EncodeFrom): Encoded {
    const prepared = this.#prepared
    this.#prepared = undefined
    const isFit =
      prepared?.batch === batch &&
      prepared.from.lastStep === from.lastStep &&
      prepared.from.held === from.held &&
      prepared.from.axes === from.axes
    return isFit ? prepared.encoded : this.#encoder.encode(batch, from)
  }

  async #send(encode: Encode, going: Going, signal: AbortSignal): Promise<WriteResult> {
    const checked = this.#checked(encode, going)
    if ('status' in checked) return checked
    const { encoded, isKnown } = checked
    const { stream, api, remote, summary } = this.#parts
    const { state } = this
    const draft = summary.draft({
      ...(going.batch && { batch: going.batch }),
      keyOf: this.#encoder.historyKey,
      entries: encoded.entries,
      step: encoded.lastStep,
      timeMs: encoded.time ?? this.#parts.createdAt,
      runtimeS: ((encoded.time ?? this.#parts.createdAt) - this.#parts.createdAt) / 1000,
    })
    const output = take(this.held.output, MAX_OUTPUT_BYTES)
    const isAll = output.length === this.held.output.length
    const files: string[] = []
    const add = (name: string, offset: number, content: string) => {
      if (content !== '') files.push(`"${name}":{"offset":${offset},"content":[${content}]}`)
    }
    if (!isKnown) add('wandb-history.jsonl', state.lines.history, encoded.history)
    add('wandb-events.jsonl', state.lines.events, encoded.events)
    add('output.log', state.lines.output, output.map((line) => `"${escaped(line)}"`).join(','))
    const bytes = files.reduce((sum, file) => sum + file.length, 0)
    const text = draft.line ?? this.#unsentSummary
    const line = text === undefined ? '' : `"${escaped(text)}"`
    const hasSummary = bytes + line.length <= MAX_REQUEST_BYTES || files.length === 0
    if (hasSummary) add('wandb-summary.json', 0, line)
    // Rows would come again if only they were taken: what has no room beside them goes with a later request.
    const isLast = (isAll && hasSummary) || going.batch !== undefined
    const exitCode = isLast ? going.exitCode : undefined
    if (files.length > 0 || going.exitCode !== undefined) {
      const { lastStep, held, axes } = encoded
      this.#next = { lastStep, held, axes }
      const answer = await stream.send(
        api,
        remote,
        { files, ...(exitCode !== undefined && { exitCode }) },
        signal,
      )
      this.#next = undefined
      if ('refusal' in answer) return this.#refused(answer, signal)
      if (answer.data.isStopRequested) this.#parts.onStopRequested()
      this.#took(encoded, output.length, exitCode)
      draft.commit()
      this.#unsentSummary = hasSummary ? undefined : text
      this.#state = { ...this.#state, summary: summary.state }
      if (!isLast) return this.#send((from) => this.#encoder.flush(from), going, signal)
      return accepted(this.#state, encoded.superseded, answer.restMs)
    }
    this.#took(encoded, 0, undefined)
    draft.commit()
    this.#state = { ...this.#state, summary: summary.state }
    return accepted(this.#state, encoded.superseded, undefined)
  }

  /**
   * The lines to send: those given, or others that the server has already in their place.
   * `isKnown`: the server has all of these lines of the history, and shows none of them.
   */
  #checked(
    encode: Encode,
    { exitCode }: Going,
  ): { readonly encoded: Encoded; readonly isKnown: boolean } | Refusal {
    const tail = this.#tail
    const first = this.#state.lines.history
    const given = encode(this.#from)
    if (tail === undefined || first >= tail.count) return { encoded: given, isKnown: false }
    const isTooFew = ({ historyLines }: Encoded) =>
      exitCode !== undefined && first + historyLines < tail.count
    const verdict = tail.compare(first, given.history)
    if (verdict !== 'same' && this.held.entries.length > 0) {
      const other = encode({ ...this.#from, held: this.#asTheyCame(tail) })
      if (tail.compare(first, other.history) === 'same' && !isTooFew(other)) {
        return { encoded: other, isKnown: false }
      }
    }
    const last = first + given.historyLines
    if (typeof verdict === 'object')
      return otherWriter(`W&B has ${verdict.differs}, as line ${first} or behind`)
    // with something held it would be a guess which of our lines they are
    const isUnclear = verdict === 'unknown' && (last >= tail.count || this.#isUnsure)
    if (isUnclear || isTooFew(given)) {
      return otherWriter(`W&B has ${tail.count} lines of the run, and ${last} are ours`)
    }
    return { encoded: given, isKnown: verdict === 'unknown' }
  }

  /** What is held, as much of it sealed as stands in lines of its own there: the first of them, at once or in turns. */
  #asTheyCame(tail: Tail): readonly HeldEntries[] {
    const { entries } = this.held
    const first = this.#state.lines.history
    let found = entries.filter(({ isSealed }) => isSealed)
    let waiting = entries.filter(({ isSealed }) => !isSealed)
    for (let count = waiting.length; count > 0; count--) {
      const more = seal({ entries: waiting.slice(0, count), output: [] }).entries
      const from = { ...this.#from, held: [...found, ...more] }
      const { history, historyLines } = this.#encoder.flush(from)
      const areThere = first + historyLines <= tail.count && tail.compare(first, history) === 'same'
      if (!areThere) continue
      found = [...found, ...more]
      waiting = waiting.slice(count)
      count = waiting.length + 1
    }
    return together([...found, ...waiting])
  }

  #took(encoded: Encoded, output: number, exitCode: number | undefined): void {
    const { lines, renumbered } = this.#state
    const { output: lineHeld } = this.held
    this.#state = {
      ...this.#state,
      lines: {
        history: lines.history + encoded.historyLines,
        events: lines.events + encoded.eventLines,
        output: lines.output + output,
      },
      lastStep: encoded.lastStep,
      renumbered: renumbered + encoded.renumbered,
      ...(encoded.axes && { axes: encoded.axes }),
      ...(exitCode !== undefined && { exitCode }),
    }
    this.hold({ entries: encoded.held, output: lineHeld.slice(output) })
    if (this.#tail !== undefined && this.#state.lines.history >= this.#tail.count) this.#tail = undefined
    if (encoded.renumbered > 0) this.#parts.onRenumbered(this.#state.renumbered)
  }

  /**
   * 400 and 422 may be about a line, or about whatever a gateway dislikes: only where the server takes a sign of
   * life it is a line, which then costs itself.
   */
  async #refused(
    { refusal, code }: Extract<Answered<Streamed>, { refusal: Refusal }>,
    signal: AbortSignal,
  ): Promise<Refusal> {
    if (refusal.status !== 'split' || code === 413) return refusal
    const { stream, api, remote } = this.#parts
    const alive = await stream.send(api, remote, {}, signal)
    if (!('refusal' in alive)) return refusal
    return ofRun(alive.refusal)
  }

  #answered(answer: Answered<Streamed>): WriteResult {
    if ('refusal' in answer) return ofRun(answer.refusal)
    if (answer.data.isStopRequested) this.#parts.onStopRequested()
    return accepted(this.#state, 0, answer.restMs)
  }
}

function accepted(state: WandbState, superseded: number, restMs: number | undefined): WriteResult {
  return {
    status: 'accepted',
    state: state as unknown as Readonly<Record<string, unknown>>,
    ...(superseded > 0 && { superseded }),
    ...(restMs !== undefined && { restMs }),
  }
}

/** As many of the first as fit, but one at least. */
function take(lines: readonly string[], maxBytes: number): readonly string[] {
  let bytes = 0
  let count = 0
  for (const line of lines) {
    bytes += Buffer.byteLength(line)
    if (bytes > maxBytes && count > 0) break
    count++
  }
  return lines.slice(0, count)
}
