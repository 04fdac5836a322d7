/**
 * The W&B sink: rows of one run as lines of its stream, everything else of it as updates of the run, or as values and
 * lines that go with the next request.
 *
 * - One request in flight per run, with explicit line offsets: sending again is harmless.
 * - The pace is the SDK's: a request in 15 s unless a batch is full. Less is the user's choice (`intervalMs`).
 * - Records that stand at a step are held until the row of that step comes: see encode.ts.
 */
import { TraceletError } from '../../core/errors.ts'
import type {
  Batch,
  OpenResult,
  RunRecord,
  Sink,
  SinkContext,
  SinkState,
  Upload,
  WriteResult,
} from '../../core/types.ts'
import { type Companion, defineSink } from '../contract.ts'
import { Notices } from '../notices.ts'
import { writeAlert } from './alerts.ts'
import { ofRun } from './api.ts'
import { RunConfig } from './config.ts'
import { outputLines } from './console.ts'
import { CONNECTIONS, Door } from './door.ts'
import { pointBytes, ROW_BYTES } from './encode.ts'
import { type EntryRecord, entryOf } from './entries.ts'
import { holdOutput, isEmpty, isTooMuch, NOTHING_HELD, seal } from './held.ts'
import { runUrlOf } from './hosts.ts'
import { type OpenedRun, openRun, stateOf } from './open-run.ts'
import {
  accountOf,
  addressOf,
  type PreparedOptions,
  prepareOptions,
  WANDB_OPTIONS,
  type WandbOptions,
} from './options.ts'
import { probeWandb } from './probe.ts'
import { type RecordParts, UPSERT_BUCKET, upsertVariables, writeConfigRecord } from './records.ts'
import { tellNoAxis, tellRenumbered } from './remarks.ts'
import { MAX_REQUEST_BYTES, RunSender } from './sender.ts'
import { EXIT_CODES, type HeldState } from './state.ts'
import { RunStream } from './stream.ts'
import { Summary } from './summary.ts'
import { UPLOAD_KINDS, UPLOADS_IN_FLIGHT, Uploader } from './uploads/upload.ts'

/** Beside the rows of a request: what is held, console lines, the summary. */
const ASIDE_BYTES = 512 * 1024
/** A server takes a run for crashed that is silent for long; the SDK lets it hear something every 30 s. */
const HEARTBEAT_MS = 29_000
const MAX_BEAT_MS = 15_000
const MIN_BEAT_MS = 1_000

export const wandb = defineSink({
  kind: 'wandb',
  title: 'Weights & Biases',
  options: WANDB_OPTIONS,
  limits: {
    maxItems: 10_000,
    maxBytes: MAX_REQUEST_BYTES - ASIDE_BYTES,
    pointBytes,
    rowBytes: ROW_BYTES,
    inFlight: 1,
    accountInFlight: CONNECTIONS,
    accountPerSecond: 80,
    lingerMs: 15_000,
    beatMs: MAX_BEAT_MS,
    uploadsInFlight: UPLOADS_IN_FLIGHT,
  },
  capabilities: {
    shape: 'rows',
    rewrite: 'offset',
    records: ['params', 'tags', 'state', 'notes', 'metric', 'text', 'histogram', 'console', 'alert'],
    uploads: UPLOAD_KINDS,
    mentions: ['images', 'table', 'figure'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'mapped', precision: 'double' },
    maxNameLength: 4096,
  },
  prepare: prepareOptions,
  address: addressOf,
  account: accountOf,
  tune: ({ intervalMs }) => ({
    lingerMs: intervalMs,
    beatMs: Math.min(MAX_BEAT_MS, Math.max(MIN_BEAT_MS, intervalMs)),
  }),
  mode: (options) => prepareOptions(options).mode,
  companion: companionOf,
  probe: probeWandb,
  create: (context): Sink => new WandbSink(context),
})

/** Offline, the run is written as the SDK leaves it, too: the same run, so that either way sends it. */
function companionOf(given: WandbOptions): Companion | undefined {
  const { mode, entity, project, defaultProject, runId, ...prepared } = prepareOptions(given)
  if (mode !== 'offline') return undefined
  const { group, jobType, displayName, notes, tags } = prepared
  const options = { entity, project, defaultProject, runId, group, jobType, displayName, notes, tags }
  return { kind: 'wandb-offline', options }
}

