/**
 * A tracking server on loopback: the routes that a client of runs needs, MLflow's rules (`fake-store.ts`), and
 * faults on request. Takes well over 100,000 points a second, so that it is never what a test of ours waits for.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FakeArtifacts, HtmlFault } from './fake-artifacts.ts'
import { ApiError, type FakeRun, FakeStore, type LogBatch } from './fake-store.ts'

/** What becomes of a request: `cut` before it is carried out, `lostAnswer` after, `hang` never ends. */
export type ServerFault =
  | { readonly kind: 'cut' | 'lostAnswer' | 'hang' }
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body: string
    }

export interface FakeRequest {
  readonly method: string
  /** Below the API's root; of an artifact `artifacts/<path>`, as it stands in the address. */
  readonly route: string
  readonly body: Readonly<Record<string, unknown>>
}
type Predicate = (request: FakeRequest) => boolean

export interface FakeOptions {
  /** Keys that this server refuses beside MLflow's own rule. */
  readonly refuseKey?: RegExp
  /** `user:password` that every request must bring. */
  readonly basicAuth?: string
}

const ROOT = '/api/2.0/mlflow/'
const UPLOAD = 'upload-artifact'
const ARTIFACTS = '/api/2.0/mlflow-artifacts/artifacts'
const MAX_BODY_BYTES = 1_000_000
/** As uvicorn. */
const KEEP_ALIVE_MS = 5_000

export class FakeMlflow {
  readonly store: FakeStore
  readonly artifacts: FakeArtifacts
  /** Carried-out requests by route. */
  readonly requests = new Map<string, number>()
  /** Items of each `log-batch` with points. */
  readonly batches: number[] = []
  oversizeBodies = 0
  /** No room for any artifact. */
  isFull = false
  /** Of a server that serves no artifacts: its folder, which is on another machine, whatever this one has there. */
  artifactRoot: string | undefined
  /** Of one artifact, as a server before MLflow may have it. */
  maxFileBytes = Number.POSITIVE_INFINITY
  readonly #basicAuth: string | undefined
  readonly #faults: { readonly fault: ServerFault; readonly when: Predicate }[] = []
  #server: Server | undefined
  #port = 0

  constructor(options: FakeOptions = {}) {
    this.store = new FakeStore(options.refuseKey)
    this.artifacts = new FakeArtifacts(this.store)
    this.#basicAuth = options.basicAuth && `Basic ${Buffer.from(options.basicAuth).toString('base64')}`
  }

  static async start(options?: FakeOptions): Promise<FakeMlflow> {
    const fake = new FakeMlflow(options)
    await fake.listen()
    return fake
  }

