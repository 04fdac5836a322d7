/**
 * What a tracking server keeps, with MLflow's rules for `log-batch`, the cruel one too: an element that its parser
 * cannot read makes it store what came before, a damaged point, and drop the rest, and answer 200.
 */
import { randomBytes } from 'node:crypto'
import { posix } from 'node:path'

export class ApiError extends Error {
  readonly status: number
  readonly errorCode: string
  constructor(status: number, errorCode: string, message: string) {
    super(message)
    this.status = status
    this.errorCode = errorCode
  }
}
const invalid = (message: string) => new ApiError(400, 'INVALID_PARAMETER_VALUE', message)
const missing = (message: string) => new ApiError(404, 'RESOURCE_DOES_NOT_EXIST', message)

/** Stored points of one key: each (step, timestamp, value) once. */
export class History {
  readonly step: number[] = []
  readonly timestamp: number[] = []
  readonly value: number[] = []
  /** Points with one hash of step and timestamp form a chain. */
  readonly #heads = new Map<number, number>()
  readonly #next: number[] = []

  add(step: number, timestamp: number, value: number): boolean {
    const hash = step * 8191 + timestamp
    const head = this.#heads.get(hash) ?? -1
    for (let at = head; at !== -1; at = this.#next[at]!) {
      const same = this.value[at] === value || (Number.isNaN(this.value[at]) && Number.isNaN(value))
      if (this.step[at] === step && this.timestamp[at] === timestamp && same) return false
    }
    this.#next.push(head)
    this.#heads.set(hash, this.step.length)
    this.step.push(step)
    this.timestamp.push(timestamp)
    this.value.push(value)
    return true
  }
}

export interface FakeRun {
  readonly runId: string
  readonly experimentId: string
  name: string
  status: string
  readonly startTime: number
  endTime: number | undefined
  stage: 'active' | 'deleted'
  readonly tags: Map<string, string>
  readonly params: Map<string, string>
  readonly metrics: Map<string, History>
}
interface FakeExperiment {
  readonly id: string
  readonly name: string
  stage: 'active' | 'deleted'
}
interface KeyValue {
  readonly key: unknown
  readonly value: unknown
}
export interface LogBatch {
  readonly run_id?: unknown
  readonly metrics?: readonly { key: unknown; value: unknown; timestamp: unknown; step?: unknown }[]
  readonly params?: readonly KeyValue[]
  readonly tags?: readonly KeyValue[]
}

const STATUSES = ['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED']

export class FakeStore {
  readonly experiments = new Map<string, FakeExperiment>()
  readonly runs = new Map<string, FakeRun>()
  /** New points stored, over all runs. */
  points = 0
  /** Batches cut short in silence, texts cut in silence, unknown statuses: a good client causes none. */
  silentLosses = 0
  /** Requests with more items than MLflow allows. */
  oversize = 0
  readonly #refuseKey: RegExp | undefined
  readonly #goodKeys = new Set<string>()

  /** @param refuseKey keys that this server refuses beside MLflow's own rule */
  constructor(refuseKey?: RegExp) {
    this.#refuseKey = refuseKey
  }

  createExperiment(name: unknown): string {
    if (typeof name !== 'string' || name === '' || name.length > 500) throw invalid('Invalid experiment name')
    if (this.experiments.has(name))
      throw new ApiError(400, 'RESOURCE_ALREADY_EXISTS', `'${name}' already exists`)
    const experiment = { id: String(this.experiments.size + 1), name, stage: 'active' as const }
    this.experiments.set(name, experiment)
    return experiment.id
  }

  experimentByName(name: string): FakeExperiment {
    const experiment = this.experiments.get(name)
    if (!experiment) throw missing(`Could not find experiment with name '${name}'`)
    return experiment
  }