class WandbSink implements Sink {
  readonly #context: SinkContext<WandbOptions>
  readonly #options: PreparedOptions
  readonly #notices: Notices
  #door: Door | undefined
  #opened: Opened | undefined
  #uploader: Uploader | undefined

  constructor(context: SinkContext<WandbOptions>) {
    this.#context = context
    this.#options = prepareOptions(context.options)
    this.#notices = new Notices(context.notice)
  }

  async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    const door = this.#connect()
    if (!(door instanceof Door)) return door
    await this.#forget()
    const { run } = this.#context
    const config = new RunConfig(run)
    const parts = { api: door.api, run, options: this.#options, config }
    const known = stateOf(state)
    // Taken before the server is asked: meanwhile the sink of the rows may close the run, and itself.
    const stream = known && RunStream.of(door.api, known)
    try {
      const opened = await openRun(parts, known, signal)
      if ('status' in opened) return opened
      this.#opened = this.#prepare(door, opened, config)
      return {
        status: 'ready',
        state: opened.state as unknown as NonNullable<SinkState>,
        url: runUrlOf(this.#options, opened.remote),
      }
    } finally {
      stream?.release()
    }
  }

  prepare(batch: Batch): void {
    this.#run().sender.prepare(batch)
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    return this.#run().sender.rows(batch, signal)
  }

  async beat(signal: AbortSignal): Promise<WriteResult> {
    const { sender, stream } = this.#run()
    if (!isEmpty(sender.held) && !sender.isBehind) {
      sender.hold(seal(sender.held))
      return ofRun(await sender.flush({}, signal))
    }
    const isDue = stream.exitCode === undefined && stream.silentMs >= HEARTBEAT_MS
    return isDue ? sender.heartbeat(signal) : { status: 'accepted' }
  }

  async writeRecord(record: RunRecord, _seq: number, signal: AbortSignal): Promise<WriteResult> {
    switch (record.kind) {
      case 'params':
      case 'tags':
      case 'notes':
        return writeConfigRecord(this.#run().config, record, signal)
      case 'metric':
        return this.#writeMetric(record, signal)
      case 'text':
      case 'histogram':
      case 'images':
      case 'table':
      case 'figure':
        return this.#writeEntry(record, signal)
      case 'console':
        return this.#writeOutput(record, signal)
      case 'alert':
        return writeAlert(this.#run().config, record, signal)
      case 'state':
        return this.#writeState(record, signal)
      default:
        throw new Error(`W&B's sink declares no ${record.kind}`)
    }
  }

  async upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    this.#uploader ??= this.#newUploader()
    return this.#uploader.upload(upload, signal)
  }

  async close(): Promise<void> {
    await this.#forget()
    const door = this.#door
    this.#door = undefined
    await door?.close()
  }

  #connect(): Door | Extract<WriteResult, { status: 'blocked' }> {
    try {
      const door = this.#door ?? Door.open(this.#options)
      if (!(door instanceof Door)) return blockedAccount('ERR_AUTH', door.missing)
      this.#door = door
      return door
    } catch (error) {
      // files of certificates
      if (!(error instanceof TraceletError)) throw error
      return blockedAccount(error.code, error.message)
    }
  }

  #prepare({ api }: Door, opened: OpenedRun, config: RunConfig): Opened {
    const { remote, state, tail } = opened
    const stream = RunStream.of(api, remote)
    stream.restore(state.exitCode)
    const sender = new RunSender({
      api,
      remote,
      stream,
      state,
      tail,
      summary: new Summary(state.summary, opened.summary, config),
      createdAt: Math.floor(this.#context.run.createdAt),
      onStopRequested: () => this.#context.stopRequested?.(),
      onRenumbered: () => tellRenumbered(this.#notices),
    })
    const tags = new Set(opened.tags)
    return { sender, stream, config: { api, remote, config, tags, notices: this.#notices } }
  }

  #run(): Opened {
    if (this.#opened === undefined) throw new Error('the sink is not open')
    return this.#opened
  }

  #newUploader(): Uploader {
    const { stream, config } = this.#run()
    const { api, remote, notices } = config
    return new Uploader({
      ...{ api, remote, notices, run: this.#context.run, openStore: this.#door!.openStore },
      tellUploaded: (uploaded, signal) => stream.send(api, remote, { uploaded }, signal),
    })
  }

  async #forget(): Promise<void> {
    this.#opened?.stream.release()
    this.#opened = undefined
    const uploader = this.#uploader
    this.#uploader = undefined
    await uploader?.close()
  }

  // ── records ──────────────────────────────────────────────────────────────────────────────────────

  /** What it says of lines holds for those behind it, whatever the server knew already. */
  async #writeMetric(
    record: Extract<RunRecord, { kind: 'metric' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { sender, config } = this.#run()
    const answer = await writeConfigRecord(config, record, signal)
    if (answer.status !== 'accepted') return answer
    if (!sender.define(record)) tellNoAxis(this.#notices, record.name)
    return { ...answer, ...accepted(sender) }
  }

  async #writeEntry(record: EntryRecord, signal: AbortSignal): Promise<WriteResult> {
    let entries: Awaited<ReturnType<typeof entryOf>>
    try {
      entries = await entryOf(record, this.#context.run, this.#notices.tell)
    } catch (error) {
      // of a disk, and may pass
      return { status: 'retry', code: 'ERR_BLOB', reason: (error as Error).message, unsent: true }
    }
    if ('refused' in entries) return { status: 'partial', rejected: [entries.refused] }
    const values = entries
    const { step, time } = record
    return this.#hold((held) => this.#run().sender.withEntries(held, { step, time, values }), signal)
  }

  async #writeOutput(
    record: Extract<RunRecord, { kind: 'console' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const lines = outputLines(record, await this.#run().config.api.offers('STRUCTURED_CONSOLE_LOGS', signal))
    return this.#hold((held) => holdOutput(held, lines), signal)
  }

  /** What is too much for the cursor goes at once; what was held before goes first, so that it is not blamed for it. */
  async #hold(add: (held: HeldState) => HeldState, signal: AbortSignal): Promise<WriteResult> {
    const { sender } = this.#run()
    let before = sender.state
    const all = add(sender.held)
    if (!isTooMuch(all)) {
      sender.hold(all)
      return accepted(sender)
    }
    let answer: WriteResult = { status: 'accepted' }
    if (!isEmpty(sender.held)) answer = ofRun(await sender.flush({}, signal))
    if (answer.status === 'accepted') {
      before = sender.state
      sender.hold(add(NOTHING_HELD))
      if (!isTooMuch(sender.held)) return accepted(sender)
      answer = await sender.flush({}, signal)
    }
    // it comes again, and must find what it found
    if (answer.status !== 'accepted') sender.restore(before)
    return answer
  }

  async #writeState(
    { state }: Extract<RunRecord, { kind: 'state' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { sender, config } = this.#run()
    if (state === 'running') {
      if (sender.state.exitCode === undefined) return { status: 'accepted' }
      // as the SDK resumes: an update that names the run
      const variables = upsertVariables({ id: config.remote.storageId, config: config.config.text() })
      const answer = await config.api.graphql('UpsertBucket', UPSERT_BUCKET, variables, signal)
      if ('refusal' in answer) return ofRun(answer.refusal)
      sender.reopened()
      return accepted(sender)
    }
    const before = sender.state
    const answer = ofRun(await sender.flush({ exitCode: EXIT_CODES[state] }, signal))
    if (answer.status !== 'accepted') sender.restore(before)
    return answer
  }
}

interface Opened {
  readonly sender: RunSender
  readonly stream: RunStream
  readonly config: RecordParts
}

function accepted(sender: RunSender): WriteResult {
  return { status: 'accepted', state: sender.state as unknown as NonNullable<SinkState> }
}

function blockedAccount(code: string, reason: string): Extract<WriteResult, { status: 'blocked' }> {
  return { status: 'blocked', scope: 'account', code, reason }
}
