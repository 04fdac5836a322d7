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
  WriteResult,
} from '../../core/types.ts'
import { defineSink } from '../contract.ts'
import { HttpClient, type Refusal } from '../http.ts'
import { MlflowApi } from './api.ts'
import { findCredentials } from './credentials.ts'
import {
  ENVELOPE_BYTES,
  type Entry,
  encodeEntries,
  encodePoints,
  fitText,
  MAX_PARAM_CHARS,
  MAX_TAG_CHARS,
  paramText,
  pointBytes,
} from './encode.ts'
import { KeyBook } from './key-book.ts'
import {
  accountOf,
  addressOf,
  experimentOf,
  MLFLOW_OPTIONS,
  type MlflowOptions,
  prepareOptions,
} from './options.ts'
import {
  createRun,
  deleted,
  findByNonce,
  findExperiment,
  findParent,
  getRun,
  isFault,
  PARENT_TAG,
  type RemoteRun,
  toRemote,
} from './remote-run.ts'
import { type OpenedRun, type Sent, sendEntries } from './send-entries.ts'
import { isStored } from './stored.ts'

/** More only add latency: the server is the limit. */
const CONNECTIONS = 2
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
  },
  capabilities: {
    shape: 'points',
    rewrite: 'identity',
    records: ['params', 'tags', 'state'],
    values: { nan: 'kept', infinity: 'mapped', negativeZero: 'mapped', precision: 'double' },
    maxNameLength: 250,
  },
  prepare: prepareOptions,
  address: addressOf,
  account: accountOf,
  create: (context): Sink => new MlflowSink(context),
})

const STATUS = { running: 'RUNNING', finished: 'FINISHED', failed: 'FAILED', killed: 'KILLED' } as const

/** Nonces whose create may be carried out late. Outlives a sink, which is made anew for each attempt to open. */
const unclearCreates = new Set<string>()

class MlflowSink implements Sink {
  readonly #context: SinkContext<MlflowOptions>
  readonly #options: MlflowOptions
  readonly #keys: KeyBook
  readonly #noticed = new Set<string>()
  #http: HttpClient | undefined
  #api: MlflowApi | undefined
  #remote: RemoteRun | undefined
  /** Batches that MLflow may have stored without our knowing: seq → length. */
  readonly #unclear = new Map<number, number>()

