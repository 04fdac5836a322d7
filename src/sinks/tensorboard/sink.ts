/** TensorBoard: a run is one event file, by default in the run's own folder, which `tensorboard --logdir` finds. */
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
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
import { MAX_TEXT_BYTES, type ReadContent, readContent } from './content.ts'
import { fileVersionRecord, maxPointBytes, ScalarEncoder } from './encode.ts'
import { encodeRecord, RECORD_KINDS } from './encode-record.ts'
import { type EventFile, type EventFilePlan, openEventFile, type SettledFile } from './event-file.ts'
import { BlobError } from './run-blobs.ts'
import { MAX_COLUMNS, MAX_ROWS } from './table.ts'
import { type SharedTags, TagBook } from './tag.ts'

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
    records: RECORD_KINDS,
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'float32' },
    maxNameLength: 65_535,
  },
  prepare: ({ logDir }) => ({ logDir: logDir === undefined ? undefined : resolve(logDir) }),
  // Relative to the run's folder where that holds the file: a copied folder must find its cursor again.
  address: ({ logDir }) => (logDir === undefined ? 'run-folder' : `file:${logDir}`),
  account: ({ logDir }) => (logDir === undefined ? 'run-folder' : `file:${logDir}`),
  create: ({ run, options, notice }) => new TensorBoardSink(run, options.logDir, notice),
})

/** Kept in the cursor. The name alone, so that the folder may move. */
interface State {
  readonly file: string
  readonly bytes: number
  /** Whether the run has its row in the HParams table. */
  readonly hparams: boolean
  /** Tags of which two kinds of the run claim one. */
  readonly shared?: SharedTags
}

class TensorBoardSink implements Sink {
  readonly #run: RunInfo
  readonly #plan: EventFilePlan
  readonly #notice: (code: string, message: string) => void
  #tags = new TagBook()
  #encoder = new ScalarEncoder(this.#tags)
  #file: EventFile | undefined
  #hparams = false
  readonly #said = new Set<string>()
  /** The operation under way; one that was given up by its signal must still end before the next begins. */
  #busy: Promise<unknown> = Promise.resolve()

  constructor(run: RunInfo, logDir: string | undefined, notice: (code: string, message: string) => void) {
    this.#run = run
    this.#plan = planOf(run, logDir)
    this.#notice = notice
  }

  open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    return this.#perform(signal, async () => {
      await this.#release()
      const known = readState(state)
      const { file, lostBytes } = await openEventFile(this.#plan, known)
      this.#file = file
      this.#hparams = known?.hparams ?? false
      this.#tags = new TagBook(known?.shared, (tag) => this.#sayShared(tag))
      this.#encoder = new ScalarEncoder(this.#tags)
      this.#sayLost(lostBytes)
      return { status: 'ready', state: this.#state(), url: this.#plan.directory }
    })
  }

  write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    return this.#perform(signal, async (claim) => {
      const buffer = borrow(this.#encoder.bound(batch))
      try {
        const bytes = this.#encoder.encode(batch, buffer)
        this.#sayOverflow()
        const file = this.#opened()
        this.#sayLost(await file.write(buffer.subarray(0, bytes)))
        return this.#accept(bytes, claim)
      } finally {
        giveBack(buffer)
      }
    })
  }

  writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    return this.#perform(signal, async (claim) => {
      const read = await this.#read(record)
      if ('status' in read) return read
      const startedSeconds = this.#run.createdAt / 1000
      const firstParams = !this.#hparams
      const place = { seq, startedSeconds, firstParams, tags: this.#tags }
      const payload = encodeRecord(record, read.content, place)
      if (payload.length === 0) return this.#accept(0, claim, read.rejected)
      this.#sayMapped(record, read, firstParams)
      const { lostBytes, bytes } = await this.#opened().writeEvent(payload)
      this.#sayLost(lostBytes)
      if (record.kind === 'params') {
        return this.#accept(bytes, () => claim() && (this.#hparams = true))
      }
      return this.#accept(bytes, claim, read.rejected)
    })
  }

  async close(): Promise<void> {
    await this.#busy
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
  async #read(record: RunRecord): Promise<ReadContent | Extract<WriteResult, { status: 'split' }>> {
    try {
      return await readContent(record, this.#run.folder)
    } catch (error) {
      if (error instanceof BlobError) return { status: 'split', code: 'ERR_BLOB', reason: error.message }
      throw error
    }
  }

  /**
   * Runs one operation after the one before it has ended. When `signal` fires first the answer is given at once;
   * the operation learns by `claim` that nobody waits for it any more, and settles nothing.
   */
  #perform<Result>(
    signal: AbortSignal,
    operation: (claim: Claim) => Promise<Result>,
  ): Promise<Result | Refusal> {
    const before = this.#busy
    return new Promise((resolve, reject) => {
      let isGivenUp = signal.aborted
      const giveUp = () => {
        isGivenUp = true
        resolve(GIVEN_UP)
      }
      const claim = () => {
        signal.removeEventListener('abort', giveUp)
        return !isGivenUp
      }
      if (isGivenUp) resolve(GIVEN_UP)
      else signal.addEventListener('abort', giveUp, { once: true })
      this.#busy = before
        .then(async (): Promise<Result | Refusal> => (isGivenUp ? GIVEN_UP : operation(claim)))
        .catch((error) => refusalOf(error))
        .then(resolve, reject)
        .finally(claim)
    })
  }

  async #release(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  #state(): State & Record<string, unknown> {
    const { shared } = this.#tags
    const { name, bytes } = this.#opened()
    return { file: name, bytes, hparams: this.#hparams, ...(shared.length > 0 && { shared }) }
  }

  #sayLost(lostBytes: number): void {
    if (lostBytes === 0) return
    this.#notice(
      'ERR_SERVER',
      `${this.#file!.name} had lost ${lostBytes} bytes that were written to it, probably by a power failure; ` +
        'those points are missing in TensorBoard, the journal has them',
    )
  }

  #sayMapped(record: RunRecord, { content }: ReadContent, firstParams: boolean): void {
    if (record.kind === 'params' && !firstParams) {
      this.#sayOnce(
        "TensorBoard's HParams table shows a run's first parameters; later ones stand in its Text tab only",
      )
    }
    if (record.kind === 'images' && record.images.some(({ caption }) => caption !== undefined)) {
      this.#sayOnce('TensorBoard shows images without their captions')
    }
    if (record.kind === 'figure' && content.kind !== 'images') {
      this.#sayOnce('TensorBoard draws no Plotly figures; its Text tab says where in the run they lie')
    }
    if (content.kind === 'text' && content.isCut) {
      this.#sayOnce(`TensorBoard is given the first ${MAX_TEXT_BYTES / 1024} KiB of a text`)
    }
    if (record.kind === 'table' && (record.rows > MAX_ROWS || record.columns > MAX_COLUMNS)) {
      this.#sayOnce(`TensorBoard is given the first ${MAX_ROWS} rows and ${MAX_COLUMNS} columns of a table`)
    }
  }

  #sayOverflow(): void {
    if (!this.#encoder.overflowed) return
    this.#sayOnce('finite values beyond float32 (±3.4e38) are ±Infinity in TensorBoard')
  }

  #sayShared(tag: string): void {
    const plain = tag.slice(0, tag.lastIndexOf(' [%'))
    this.#sayOnce(
      `TensorBoard shows a name on one dashboard only: '${plain}' was logged as two kinds, of which the later ` +
        `one stands under '${tag}'`,
    )
  }

  #sayOnce(message: string): void {
    if (this.#said.has(message)) return
    this.#said.add(message)
    this.#notice('ERR_MAPPED', message)
  }
}

