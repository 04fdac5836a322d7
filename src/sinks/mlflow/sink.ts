/**
 * The MLflow sink: points, params, tags and state of one run to a tracking server's REST API.
 *
 * - Points go out as `runs/log-batch`, 1,000 a request, two requests at once: MLflow spends 115–150 µs of CPU on a
 *   point in a full request and 9 ms on one alone, and more connections only add latency.
 * - Sending again is harmless: MLflow's identity of a point is (key, timestamp, step, value) and ours never change.
 * - Params go apart from points, since one changed param refuses all that is in its request.
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
import { Notices, shown } from '../notices.ts'
import type { MlflowApi } from './api.ts'
import { CONNECTIONS, Door, UPLOAD_CONNECTIONS } from './door.ts'
import { ENVELOPE_BYTES, encodePoints, pointBytes } from './encode.ts'
import { KeyBook } from './key-book.ts'
import { findOrCreateRun, linkParent, reopenRun } from './open-run.ts'
import {
  accountOf,
  addressOf,
  experimentOf,
  MLFLOW_OPTIONS,
  type MlflowOptions,
  prepareOptions,
} from './options.ts'
import { probeMlflow } from './probe.ts'
import {
  type RecordsContext,
  rememberKeys,
  writeDataset,
  writeNotes,
  writeParams,
  writeRewind,
  writeTags,
} from './records.ts'
import { deleted, getRun, isFault, type RemoteRun } from './remote-run.ts'
import type { OpenedRun } from './send-entries.ts'
import { isStored } from './stored.ts'
import { Stores } from './stores/stores.ts'
import { UPLOAD_KINDS, Uploader } from './uploads/uploader.ts'

/** MLflow's own limit; reverse proxies and Databricks enforce it, the open-source server does not. */
const MAX_REQUEST_BYTES = 1_000_000

export const mlflow = defineSink({
  kind: 'mlflow',
  title: 'MLflow',
  options: MLFLOW_OPTIONS,
  limits: {
    maxItems: 1000,
    maxBytes: MAX_REQUEST_BYTES - ENVELOPE_BYTES,
    pointBytes,
    inFlight: CONNECTIONS,
    accountInFlight: CONNECTIONS,
    lingerMs: 1000,
    uploadsInFlight: UPLOAD_CONNECTIONS,
  },
  capabilities: {
    shape: 'points',
    rewrite: 'identity',
    // A history holds all that ever came under a key, two values of one step included, and nothing can be removed.
    rewind: 'keep-first',
    // No place for definitions of metrics: MLflow's charts have their axes chosen by whoever looks, and no summaries.
    records: ['params', 'tags', 'state', 'rewind', 'notes', 'dataset'],
    uploads: UPLOAD_KINDS,
    values: { nan: 'kept', infinity: 'mapped', negativeZero: 'mapped', precision: 'double' },
    maxNameLength: 250,
  },
  prepare: prepareOptions,
  address: addressOf,
  account: accountOf,
  probe: probeMlflow,
  create: (context): Sink => new MlflowSink(context),
})

const STATUS = { running: 'RUNNING', finished: 'FINISHED', failed: 'FAILED', killed: 'KILLED' } as const

class MlflowSink implements Sink {
  readonly #context: SinkContext<MlflowOptions>
  readonly #options: MlflowOptions
  readonly #keys: KeyBook
  readonly #notices: Notices
  readonly #recordsContext: RecordsContext
  #door: Door | undefined
  #uploader: Uploader | undefined
  #remote: RemoteRun | undefined
  /** Batches that MLflow may have stored without our knowing: seq → length. */
  readonly #unclear = new Map<number, number>()

