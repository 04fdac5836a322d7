/**
 * The Aim sink: one run to an `aim server`, by its HTTP interface and one WebSocket. A repository that is a folder has such
 * a server for as long as somebody writes to it.
 *
 * - Sending again is harmless: a value stands under the hash of its step, and ours never change.
 * - Small messages, some under way at once: the server takes the square of a message's length.
 * - Nothing that a writer does makes a run visible to queries: `aim up` indexes what it finds in its repository.
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
import { defineSink } from '../contract.ts'
import type { Refusal } from '../http.ts'
import { Notices } from '../notices.ts'
import { AimConnection } from './connection.ts'
import {
  AIM_OPTIONS,
  type AimAddress,
  type AimOptions,
  accountOf,
  addressOf,
  connectionOf,
  experimentOf,
  placeOf,
  prepareOptions,
  runHashOf,
} from './options.ts'
import { PointsEncoder } from './points.ts'
import { probeAim } from './probe.ts'
import { AimRecords, RECORD_KINDS } from './records.ts'
import { AimSession } from './session.ts'
import { Sidecar } from './sidecar/sidecar.ts'
import { AimUploader, UPLOAD_KINDS } from './uploads.ts'

/** Of a value in four arrays, without its name, which a message has once. */
const VALUE_BYTES = 900

export const aim = defineSink({
  kind: 'aim',
  title: 'Aim',
  options: AIM_OPTIONS,
  limits: {
    maxItems: 1000,
    maxBytes: 16 * 1024 * 1024,
    pointBytes: (nameBytes) => VALUE_BYTES + 8 * nameBytes,
    inFlight: 1,
    // one loop of the server does everything
    accountInFlight: 4,
    lingerMs: 1000,
    beatMs: 60_000,
  },
  capabilities: {
    shape: 'rows',
    rewrite: 'identity',
    rewind: 'overwrite',
    records: RECORD_KINDS,
    uploads: UPLOAD_KINDS,
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 4096,
  },
  prepare: prepareOptions,
  address: addressOf,
  account: accountOf,
  probe: probeAim,
  create: (context): Sink => new AimSink(context),
})

type Unready = Exclude<Refusal, { readonly status: 'split' }>

interface Opened {
  readonly session: AimSession
  readonly encoder: PointsEncoder
  readonly records: AimRecords
  readonly uploader: AimUploader
}

class AimSink implements Sink {
  readonly #context: SinkContext<AimOptions>
  readonly #options: AimOptions
  readonly #notices: Notices
  #connection: AimConnection | undefined
  #sidecar: Sidecar | undefined
  #opened: Opened | undefined
  /** Of what was opened, and is to be opened again. */
  #last: SinkState

  constructor(context: SinkContext<AimOptions>) {
    this.#context = context
    this.#options = prepareOptions(context.options)
    this.#notices = new Notices(context.notice)
  }

  async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    await this.#forget()
    const connection = await this.#connect(signal)
    if (!(connection instanceof AimConnection)) return connection
    const { run } = this.#context
    const runHash = runHashOf(this.#options, run)
    const session = new AimSession(connection, { runHash, createdAt: run.createdAt })
    const opened = await this.#begin(session, state, signal)
    if ('status' in opened) {
      await session.close()
      return opened.status === 'split' ? { ...opened, status: 'blocked', scope: 'run' } : opened
    }
    this.#opened = opened
    return { status: 'ready', state: opened.records.state }
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    return this.#with(signal, async ({ session, encoder }) => {
      const { messages, commit, superseded } = encoder.encode(batch)
      const refusal = await session.send(messages, signal)
      if (refusal !== undefined) return refusal
      commit()
      return { status: 'accepted', superseded }
    })
  }

  async beat(signal: AbortSignal): Promise<WriteResult> {
    return this.#with(signal, async ({ session }) => (await session.beat(signal)) ?? { status: 'accepted' })
  }

  async writeRecord(record: RunRecord, _seq: number, signal: AbortSignal): Promise<WriteResult> {
    return this.#with(signal, ({ records }) => records.write(record, signal))
  }

  async upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    return this.#with(signal, ({ uploader }) => uploader.upload(upload, signal))
  }

  async close(): Promise<void> {
    this.#last = undefined
    await this.#forget()
    await this.#disconnect()
  }

  /** A server of ours that has ended is started again, and everything there opened anew. */
  async #with(signal: AbortSignal, use: (opened: Opened) => Promise<WriteResult>): Promise<WriteResult> {
    if (this.#opened !== undefined && this.#sidecar?.isHeld !== false) return use(this.#opened)
    const last = this.#opened?.records.state ?? this.#last
    if (last === undefined) throw new Error('the sink is not open')
    const again = await this.open(last, signal)
    if (again.status === 'ready') return use(this.#opened!)
    this.#last = last
    return again
  }

  async #begin(session: AimSession, state: SinkState, signal: AbortSignal): Promise<Opened | Refusal> {
    const { run } = this.#context
    const refusal = await session.open(signal)
    if (refusal !== undefined) return refusal
    const records = new AimRecords(session, run, this.#notices, state)
    const undescribed = await records.describe(experimentOf(this.#options, run), signal)
    if (undescribed !== undefined) return undescribed
    const { epochMetric, runHash } = this.#options
    // a run of a hash that somebody chose may have been chosen by others too
    const isShared = runHash !== undefined
    const encoder = new PointsEncoder(session, { epochMetric, isShared, notices: this.#notices })
    return {
      session,
      records,
      encoder,
      uploader: new AimUploader(session, run, this.#notices, this.#options.artifacts),
    }
  }

  async #connect(signal: AbortSignal): Promise<AimConnection | Unready> {
    if (this.#sidecar?.isHeld === false) await this.#disconnect()
    if (this.#connection !== undefined) return this.#connection
    const place = placeOf(this.#options)
    let address: AimAddress
    if ('folder' in place) {
      const { python, makePython } = this.#options
      this.#sidecar ??= new Sidecar({ folder: place.folder, python, makePython })
      const acquired = await this.#sidecar.acquire(signal)
      if ('refusal' in acquired) return acquired.refusal
      address = { origin: acquired.origin, basePath: '' }
    } else address = place
    try {
      this.#connection = new AimConnection(connectionOf(this.#options, address))
      return this.#connection
    } catch (error) {
      // files of certificates
      if (!(error instanceof TraceletError)) throw error
      return { status: 'blocked', scope: 'account', code: error.code, reason: error.message }
    }
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    await connection?.close()
    this.#sidecar?.release()
  }

  async #forget(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    await opened?.session.close()
  }
}