  constructor(context: SinkContext<MlflowOptions>) {
    this.#context = context
    this.#options = prepareOptions(context.options)
    this.#keys = new KeyBook((name, key) =>
      this.#notice('name', `MLflow has no such name as '${name}': stored as '${key}', see the run's tags`),
    )
  }

  async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    let api: MlflowApi
    try {
      api = this.#connect()
    } catch (error) {
      const reason = error instanceof TraceletError ? error.message : String(error)
      return { status: 'blocked', scope: 'account', code: 'ERR_OPTION', reason }
    }
    const known = typeof state?.runId === 'string' ? state.runId : undefined
    const opened = known ? await this.#reopen(api, known, signal) : await this.#findOrCreate(api, signal)
    if ('refusal' in opened) {
      return opened.refusal.status === 'split'
        ? { ...opened.refusal, status: 'blocked', scope: 'run' }
        : opened.refusal
    }
    this.#remote = opened.found
    const { runId, experimentId } = opened.found
    const refusal = await this.#linkParent(signal)
    if (refusal?.status === 'retry' || refusal?.status === 'blocked') return refusal
    const url = `${this.#options.uri}/#/experiments/${experimentId}/runs/${runId}`
    return { status: 'ready', state: { runId, experimentId }, url }
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const { api, runId } = this.#opened()
    for (let i = 0; i < batch.length; i++) this.#keys.learn(batch.series[i]!, batch.describe)
    const refusal = await this.#rememberKeys(signal)
    if (refusal) return refusal
    const { body, count, rejected, superseded, infinityAt } = encodePoints(runId, batch, this.#keys.prefix)
    if (infinityAt !== -1) {
      const { name } = batch.describe(batch.series[infinityAt]!)
      this.#notice('infinity', `MLflow stores ±Infinity as ±1.7976931348623157e308 (first in '${name}')`)
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

  async writeRecord(record: RunRecord, _seq: number, signal: AbortSignal): Promise<WriteResult> {
    switch (record.kind) {
      case 'params':
        return this.#writeParams(record.params, signal)
      case 'tags':
        return this.#writeTags(record.tags, signal)
      case 'state':
        return this.#writeState(record, signal)
      default:
        throw new Error(`MLflow's sink declares no ${record.kind}`)
    }
  }

  async close(): Promise<void> {
    const http = this.#http
    this.#http = undefined
    await http?.close()
  }

  #connect(): MlflowApi {
    if (this.#http !== undefined && this.#api !== undefined) return this.#api
    const { headers, secrets } = findCredentials(this.#options)
    const { uri, workspace, insecureTls, caFile, clientCertFile } = this.#options
    this.#http = new HttpClient({
      origin: new URL(uri).origin,
      connections: CONNECTIONS,
      headers: {
        'user-agent': 'tracelet',
        ...(workspace && { 'x-mlflow-workspace': workspace }),
        ...headers,
      },
      secrets,
      insecureTls,
      caFile,
      clientCertFile,
    })
    this.#api = new MlflowApi(this.#http, uri)
    return this.#api
  }

  #opened(): OpenedRun {
    if (this.#api === undefined || this.#remote === undefined) throw new Error('the sink is not open')
    return { api: this.#api, runId: this.#remote.runId }
  }

  #notice(topic: string, message: string): void {
    if (this.#noticed.has(topic)) return
    this.#noticed.add(topic)
    this.#context.notice('ERR_MAPPED', message)
  }

  // ── the run ──────────────────────────────────────────────────────────────────────────────────────

  async #reopen(api: MlflowApi, runId: string, signal: AbortSignal) {
    const run = await getRun(api, runId, signal)
    return 'refusal' in run ? run : { found: toRemote(run.found) }
  }

  async #findOrCreate(
    api: MlflowApi,
    signal: AbortSignal,
  ): Promise<{ readonly found: RemoteRun } | { readonly refusal: Refusal }> {
    const { run } = this.#context
    const experiment = await findExperiment(api, experimentOf(this.#options, run), signal)
    if ('refusal' in experiment) return experiment
    const existing = await findByNonce(api, experiment.found, run.nonce, signal)
    if ('refusal' in existing) return existing
    if (existing.found[0]) return { found: existing.found[0] }
    const parent = run.parent && (await findParent(api, experiment.found, run.parent, signal))
    if (parent && 'refusal' in parent) return parent
    const created = await createRun(api, run, experiment.found, parent ? parent.found : undefined, signal)
    if ('refusal' in created) {
      if (created.unclear) unclearCreates.add(run.nonce)
      return created
    }
    if (!unclearCreates.has(run.nonce)) return created
    // The earlier create may have been carried out late: one run stays, empty ones beside it go.
    const settled = await findByNonce(api, experiment.found, run.nonce, signal)
    if ('refusal' in settled) return settled
    const [kept = created.found, ...late] = settled.found
    for (const { runId } of late) await api.post('runs/delete', { run_id: runId }, signal)
    unclearCreates.delete(run.nonce)
    return { found: kept }
  }

  /**
   * Nested runs: MLflow knows a parent by a tag with the parent's id there. The parent may come to MLflow after
   * its child, so this is tried again with every record of state.
   */
  async #linkParent(signal: AbortSignal): Promise<Refusal | undefined> {
    const { parent } = this.#context.run
    const remote = this.#remote!
    if (parent === undefined || remote.parentId !== undefined) return undefined
    const { api, runId } = this.#opened()
    const found = await findParent(api, remote.experimentId, parent, signal)
    if ('refusal' in found) return found.refusal
    if (found.found === undefined) return undefined
    const tag = { index: 0, key: PARENT_TAG, value: found.found }
    const reply = await api.post('runs/log-batch', encodeEntries(runId, 'tags', [tag]), signal)
    if (reply.status === 'refused') return reply.refusal
    if (reply.status === 'ok') this.#remote = { ...remote, parentId: found.found }
    return undefined
  }

  // ── records ──────────────────────────────────────────────────────────────────────────────────────

  async #writeState(
    record: Extract<RunRecord, { kind: 'state' }>,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { api, runId } = this.#opened()
    const refusal = await this.#linkParent(signal)
    if (refusal) return refusal
    const ended = record.state !== 'running'
    if (ended && this.#context.run.parent && this.#remote!.parentId === undefined) {
      const { parent } = this.#context.run
      this.#notice(
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

  async #writeTags(tags: Readonly<Record<string, string>>, signal: AbortSignal): Promise<WriteResult> {
    const entries = Object.entries(tags).map(([name, text], index): Entry => {
      const value = fitText(text, MAX_TAG_CHARS)
      if (value !== text) this.#notice('tag', `MLflow holds ${MAX_TAG_CHARS} characters of the tag '${name}'`)
      return { index, key: this.#keys.key(name), value }
    })
    const refusal = await this.#rememberKeys(signal)
    return refusal ?? resultOf(await sendEntries(this.#opened(), 'tags', entries, signal))
  }

  async #writeParams(
    params: Extract<RunRecord, { kind: 'params' }>['params'],
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const entries = Object.entries(params).map(([name, param], index): Entry => {
      const text = paramText(param)
      const value = fitText(text, MAX_PARAM_CHARS)
      if (value !== text) {
        this.#notice('param', `MLflow holds ${MAX_PARAM_CHARS} characters of the parameter '${name}'`)
      }
      return { index, key: this.#keys.key(name), value }
    })
    const refusal = await this.#rememberKeys(signal)
    return refusal ?? resultOf(await sendEntries(this.#opened(), 'params', entries, signal))
  }

  async #rememberKeys(signal: AbortSignal): Promise<Refusal | undefined> {
    const tags = this.#keys.unsent()
    if (tags.length === 0) return undefined
    const sent = await sendEntries(this.#opened(), 'tags', tags, signal)
    if ('refusal' in sent) return sent.refusal
    this.#keys.remembered(tags)
    return undefined
  }
}

function resultOf(sent: Sent): WriteResult {
  if ('refusal' in sent) return sent.refusal
  const { rejected } = sent
  return rejected.length > 0 ? { status: 'partial', rejected } : { status: 'accepted' }
}
