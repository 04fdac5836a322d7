/**
 * One opened run: rows and records in, bytes of its file out, and what the cursor must know then. Nothing changes before
 * `settle`: a write that fails leaves the state as it was.
 *
 * A summary goes with the rows when it takes a fifth of the file at most, and at the end: `wandb sync` makes none.
 */
import type { Batch, RunInfo, RunRecord } from '../../../core/types.ts'
import { withDefinition } from '../axes.ts'
import type { RunConfig } from '../config.ts'
import { type Encoded, type EncodeFrom, RowEncoder } from '../encode.ts'
import { holdEntries, isTooMuch, together } from '../held.ts'
import type { HeldEntries } from '../state.ts'
import { Summary, type SummaryDraft } from '../summary.ts'
import { ItemEncoder } from './items.ts'
import type { LogFile, Written } from './log-file.ts'
import { exitMessage, numbered } from './messages.ts'
import type { ExitState, OfflineState } from './state.ts'

/** Rows may take so many times the bytes of a summary before the next one. */
const SUMMARY_SHARE = 4

/** Bytes that are written, and what holds once they count. */
export interface Draft {
  readonly written: Written
  settle(): void
}

type Changes = Partial<Omit<OfflineState, 'exit'>> & { readonly exit?: ExitState | undefined }

export class OfflineWriter {
  readonly file: LogFile
  readonly #run: RunInfo
  readonly #encoder: RowEncoder
  readonly #items = new ItemEncoder()
  readonly #summary: Summary
  #state: OfflineState

  constructor(run: RunInfo, file: LogFile, config: RunConfig, state: OfflineState) {
    this.#run = run
    this.file = file
    this.#encoder = new RowEncoder(run.createdAt)
    this.#summary = new Summary(state.summary, undefined, config)
    this.#state = state
  }

  get state(): OfflineState {
    return this.#state
  }

  async rows(batch: Batch): Promise<Draft & { readonly superseded: number }> {
    const encoded = this.#encoder.encode(batch, this.#from)
    return { ...(await this.#write(encoded, [], batch)), superseded: encoded.superseded }
  }

  /** Values of a step: held until its row comes, or in a line of their own where that is too much. */
  async entries(
    step: number,
    time: number,
    values: HeldEntries['values'],
    beside: readonly Uint8Array[],
  ): Promise<Draft> {
    const add = (to: readonly HeldEntries[]) => holdEntries({ entries: to, output: [] }, step, time, values)
    const held = this.#state.held ?? []
    let next = add(held)
    if (!isTooMuch(next)) return this.#write(undefined, beside, undefined, next.entries)
    const flushed = held.length === 0 ? undefined : this.#encoder.flush(this.#from)
    next = add([])
    if (!isTooMuch(next)) return this.#write(flushed, beside, undefined, next.entries)
    const from = { ...this.#from, held: [...this.#from.held, ...next.entries] }
    return this.#write(this.#encoder.flush(from), beside)
  }

  /**
   * Contents of records.
   * @param changes of the state; with an `exit` that is undefined the run goes on
   */
  async add(contents: readonly Uint8Array[], changes: Changes = {}): Promise<Draft> {
    return this.#write(undefined, contents, undefined, undefined, changes)
  }

  /** All that is held, the summary, an Exit. */
  async end(exit: ExitState): Promise<Draft> {
    return this.#write(this.#encoder.flush(this.#from), [], undefined, undefined, { exit })
  }

  /** @returns the axes with it; undefined where there is no room */
  axesWith(record: Extract<RunRecord, { kind: 'metric' }>): OfflineState['axes'] {
    return withDefinition(this.#state.axes, record)
  }

  get #from(): EncodeFrom {
    const { lastStep, held = [], axes } = this.#state
    return { lastStep, held: together(held), axes }
  }

  async #write(
    encoded: Encoded | undefined,
    contents: readonly Uint8Array[],
    batch?: Batch,
    held: readonly HeldEntries[] | undefined = encoded?.held ?? this.#state.held,
    changes: Changes = {},
  ): Promise<Draft> {
    // what comes after the end says again that it is one
    const exit = 'exit' in changes ? changes.exit : this.#state.exit
    let { records: number } = this.#state
    const records: Uint8Array[] = []
    const put = (more: readonly Uint8Array[]) => {
      records.push(...more)
      number += more.length
    }
    put(contents.map((content, at) => numbered(number + at + 1, content)))
    const own = records.length
    this.#items.begin()
    if (encoded !== undefined) {
      put(this.#items.history(encoded.history, number + 1))
      put(this.#items.events(encoded.events, number + 1))
    }
    const since = this.#state.sinceSummary + bytesOf(records.slice(own))
    const isDue = exit !== undefined || since >= SUMMARY_SHARE * this.#state.summaryBytes
    const draft = this.#draft(encoded, batch, isDue)
    const summary = draft?.line === undefined ? [] : [this.#items.summary(draft.line, number + 1)]
    put(summary)
    const last = exit && numbered(number + 1, exitMessage(exit.code, exit.runtimeS))
    const written = await this.file.write(records, last)
    return {
      written,
      settle: () => {
        this.file.settle(written)
        draft?.commit()
        const { held: _, exit: __, ...rest } = this.#state
        const { exit: ___, ...other } = changes
        this.#state = {
          ...rest,
          directory: this.file.name,
          bytes: this.file.bytes,
          records: number,
          ...(encoded && this.#rowState(encoded)),
          ...(held && held.length > 0 && { held }),
          ...(draft && { summary: this.#summary.state }),
          ...(summary.length > 0
            ? { sinceSummary: 0, summaryBytes: bytesOf(summary) }
            : { sinceSummary: since }),
          ...other,
          ...(exit && { exit }),
        }
      },
    }
  }

  #rowState({ lastStep, renumbered, axes }: Encoded): Partial<OfflineState> {
    return { lastStep, renumbered: this.#state.renumbered + renumbered, ...(axes && { axes }) }
  }

  #draft(encoded: Encoded | undefined, batch: Batch | undefined, isDue: boolean): SummaryDraft | undefined {
    if (encoded === undefined) return undefined
    const timeMs = encoded.time ?? this.#run.createdAt
    return this.#summary.draft({
      ...(batch && { batch }),
      keyOf: this.#encoder.historyKey,
      entries: encoded.entries,
      step: encoded.lastStep,
      timeMs,
      runtimeS: (timeMs - this.#run.createdAt) / 1000,
      ...(!isDue && { isQuiet: true }),
    })
  }
}

function bytesOf(records: readonly Uint8Array[]): number {
  return records.reduce((sum, { length }) => sum + length, 0)
}
