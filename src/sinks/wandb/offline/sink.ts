/**
 * A run as a file of W&B's own format, which the official `wandb sync` sends and `wandb leet` shows: what an offline
 * run of the SDK leaves, written row by row. Rows are those of the sink that sends, value for value.
 *
 * Nothing is synced to the disk here: what is written is safe from the death of the process, and the journal has it.
 */
import { join } from 'node:path'
import type {
  Batch,
  OpenResult,
  RunInfo,
  RunRecord,
  Sink,
  SinkContext,
  SinkState,
  WriteResult,
} from '../../../core/types.ts'
import { defineSink } from '../../contract.ts'
import { type Claim, FileCalls, GIVEN_UP } from '../../file-calls.ts'
import { Notices } from '../../notices.ts'
import { pointBytes, ROW_BYTES } from '../encode.ts'
import { tellRenumbered } from '../remarks.ts'
import { KnownDigests } from './artifacts.ts'
import { type Change, type ChangeParts, changeOf, RECORD_KINDS } from './changes.ts'
import { directoryName, type LogPlace } from './directory.ts'
import type { LogFile } from './log-file.ts'
import { beginRun, goOn, inUnsent, type OpenRun } from './open-log.ts'
import {
  addressOfOffline,
  forRun,
  OFFLINE_OPTIONS,
  type OfflineOptions,
  prepareOffline,
  runIdOf,
} from './options.ts'
import { probeOffline } from './probe.ts'
import { readState } from './state.ts'

export const wandbOffline = defineSink({
  kind: 'wandb-offline',
  title: 'Weights & Biases files',
  options: OFFLINE_OPTIONS,
  limits: {
    maxItems: 10_000,
    // as what is sent at once: `wandb sync` leaves out rows of more than 10,383,360 bytes
    maxBytes: 7.5 * 1024 * 1024,
    pointBytes,
    rowBytes: ROW_BYTES,
    // One file, one writer: the settled length is a single number.
    inFlight: 1,
    // only keeps slow runs from many tiny appends
    lingerMs: 2,
    freshMs: 20,
  },
  capabilities: {
    shape: 'rows',
    rewrite: 'append',
    records: RECORD_KINDS,
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'mapped', precision: 'double' },
    maxNameLength: 4096,
  },
  prepare: prepareOffline,
  address: addressOfOffline,
  account: (options) => `file:${prepareOffline(options).dir}`,
  exports: {
    format: 'wandb',
    folderOption: 'dir',
    command: 'wandb sync',
    folderOf(options, run) {
      const place = placeIn(options, run)
      return join(place.root, directoryName(place))
    },
  },
  probe: probeOffline,
  create: (context): Sink => new WandbOfflineSink(context),
})

class WandbOfflineSink implements Sink {
  readonly #parts: ChangeParts
  readonly #notices: Notices
  readonly #notice: SinkContext<unknown>['notice']
  readonly #calls = new FileCalls()
  #opened: OpenRun | undefined
  /** Since it was opened nobody has sent the file. */
  #isUnsent = false

  constructor({ run, options, notice }: SinkContext<OfflineOptions>) {
    this.#notice = notice
    this.#notices = new Notices(notice)
    this.#parts = {
      run,
      options: forRun(options),
      place: placeIn(options, run),
      notices: this.#notices,
      digests: new KnownDigests(),
    }
  }

  open(saved: SinkState, signal: AbortSignal): Promise<OpenResult> {
    return this.#calls.perform(signal, async () => {
      await this.#release()
      const known = readState(saved)
      this.#opened =
        known === undefined ? await beginRun(this.#parts) : await goOn(this.#parts, known, this.#lost)
      this.#isUnsent = known === undefined
      return { status: 'ready', state: this.#state(), url: this.#opened.directory }
    })
  }

  write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    return this.#calls.perform(signal, async (claim) => {
      const { writer } = await this.#ready()
      const draft = await writer.rows(batch)
      return this.#settle({ draft }, claim, draft.superseded)
    })
  }

  writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    return this.#calls.perform(signal, async (claim) => {
      const opened = await this.#ready()
      return this.#settle(await changeOf(record, seq, opened, this.#parts), claim)
    })
  }

  async close(): Promise<void> {
    await this.#calls.ended()
    await this.#release()
  }

  /** The run, in a directory that will be sent. */
  async #ready(): Promise<OpenRun> {
    const opened = this.#run()
    if (this.#isUnsent && opened.writer.state.exit === undefined) return opened
    const next = await inUnsent(this.#parts, opened)
    this.#isUnsent = true
    if (next === opened) return opened
    this.#opened = next
    this.#notices.tell(
      'synced',
      `${opened.directory} was sent by \`wandb sync\`: the run goes on in ${next.directory}`,
    )
    return next
  }

  #settle({ draft, rejected = [], keep, undo }: Change, claim: Claim, superseded = 0): WriteResult {
    if (!claim()) {
      undo?.()
      return GIVEN_UP
    }
    const { writer } = this.#run()
    if (draft !== undefined) {
      this.#lost(writer.file, draft.written.lostBytes)
      draft.settle()
      keep?.()
    }
    if (writer.state.renumbered > 0) tellRenumbered(this.#notices)
    const state = this.#state()
    if (rejected.length > 0) return { status: 'partial', rejected, state }
    return { status: 'accepted', state, ...(superseded > 0 && { superseded }) }
  }

  readonly #lost = (file: LogFile, bytes: number): void => {
    if (bytes === 0) return
    this.#notice(
      'ERR_SERVER',
      `${file.path} had lost ${bytes} bytes that were written to it, probably by a power failure; ` +
        'what they held is missing there, the journal has it',
    )
  }

  async #release(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    await opened?.writer.file.close()
  }

  #run(): OpenRun {
    if (this.#opened === undefined) throw new Error('written to before open() was ready')
    return this.#opened
  }

  #state(): NonNullable<SinkState> {
    return this.#run().writer.state as unknown as NonNullable<SinkState>
  }
}

function placeIn(options: OfflineOptions, run: RunInfo): LogPlace {
  const { dir } = prepareOffline(options)
  return {
    root: join(dir, 'wandb'),
    id: runIdOf(forRun(options), run),
    createdMs: Math.floor(run.createdAt),
  }
}
