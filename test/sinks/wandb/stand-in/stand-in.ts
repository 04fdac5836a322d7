/**
 * A server of W&B's on loopback, as strict as a sender can be held to the protocol: what breaks a rule is listed in
 * the run's `problems`, or the server's own. It rebuilds every run from what came, answers the official SDK and its
 * reader, and meets faults on request.
 *
 * What nobody knows of the real server is an option here: whether gaps are moved (`rebasesGaps`), when a silent run
 * has crashed (`crashAfterMs`), how much of a tail is shown (`tailLength`), whether an upload in parts can be gone on
 * with (`keepsMultipartUploads`), quotas.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { type Fault, type FaultPlan, Faults, type Matches, type StandInRequest } from './faults.ts'
import { execute, type GraphqlRequest, InvalidQuery, RefusedField, readGraphql } from './graphql.ts'
import { type Exchange, InFlight } from './in-flight.ts'
import { mutationsOf, rootOf } from './schema.ts'
import { RefusedCreation, type StandInOptions, StandInState, UNNAMED } from './state.ts'
import { InvalidBody, readBody, type StreamBody, skimBody } from './stream-body.ts'

export type { StandInAlert } from './alerts.ts'
export type { StandInCollection, StandInVersion } from './artifact-store.ts'
export type { Fault, FaultPlan, Matches, StandInRequest } from './faults.ts'
export { StandInRun } from './run.ts'
export type { StandInOptions } from './state.ts'

type Answer = {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body: string | Buffer
}

/** What the SDK demands of a key. */
const MIN_KEY_LENGTH = 40
const FILE_STREAM = /^\/files\/([^/]+)\/([^/]+)\/([^/]+)\/file_stream$/
const HTML = '<!doctype html><title>Sign in</title><p>Sign in to go on.</p>'
const unzip = promisify(gunzip)

export class WandbStandIn extends StandInState {
  /** All of them in order; nothing where the server is light. */
  readonly requests: StandInRequest[] = []
  readonly faults = new Faults()
  /** May be changed while it serves. */
  delayMs: number
  readonly #inFlight = new InFlight()
  #server: Server | undefined
  #port: number

  constructor(options: StandInOptions = {}) {
    super(options)
    this.delayMs = options.delayMs ?? 0
    this.#port = options.port ?? 0
  }