  constructor(context: SinkContext<MlflowOptions>) {
    this.#context = context
    this.#options = prepareOptions(context.options)
    this.#notices = new Notices(context.notice)
    this.#keys = new KeyBook((name, key) =>
      this.#notices.tell(
        'name',
        `MLflow has no such name as '${shown(name)}': stored as '${key}', see the run's tags`,
      ),
    )
    this.#recordsContext = { keys: this.#keys, notices: this.#notices, datasets: new Map() }
  }

  async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    let api: MlflowApi
    try {
      api = this.#connect()
    } catch (error) {
      return cannotConnect(error)
    }
    const known = typeof state?.runId === 'string' ? state.runId : undefined
    const { run } = this.#context
    const opened = known
      ? await reopenRun(api, known, signal)
      : await findOrCreateRun(api, run, experimentOf(this.#options, run), signal)
    if ('refusal' in opened) {
      return opened.refusal.status === 'split'
        ? { ...opened.refusal, status: 'blocked', scope: 'run' }
        : opened.refusal
    }
    this.#remote = opened.found
    this.#uploader = undefined
    const { runId, experimentId } = opened.found
    const linked = await linkParent(api, opened.found, this.#context.run.parent, signal)
    if (!('refusal' in linked)) this.#remote = linked.found
    else if (linked.refusal.status !== 'split') return linked.refusal
    const url = `${this.#options.uri}/#/experiments/${experimentId}/runs/${runId}`
    return { status: 'ready', state: { runId, experimentId }, url }
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const { api, runId } = this.#opened()
    for (let i = 0; i < batch.length; i++) this.#keys.learn(batch.series[i]!, batch.describe)
    const refusal = await rememberKeys({ api, runId }, this.#keys, signal)
    if (refusal) return refusal
    const { body, count, rejected, superseded, infinityAt } = encodePoints(runId, batch, this.#keys.prefix)
    if (infinityAt !== -1) {
      const { name } = batch.describe(batch.series[infinityAt]!)
      this.#notices.tell(
        'infinity',
        `MLflow stores ±Infinity as ±1.7976931348623157e308 (first in '${name}')`,
      )
    }
    if (count > 0) {
      const reply = await api.post('runs/log-batch', body, signal)
      if (reply.status === 'refused') {
        if (reply.unclear && rejected.length === 0) this.#unclear.set(batch.seq, batch.length)
        return reply.refusal
      }
      this.#unclear.delete(batch.seq)
      if (isFault(reply, 'missing')) return deleted(runId)
      if (reply.status === 'fault') {
        const run = await getRun(api, runId, signal)
        return 'refusal' in run ? run.refusal : { status: 'split', code: 'ERR_REFUSED', reason: reply.reason }
      }
    }
    return rejected.length > 0
      ? { status: 'partial', rejected, superseded }
      : { status: 'accepted', superseded }
  }

  async stored(batch: Batch, signal: AbortSignal): Promise<boolean> {
    // Only of this very batch is it known that it is stored as a whole or not at all.
    if (this.#unclear.get(batch.seq) !== batch.length) return false
    const { api, runId } = this.#opened()
    const found = await isStored(api, runId, batch, (id) => this.#keys.seriesKey(id), signal)
    if (found) this.#unclear.delete(batch.seq)
    return found
  }

  async writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    switch (record.kind) {
      case 'params':
        return writeParams(this.#opened(), record, this.#recordsContext, signal)
      case 'tags':
        return writeTags(this.#opened(), record, this.#recordsContext, signal)
      case 'notes':
        return writeNotes(this.#opened(), record, this.#recordsContext, signal)
      case 'dataset':
        return writeDataset(this.#opened(), record, this.#recordsContext, signal)
      case 'state':
        return this.#writeState(record, signal)
      case 'rewind':
        return writeRewind(this.#opened(), record, seq, signal)
      default:
        throw new Error(`MLflow's sink declares no ${record.kind}`)
    }
  }

  async upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    try {
      this.#uploader ??= this.#createUploader()
      return await this.#uploader.upload(upload, signal)
    } catch (error) {
      return cannotConnect(error)
    }
  }

  async close(): Promise<void> {
    const door = this.#door
    this.#door = undefined
    await door?.close()
  }

  #connect(): MlflowApi {
    this.#door ??= new Door(this.#options)
    return this.#door.api
  }

  #createUploader(): Uploader {
    const opened = this.#opened()
    const { experimentId, artifactUri } = this.#remote!
    const { run } = this.#context
    const door = this.#door!
    return new Uploader({
      run,
      remote: { ...opened, experimentId },
      stores: new Stores({ ...opened, ...door.uploads(), host: door.host, artifactUri, nonce: run.nonce }),
      notices: this.#notices,
      told: new Set(),
    })
  }

  #opened(): OpenedRun {
    if (this.#door === undefined || this.#remote === undefined) throw new Error('the sink is not open')
    return { api: this.#door.api, runId: this.#remote.runId }
  }

  // ── records ──────────────────────────────────────────────────────────────────────────────────────

  async #writeState(
    record: Extract<RunRecord, { kind: 'state' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { api, runId } = this.#opened()
    const linked = await linkParent(api, this.#remote!, this.#context.run.parent, signal)
    if ('refusal' in linked) return linked.refusal
    this.#remote = linked.found
    const ended = record.state !== 'running'
    if (ended && this.#context.run.parent && this.#remote!.parentId === undefined) {
      const { parent } = this.#context.run
      this.#notices.tell(
        'parent',
        `MLflow has no run '${parent}' in this experiment: the run is not shown below it`,
      )
    }
    const body = {
      run_id: runId,
      status: STATUS[record.state],
      ...(ended && { end_time: Math.max(0, Math.floor(record.time)) }),
    }
    const reply = await api.post('runs/update', body, signal)
    if (reply.status === 'ok') return { status: 'accepted' }
    if (isFault(reply, 'missing')) return deleted(runId)
    if (reply.status === 'refused') return reply.refusal
    const run = await getRun(api, runId, signal)
    return 'refusal' in run ? run.refusal : { status: 'split', code: 'ERR_REFUSED', reason: reply.reason }
  }
}

/**
 * Files of certificates are read when the first connection of a kind is made.
 * @throws what is none of these
 */
function cannotConnect(error: unknown): Extract<WriteResult, { status: 'blocked' }> {
  if (!(error instanceof TraceletError)) throw error
  return { status: 'blocked', scope: 'account', code: error.code, reason: error.message }
}