/** Ends the possibility of giving an operation up; false when that has happened already. */
type Claim = () => boolean
type Refusal = Extract<WriteResult, { status: 'retry' | 'blocked' }>
const GIVEN_UP: Refusal = { status: 'retry', reason: 'given up before the file system answered' }

/** These need somebody to act; anything else (no space, an I/O error, too many open files) may pass by itself. */
const DENIED = new Set(['EACCES', 'EPERM', 'EROFS', 'ELOOP', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'EINVAL'])

/** @throws what no file system says: a bug of ours */
function refusalOf(error: unknown): Refusal {
  if (error instanceof TraceletError) {
    return { status: 'blocked', scope: 'run', code: error.code, reason: error.message }
  }
  // Changed between its check and the writing; the next check will tell.
  if (error instanceof BlobError) return { status: 'retry', reason: error.message }
  const { code, message } = error as NodeJS.ErrnoException
  if (code === undefined) throw error
  if (!DENIED.has(code)) return { status: 'retry', reason: message }
  return { status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason: message }
}

function readState(state: SinkState): (SettledFile & Pick<State, 'hparams' | 'shared'>) | undefined {
  if (typeof state?.file !== 'string' || typeof state.bytes !== 'number') return undefined
  return {
    name: basename(state.file),
    bytes: state.bytes,
    hparams: state.hparams === true,
    ...(Array.isArray(state.shared) && { shared: state.shared as SharedTags }),
  }
}

/** `events.out.tfevents.<seconds>.<host>.tracelet.<run id>`: readers look for "tfevents" and sort by the seconds. */
function planOf(run: RunInfo, logDir: string | undefined): EventFilePlan {
  const seconds = String(Math.floor(run.createdAt / 1000)).padStart(10, '0')
  const suffix = `.tracelet.${fileNamePart(run.id, 80)}`
  return {
    directory: logDir === undefined ? run.folder : join(logDir, basename(run.folder)),
    name: `events.out.tfevents.${seconds}.${fileNamePart(hostname(), 64)}${suffix}`,
    suffix,
    tieBreak: `.${fileNamePart(run.nonce, 16)}`,
    header: fileVersionRecord(run.createdAt / 1000, `tracelet ${run.nonce}`),
    // A log directory of the user's own may be read by others, as its umask says.
    mode: logDir === undefined ? 0o600 : 0o666,
    directoryMode: logDir === undefined ? 0o700 : 0o777,
  }
}

/** The text if every file system takes it in a name, else what it takes of it and a digest. */
function fileNamePart(text: string, maxLength: number): string {
  const plain = text.replace(/[^A-Za-z0-9._-]|\.$/g, '_')
  if (plain === text && text.length <= maxLength) return text
  return `${plain.slice(0, maxLength - 9)}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`
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