  get uri(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Answers from now on; after `stop()` again, at the same address, with all it had stored. */
  async listen(port = this.#port): Promise<void> {
    const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
      void this.#serve(request, response)
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }

  /** The next request that `when` holds for meets the fault, once. */
  failNext(fault: ServerFault, when: Predicate): void {
    this.#faults.push({ fault, when })
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    const bytes = Buffer.concat(chunks)
    const url = new URL(request.url ?? '/', this.uri)
    if (this.#basicAuth !== undefined && request.headers.authorization !== this.#basicAuth) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="mlflow"', 'content-type': 'text/html' })
      response.end('You are not authenticated.')
      return
    }
    if (url.pathname === '/health') {
      response.end('OK')
      return
    }
    const route = routeOf(url)
    if (route === undefined) {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<title>404 Not Found</title>')
      return
    }
    const method = request.method ?? ''
    let body: Record<string, unknown> = {}
    if (method !== 'GET' && method !== 'PUT' && route !== UPLOAD && bytes.length > 0) {
      if (bytes.length > MAX_BODY_BYTES) this.oversizeBodies++
      try {
        body = JSON.parse(bytes.toString()) as Record<string, unknown>
      } catch {
        // Python reads a bare NaN, and protobuf then stops at it in silence.
        if (/[:[,]\s*-?(NaN|Infinity)/.test(bytes.toString())) this.store.silentLosses++
        serverError(response)
        return
      }
    }
    const at = this.#faults.findIndex(({ when }) => when({ method, route, body }))
    const fault = at === -1 ? undefined : this.#faults.splice(at, 1)[0]!.fault
    if (fault?.kind === 'cut') request.socket.destroy()
    else if (fault?.kind === 'answer') response.writeHead(fault.status, fault.headers).end(fault.body)
    if (fault !== undefined && fault.kind !== 'lostAnswer') return
    const status = this.#statusOfContent(method, bytes)
    if (status !== undefined) {
      response.writeHead(status).end()
      return
    }
    const answer = this.#answer({ method, route, body }, bytes, url.searchParams)
    if (fault?.kind === 'lostAnswer') {
      request.socket.destroy()
      return
    }
    if (answer === undefined) {
      serverError(response)
      return
    }
    const [code, reply] = answer
    const text = Buffer.from(JSON.stringify(reply, null, 2))
    response.writeHead(code, { 'content-type': 'application/json', 'content-length': text.length })
    response.end(text)
  }

  #statusOfContent(method: string, { length }: Buffer): number | undefined {
    if (method !== 'PUT') return undefined
    if (length > this.maxFileBytes) return 413
    return this.isFull ? 507 : undefined
  }

  #answer(request: FakeRequest, bytes: Buffer, query: URLSearchParams): [number, object] | undefined {
    const { method, route, body } = request
    this.requests.set(route, (this.requests.get(route) ?? 0) + 1)
    try {
      if (method === 'PUT') this.artifacts.put(route.slice('artifacts/'.length), bytes)
      if (route === UPLOAD) this.#putOfRun(query, bytes)
      return [
        200,
        method === 'PUT' || route === UPLOAD ? {} : this.#carryOut(`${method} ${route}`, body, query),
      ]
    } catch (error) {
      if (error instanceof HtmlFault) return undefined
      if (!(error instanceof ApiError)) throw error
      return [error.status, { error_code: error.errorCode, message: error.message }]
    }
  }

