/** TensorBoard: a run is one event file, by default in the run's own folder, which `tensorboard --logdir` finds. */
import { basename, resolve } from 'node:path'
import type {
  Batch,
  OpenResult,
  Rejection,
  RunInfo,
  RunRecord,
  Sink,
  SinkState,
  WriteResult,
} from '../../core/types.ts'
import { defineSink } from '../contract.ts'
import { type Claim, FileCalls, type FileRefusal, fileRefusal, GIVEN_UP } from '../file-calls.ts'
import { BlobError } from '../run-blobs.ts'
import { type ReadContent, readContent } from './content.ts'
import { maxPointBytes, ScalarEncoder } from './encode.ts'
import { encodeRecord, encodeRewind, RECORD_KINDS } from './encode-record.ts'
import { type EventFile, type EventFilePlan, openEventFile, type SettledFile } from './event-file.ts'
import { Notices } from './notices.ts'
import { planOf } from './plan.ts'
import { probeTensorBoard } from './probe.ts'
import { TagBook, type TagOwners } from './tag.ts'

export const tensorboard = defineSink({
  kind: 'tensorboard',
  title: 'TensorBoard',
  options: {
    logDir: {
      type: 'string',
      env: ['TRACELET_TENSORBOARD_LOGDIR'],
      doc: "Folder for event files, a folder in it per run. Default: each run's own folder under TRACELET_DIR.",
    },
  },
  limits: {
    maxItems: 10_000,
    maxBytes: 1 << 20,
    pointBytes: maxPointBytes,
    // One file, one writer: the settled length is a single number.
    inFlight: 1,
    // Nobody looks more often than TensorBoard polls (5 s); this only keeps slow runs from many tiny appends.
    lingerMs: 200,
  },
  capabilities: {
    shape: 'points',
    rewrite: 'append',
    rewind: 'purge',
    records: RECORD_KINDS,
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'float32' },
    maxNameLength: 65_535,
  },
  prepare: ({ logDir }) => ({ logDir: logDir === undefined ? undefined : resolve(logDir) }),
  // Relative to the run's folder where that holds the file: a copied folder must find its cursor again.
  address: ({ logDir }) => (logDir === undefined ? 'run-folder' : `file:${logDir}`),
  account: ({ logDir }) => (logDir === undefined ? 'run-folder' : `file:${logDir}`),
  inRunFolder: ({ logDir }) => logDir === undefined,
  probe: probeTensorBoard,
  exports: {
    format: 'tensorboard',
    folderOption: 'logDir',
    folderOf: ({ logDir }, run) => planOf(run, logDir).directory,
    command: 'tensorboard --logdir',
  },
  create: ({ run, options, notice }) => new TensorBoardSink(run, options.logDir, notice),
})

/** Kept in the cursor. The name alone, so that the folder may move. */
interface State {
  readonly file: string
  readonly bytes: number
  /** Whether the run has its row in the HParams table. */
  readonly hparams: boolean
  readonly owners?: TagOwners
}

class TensorBoardSink implements Sink {
  readonly #run: RunInfo
  readonly #plan: EventFilePlan
  readonly #notices: Notices
  #tags = new TagBook()
  #encoder = new ScalarEncoder(this.#tags)
  #file: EventFile | undefined
  #hparams = false
  readonly #calls = new FileCalls(refusalOf)

  constructor(run: RunInfo, logDir: string | undefined, notice: (code: string, message: string) => void) {
    this.#run = run
    this.#plan = planOf(run, logDir)
    this.#notices = new Notices(notice)
  }