  static async start(options?: StandInOptions): Promise<WandbStandIn> {
    const standIn = new WandbStandIn(options)
    await standIn.listen()
    return standIn
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Answers from now on; after `stop()` again, at the same address, with all that it has. */
  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        if (!request.destroyed) this.problems.push(`the stand-in itself: ${error}`)
        response.destroy()
      })
    })
    server.listen(this.#port, '127.0.0.1')
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

  /** The next request that matches meets the fault, once; default: the next of file_stream. */
  failNext(fault: Fault, matches?: Matches): void {
    this.faults.next(fault, matches)
  }

  /** Faults by chance from now on, until the plan's count is up or it is taken back. */
  planFaults(plan: FaultPlan | undefined): void {
    this.faults.plan(plan)
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', this.url)
    const stream = FILE_STREAM.exec(url.pathname)
    const path = stream?.slice(1).map(decodeURIComponent).join('/')
    const exchange = this.#inFlight.begin(path)
    response.once('close', () => this.#inFlight.end(path, exchange))
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    if (this.delayMs > 0) await sleep(this.delayMs / 2)
    if (await exchange.hasRival()) this.#problemsOf(path!).push('two requests at once')
    const raw = Buffer.concat(chunks)
    const isZipped = incoming.headers['content-encoding'] === 'gzip'
    const bytes = isZipped ? await unzip(raw) : raw
    const isLight = this.options.isLight === true
    const graphql = url.pathname === '/graphql' ? readGraphql(bytes.toString()) : undefined
    const isUpload = url.pathname.startsWith(this.storage.prefix)
    const request: StandInRequest = {
      kind: graphql ? 'graphql' : path !== undefined ? 'file_stream' : isUpload ? 'upload' : 'other',
      method: incoming.method ?? '',
      path: url.pathname,
      operation: graphql?.name ?? '',
      run: path ?? (isUpload ? this.storage.runOf(url) : this.#runNamed(graphql?.variables)),
      at: Date.now(),
      bytes: raw.length,
      status: 0,
      body: isLight || isUpload ? '' : bytes.toString(),
      headers: incoming.headers,
    }
    if (!isLight) this.requests.push(request)
    const { apiKey } = this.options
    if (apiKey !== undefined && (incoming.url!.includes(apiKey) || request.body.includes(apiKey))) {
      this.problems.push(`${request.kind} ${request.operation}: the key stands in its address or its body`)
    }
    const fault = this.faults.of(request)
    const carryOut = (): Answer => {
      if (isUpload && fault?.kind === 'expired') this.storage.expire(url)
      if (isUpload) return this.#store(incoming, url, bytes)
      // what the SDK tells of itself, with its own means
      if (request.kind === 'other') return json(404, { error: 'not found' })
      if (!this.#isAllowed(incoming.headers.authorization)) return this.#unauthorized(request)
      if (graphql) return this.#graphql(graphql, fault)
      return this.#stream(path!, bytes, isZipped, isLight)
    }
    await this.#answer(request, exchange, response, fault, carryOut)
  }

  async #answer(
    request: StandInRequest,
    exchange: Exchange,
    response: ServerResponse,
    fault: Fault | undefined,
    carryOut: () => Answer,
  ): Promise<void> {
    const send = async (answer: Answer, isCut = false) => {
      if (this.delayMs > 0) await sleep(this.delayMs / 2)
      const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
      request.status = answer.status
      exchange.close('answered')
      const headers = { 'content-type': 'application/json', 'content-length': body.length, ...answer.headers }
      response.writeHead(answer.status, headers)
      if (!isCut) response.end(body)
      else response.write(body.subarray(0, 1), () => response.destroy())
    }
    switch (fault?.kind) {
      case 'answer': {
        const { status, headers = {}, body = '{"error":"fault"}' } = fault
        return send({ status, headers, body })
      }
      case 'falseSuccess':
        return send({ status: 200, headers: { 'content-type': 'text/html' }, body: HTML })
      case 'graphqlError':
        return send(json(200, { data: null, errors: [{ message: fault.message ?? 'fault' }] }))
      case 'cut':
        response.destroy()
        return
      case 'lostAnswer':
        carryOut()
        exchange.close('answered')
        response.destroy()
        return
      case 'cutAnswer':
        return send(carryOut(), true)
      case 'hang':
        if (fault.isApplied) carryOut()
        return
      case 'slow': {
        const answer = fault.isLate ? undefined : carryOut()
        await sleep(fault.ms)
        return send(answer ?? carryOut())
      }
      default:
        return send(carryOut())
    }
  }

  #problemsOf(path: string): string[] {
    return this.runs.get(path)?.problems ?? this.problems
  }

  #isAllowed(authorization = ''): boolean {
    const [, encoded = ''] = /^Basic (.+)$/.exec(authorization) ?? []
    const [user, key = ''] = Buffer.from(encoded, 'base64').toString().split(':')
    const { apiKey } = this.options
    return user === 'api' && (apiKey === undefined ? key.length >= MIN_KEY_LENGTH : key === apiKey)
  }

  #unauthorized({ kind, operation, headers }: StandInRequest): Answer {
    const what = headers.authorization === undefined ? 'without a key' : 'with a wrong key'
    this.problems.push(`${kind} ${operation} ${what}`)
    return json(401, { errors: [{ message: 'user is not logged in' }] })
  }

  #store(incoming: IncomingMessage, url: URL, bytes: Buffer): Answer {
    const stored =
      incoming.method === 'GET' ? this.storage.get(url) : this.storage.put(url, incoming.headers, bytes)
    return { ...stored, headers: { 'content-type': 'application/octet-stream', ...stored.headers } }
  }

  #graphql(request: GraphqlRequest, fault: Fault | undefined): Answer {
    const { operation, variables } = request
    if (operation === undefined) return json(400, { errors: [{ message: request.error }] })
    const lines = fault !== undefined && 'lines' in fault ? fault.lines : 0
    const staleness = {
      tailLines: fault?.kind === 'staleTail' ? lines : 0,
      countLines: fault?.kind === 'shortCount' ? lines : 0,
    }
    const root = operation.type === 'mutation' ? mutationsOf(this, staleness) : rootOf(this, staleness)
    try {
      return json(200, { data: execute(operation, root, variables) })
    } catch (error) {
      if (error instanceof RefusedCreation) {
        return { ...json(429, { errors: [{ message: error.message }] }), headers: { 'retry-after': '1' } }
      }
      if (error instanceof RefusedField) {
        return json(200, { data: null, errors: [{ message: error.message }] })
      }
      if (!(error instanceof InvalidQuery)) throw error
      this.problems.push(`${operation.name}: ${error.message}`)
      return json(400, { errors: [{ message: `${operation.name}: ${error.message}` }] })
    }
  }

  #stream(path: string, bytes: Buffer, isZipped: boolean, isLight: boolean): Answer {
    const run = this.runs.get(path)
    if (run === undefined || run.isDeleted) return json(404, { error: 'run not found' })
    const quota = this.quotas.take({ run: path, project: `${run.entity}/${run.project}` })
    const { headers } = quota
    if (quota.isRefused) return { ...json(429, { error: 'Filestream rate limit exceeded' }), headers }
    if (isZipped && !this.features.includes('FILESTREAM_GZIP')) {
      run.problems.push('gzip, which the server has not offered')
      return json(400, { error: 'gzip' })
    }
    let body: StreamBody
    try {
      body = isLight ? skimBody(bytes) : readBody(bytes.toString())
    } catch (error) {
      if (!(error instanceof InvalidBody)) throw error
      run.problems.push(error.message)
      return json(error.status, { error: error.message })
    }
    if (isZipped) run.gzipRequests++
    const refusal = run.apply(body)
    if (refusal !== undefined) return json(refusal.status, { error: refusal.message })
    return { ...json(200, run.isStopRequested ? { stopped: true } : {}), headers: { ...headers } }
  }

  #runNamed(variables: Readonly<Record<string, unknown>> = {}): string {
    const { entity, project, name, run, runName } = variables
    const named = name ?? run ?? runName
    return named == null ? '' : `${entity ?? this.defaultEntity}/${project ?? UNNAMED}/${named}`
  }
}

function json(status: number, body: unknown): Answer {
  return { status, body: JSON.stringify(body) }
}