  #putOfRun(query: URLSearchParams, bytes: Buffer): void {
    const { experimentId, runId } = this.store.run(query.get('run_uuid'))
    if (bytes.length === 0 || bytes.length > 10 * 1024 * 1024) {
      throw new ApiError(400, 'INVALID_PARAMETER_VALUE', 'Artifact size is too large or zero')
    }
    this.artifacts.put(encodeURI(`${experimentId}/${runId}/artifacts/${query.get('path')}`), bytes)
  }

  #carryOut(call: string, body: Readonly<Record<string, unknown>>, query: URLSearchParams): object {
    const { store, artifacts } = this
    const [, verb, modelId] = /^(PATCH|DELETE) logged-models\/(.+)$/.exec(call) ?? []
    if (verb === 'PATCH') return artifacts.changeModel(modelId!, body)
    if (verb === 'DELETE') return artifacts.deleteModel(modelId!)
    switch (call) {
      case 'GET artifacts/list':
        return {}
      case 'GET artifacts':
        return artifacts.list(query.get('path') ?? '')
      case 'POST runs/log-inputs':
        return artifacts.logInputs(body)
      case 'POST runs/outputs':
        return artifacts.logOutputs(body)
      case 'POST logged-models':
        return artifacts.createModel(body)
      case 'POST logged-models/search':
        return artifacts.searchModels(body)
      case 'POST registered-models/create':
        return artifacts.register(body.name)
      case 'POST registered-models/alias':
        return artifacts.setAlias(body)
      case 'POST model-versions/create':
        return artifacts.createVersion(body)
      case 'GET model-versions/search':
        return artifacts.searchVersions(query.get('filter') ?? '')
      case 'DELETE model-versions/delete':
        return artifacts.deleteVersion(body)
      case 'GET experiments/get-by-name': {
        const { id, name, stage } = store.experimentByName(query.get('experiment_name') ?? '')
        return { experiment: { experiment_id: id, name, lifecycle_stage: stage } }
      }
      case 'POST experiments/create':
        return { experiment_id: store.createExperiment(body.name) }
      case 'POST runs/create': {
        const { experiment_id, run_name, start_time, tags } = body
        const list = tags as { key: string; value: string }[]
        return {
          run: this.#runJson(store.createRun(experiment_id, String(run_name), Number(start_time), list)),
        }
      }
      case 'GET runs/get':
        return this.#getRun(store.run(query.get('run_id')))
      case 'POST runs/delete':
        store.run(body.run_id).stage = 'deleted'
        return {}
      case 'POST runs/search':
        return this.#search(body)
      case 'POST runs/update': {
        const status = body.status as string | undefined
        return { run_info: this.#runJson(store.updateRun(body.run_id, status, body.end_time as number)).info }
      }
      case 'POST runs/log-batch': {
        const batch = body as LogBatch
        if (batch.metrics?.length) this.batches.push(batch.metrics.length)
        store.logBatch(batch)
        return {}
      }
      case 'GET metrics/get-history-bulk-interval':
        return this.#interval(query)
      default:
        throw new ApiError(404, 'ENDPOINT_NOT_FOUND', `no route ${call}`)
    }
  }

  #runJson(run: FakeRun) {
    return runJson(run, this.artifactRoot ?? 'mlflow-artifacts:')
  }

  #getRun(run: FakeRun): object {
    return { run: { ...this.#runJson(run), outputs: this.artifacts.outputsOf(run.runId) } }
  }

  #search(body: Readonly<Record<string, unknown>>): object {
    const parsed = /^tags\.`([^`]+)` = (['"])(.*)\2$/.exec(String(body.filter))
    if (!parsed) throw new ApiError(400, 'INVALID_PARAMETER_VALUE', `Invalid filter ${body.filter}`)
    const runs = [...this.store.runs.values()].filter(
      (run) =>
        (body.experiment_ids as string[]).includes(run.experimentId) &&
        run.tags.get(parsed[1]!) === parsed[3] &&
        (body.run_view_type === 'ALL' || run.stage === 'active'),
    )
    return runs.length > 0 ? { runs: runs.map((run) => this.#runJson(run)) } : {}
  }

  #interval(query: URLSearchParams): object {
    const [start, end] = [Number(query.get('start_step')), Number(query.get('end_step'))]
    const history = this.store.run(query.get('run_ids')).metrics.get(query.get('metric_key') ?? '')
    const metrics: object[] = []
    history?.step.forEach((step, i) => {
      const value = history.value[i]!
      const shown = Number.isNaN(value) ? 'NaN' : value
      if (step >= start && step <= end) metrics.push({ step, timestamp: history.timestamp[i], value: shown })
    })
    return metrics.length > 0 ? { metrics } : {}
  }
}

function routeOf({ pathname }: URL): string | undefined {
  if (pathname.startsWith(ROOT)) return pathname.slice(ROOT.length)
  if (pathname === `/ajax-api/2.0/mlflow/${UPLOAD}`) return UPLOAD
  if (pathname.startsWith(ARTIFACTS)) return `artifacts${pathname.slice(ARTIFACTS.length)}`
  return undefined
}

function serverError(response: ServerResponse): void {
  response.writeHead(500, { 'content-type': 'text/html' }).end('<title>500 Internal Server Error</title>')
}

function runJson(run: FakeRun, root: string) {
  const pairs = (map: ReadonlyMap<string, string>) => [...map].map(([key, value]) => ({ key, value }))
  return {
    info: {
      run_id: run.runId,
      experiment_id: run.experimentId,
      run_name: run.name,
      status: run.status,
      start_time: run.startTime,
      ...(run.endTime !== undefined && { end_time: run.endTime }),
      lifecycle_stage: run.stage,
      artifact_uri: `${root}/${run.experimentId}/${run.runId}/artifacts`,
    },
    data: { params: pairs(run.params), tags: pairs(run.tags) },
  }
}