  open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    return this.#calls.perform(signal, async () => {
      await this.#release()
      const known = readState(state)
      const { file, lostBytes } = await openEventFile(this.#plan, known)
      this.#file = file
      this.#hparams = known?.hparams ?? false
      this.#tags = new TagBook(known?.owners, (plain, tag) => this.#notices.shared(plain, tag))
      this.#encoder = new ScalarEncoder(this.#tags)
      this.#notices.lost(file.name, lostBytes)
      return { status: 'ready', state: this.#state(), url: this.#plan.directory }
    })
  }

  write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    return this.#calls.perform(signal, async (claim) => {
      const buffer = borrow(this.#encoder.bound(batch))
      try {
        const bytes = this.#encoder.encode(batch, buffer)
        if (this.#encoder.overflowed) this.#notices.overflow()
        const file = this.#opened()
        this.#notices.lost(file.name, await file.write(buffer.subarray(0, bytes)))
        return this.#accept(bytes, claim)
      } finally {
        giveBack(buffer)
      }
    })
  }

  writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    return this.#calls.perform(signal, async (claim) => {
      if (record.kind === 'rewind') {
        const file = this.#opened()
        const records = encodeRewind(record)
        this.#notices.lost(file.name, await file.write(records))
        return this.#accept(records.length, claim)
      }
      const read = await this.#read(record, signal)
      if ('status' in read) return read
      const startedSeconds = this.#run.createdAt / 1000
      const firstParams = !this.#hparams
      const place = { seq, startedSeconds, firstParams, tags: this.#tags }
      const payload = encodeRecord(record, read.content, place)
      if (payload.length === 0) return this.#accept(0, claim, read.rejected)
      this.#notices.mapped(record, read.content, firstParams)
      const file = this.#opened()
      const { lostBytes, bytes } = await file.writeEvent(payload, signal)
      this.#notices.lost(file.name, lostBytes)
      if (record.kind === 'params') {
        return this.#accept(bytes, () => claim() && (this.#hparams = true))
      }
      return this.#accept(bytes, claim, read.rejected)
    })
  }

  async close(): Promise<void> {
    await this.#calls.ended()
    await this.#release()
  }

  #opened(): EventFile {
    if (!this.#file) throw new Error('written to before open() was ready')
    return this.#file
  }

  #accept(bytes: number, claim: Claim, rejected: readonly Rejection[] = []): WriteResult {
    if (!claim()) return GIVEN_UP
    this.#opened().settle(bytes)
    const state = this.#state()
    return rejected.length === 0 ? { status: 'accepted', state } : { status: 'partial', rejected, state }
  }

  /** What the record's blobs hold, or the record's rejection where nothing of it is left. */
  async #read(
    record: RunRecord,
    signal: AbortSignal,
  ): Promise<ReadContent | Extract<WriteResult, { status: 'split' }>> {
    try {
      return await readContent(record, this.#run.folder, signal)
    } catch (error) {
      if (error instanceof BlobError) return { status: 'split', code: 'ERR_BLOB', reason: error.message }
      throw error
    }
  }

  async #release(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  #state(): State & Record<string, unknown> {
    const { kept: owners } = this.#tags
    const { name, bytes } = this.#opened()
    return { file: name, bytes, hparams: this.#hparams, ...(owners.length > 0 && { owners }) }
  }
}

/** @throws what no file system says: a bug of ours */
function refusalOf(error: unknown): FileRefusal {
  // Changed between its check and the writing; the next check will tell.
  if (error instanceof BlobError) return { status: 'retry', code: 'ERR_BLOB', reason: error.message }
  return fileRefusal(error)
}

function readState(state: SinkState): (SettledFile & Pick<State, 'hparams' | 'owners'>) | undefined {
  if (typeof state?.file !== 'string' || typeof state.bytes !== 'number') return undefined
  return {
    name: basename(state.file),
    bytes: state.bytes,
    hparams: state.hparams === true,
    ...(Array.isArray(state.owners) && { owners: state.owners as TagOwners }),
  }
}

/** Buffers of one thread's runs, each lent to one write: a new one per batch would cost its page faults. */
const spare: Buffer[] = []
const MAX_SPARE = 4

function borrow(bytes: number): Buffer {
  const index = spare.findIndex((buffer) => buffer.length >= bytes)
  if (index >= 0) return spare.splice(index, 1)[0]!
  return Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(Math.max(bytes, 65_536))))
}

function giveBack(buffer: Buffer): void {
  if (spare.length < MAX_SPARE) spare.push(buffer)
}