  createRun(experimentId: unknown, name: string, startTime: number, tags: readonly KeyValue[]): FakeRun {
    const experiment = [...this.experiments.values()].find(({ id }) => id === experimentId)
    if (experiment?.stage !== 'active') throw missing(`No active experiment with id=${experimentId}`)
    const run: FakeRun = {
      runId: randomBytes(16).toString('hex'),
      experimentId: experiment.id,
      name,
      status: 'RUNNING',
      startTime,
      endTime: undefined,
      stage: 'active',
      tags: new Map(),
      params: new Map(),
      metrics: new Map(),
    }
    for (const { key, value } of tags) run.tags.set(this.#key(key), this.#text(value, 8000))
    this.runs.set(run.runId, run)
    return run
  }

  run(runId: unknown): FakeRun {
    const run = this.runs.get(runId as string)
    if (!run) throw missing(`Run with id=${runId} not found`)
    return run
  }

  updateRun(runId: unknown, status: string | undefined, endTime: number | undefined): FakeRun {
    const run = this.#active(runId)
    if (status !== undefined && !STATUSES.includes(status)) this.silentLosses++
    else if (status !== undefined) run.status = status
    if (endTime !== undefined) run.endTime = endTime
    return run
  }

  logBatch(batch: LogBatch): void {
    const { metrics = [], params = [], tags = [] } = batch
    if (typeof batch.run_id !== 'string') throw invalid("Missing value for required parameter 'run_id'")
    const items = metrics.length + params.length + tags.length
    if (metrics.length > 1000 || params.length > 100 || tags.length > 100 || items > 1000) {
      this.oversize++
      throw invalid('A batch logging request can contain at most 1000 metrics, 100 params, 100 tags')
    }
    for (const [i, { key, value, timestamp }] of metrics.entries()) {
      for (const field of [key, value, timestamp]) {
        if (field === undefined || field === null) throw invalid(`Missing value in metrics[${i}]`)
      }
    }
    const run = this.#active(batch.run_id)
    const readable = metrics.findIndex(
      (metric) => !isInt64(metric.step ?? 0) || !isInt64(metric.timestamp) || numberOf(metric.value) === null,
    )
    const cutShort = readable !== -1
    const kept = cutShort ? metrics.slice(0, readable) : metrics
    for (const { key, timestamp } of kept) {
      this.#key(key)
      if ((timestamp as number) < 0) throw invalid('Timestamps must be nonnegative')
    }
    if (!cutShort) {
      this.#logParams(run, params)
      for (const { key, value } of tags) run.tags.set(this.#key(key), this.#text(value, 8000))
    }
    for (const { key, value, timestamp, step } of kept) {
      this.#logMetric(run, key as string, Number(step ?? 0), Number(timestamp), numberOf(value)!)
    }
    if (cutShort) {
      this.silentLosses++
      this.#logMetric(run, String(metrics[readable]!.key), 0, 0, 0)
    }
  }

  #active(runId: unknown): FakeRun {
    const run = this.run(runId)
    if (run.stage === 'active') return run
    throw invalid(`The run ${runId} must be in the 'active' state. Current state is deleted.`)
  }

  #logMetric(run: FakeRun, key: string, step: number, timestamp: number, value: number): void {
    let history = run.metrics.get(key)
    if (history === undefined) run.metrics.set(key, (history = new History()))
    const stored = Math.min(Math.max(value, -Number.MAX_VALUE), Number.MAX_VALUE) + 0
    if (history.add(step, timestamp, stored)) this.points++
  }

  #logParams(run: FakeRun, params: readonly KeyValue[]): void {
    const texts = params.map(({ key, value }) => [this.#key(key), this.#text(value, 6000)] as const)
    if (new Set(texts.map(([key]) => key)).size < texts.length) throw invalid('Duplicate parameter keys')
    for (const [key, text] of texts) {
      const held = run.params.get(key)
      if (held !== undefined && held !== text)
        throw invalid(`Changing param values is not allowed: key='${key}'`)
    }
    for (const [key, text] of texts) run.params.set(key, text)
  }

  #key(key: unknown): string {
    if (typeof key !== 'string') throw invalid('A key must be a string')
    if (this.#goodKeys.has(key)) return key
    const resolved = posix.normalize(key)
    const unique = resolved === key && key !== '.' && !/^\.\.|^\/|\/$/.test(key)
    if (
      !/^[/\p{L}\p{N}_.\- :]+$/u.test(key) ||
      !unique ||
      [...key].length > 250 ||
      this.#refuseKey?.test(key)
    ) {
      throw invalid(`Invalid value for parameter name: '${key}'`)
    }
    this.#goodKeys.add(key)
    return key
  }

  #text(value: unknown, max: number): string {
    if (typeof value !== 'string' || !value.isWellFormed() || value.includes('\0') || value.length > max) {
      this.silentLosses++
    }
    return String(value).slice(0, max)
  }
}

function isInt64(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 2 ** 63
}

/** As protobuf's JSON parser reads a double; null when it cannot. */
function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? Number(value) : null
}
