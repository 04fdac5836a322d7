/**
 * A backend that keeps one value under each (series, step, time), and one content under each (upload, path): writing
 * the same again changes nothing. With `overwrites` the time is no part of it: a later value of a step replaces the one
 * before.
 */
import type { Fault, StoredPoint, StoredUpload } from '../harness.ts'
import { type FakeAnswer, type FakeRequest, FaultServer } from './fault-server.ts'
import { RemoteRun } from './remote-runs.ts'
import { isUpload, RemoteUploads } from './remote-uploads.ts'

export const IDENTITY_LIMITS = { points: 500, bytes: 256 * 1024, fileBytes: 1024 * 1024 }
/** The server refuses this series whatever its value. */
export const REFUSED_NAME = 'refused by the server'

export interface WirePoint {
  readonly key: string
  readonly step: number
  readonly time: number
  /** A number as text: JSON has no NaN, and the server takes any. */
  readonly value: string
}

class IdentityRun extends RemoteRun {
  readonly points = new Map<string, StoredPoint>()
  readonly uploads = new RemoteUploads()
}

export class IdentityServer {
  readonly runs = new Map<string, IdentityRun>()
  readonly token: string | undefined
  oversize = 0
  url = ''
  overwrites = false
  /** No upload is taken: 507. */
  isFull = false
  /** Files that have come, again or not. */
  filesTaken = 0
  readonly #server: FaultServer

  private constructor(token: string | undefined) {
    this.token = token
    this.#server = new FaultServer(
      (request) => this.#answer(request),
      ({ path }) => path[2] === 'points',
      { rejected: [], stored: 0, errors: ['quota service is down'] },
    )
  }

  static async start(token?: string, port = 0): Promise<IdentityServer> {
    const server = new IdentityServer(token)
    server.url = await server.#server.listen(port)
    return server
  }

  /** Called with each request when all of it has come; it is applied when this is over. */
  set before(wait: (request: FakeRequest) => Promise<void> | void) {
    this.#server.before = wait
  }

  get requests(): number {
    return this.#server.requests
  }

  failNext(fault: Fault, run: string): void {
    if (fault === 'gone') this.runs.get(run)!.isGone = true
    else this.#server.failNext(fault)
  }

  failNextUpload(fault: Fault): void {
    this.#server.failNext(fault, isUpload)
  }

  storedUploads(run: string): StoredUpload[] {
    return this.runs.get(run)?.uploads.stored ?? []
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }

  #answer(request: FakeRequest): FakeAnswer {
    const { method, path, body, authorization } = request
    if (this.token !== undefined && authorization !== `Bearer ${this.token}`) {
      return { status: 401, body: { error: 'unknown token' } }
    }
    const [, id, what] = path
    if (method === 'GET') return this.#read(id!)
    if (isUpload(request)) return this.#takeUpload(request, id!)
    const content = JSON.parse(body.toString())
    if (what === undefined) {
      if (!this.runs.has(id!)) this.runs.set(id!, new IdentityRun(content.nonce))
      return { status: 200 }
    }
    const run = this.runs.get(id!)
    if (run === undefined || run.isGone) return { status: 404, body: { error: 'run is gone' } }
    if (what !== 'points') return run.take(what, content)
    return this.#take(run, content, body.length)
  }

  #takeUpload(request: FakeRequest, id: string): FakeAnswer {
    const run = this.runs.get(id)
    if (run === undefined || run.isGone) return { status: 404 }
    if (this.isFull) return { status: 507, body: { error: 'no space left' } }
    if (request.body.length > IDENTITY_LIMITS.fileBytes) return { status: 413 }
    if (request.method === 'PUT') this.filesTaken++
    return run.uploads.take(request)
  }

  #take(run: IdentityRun, points: readonly WirePoint[], bytes: number): FakeAnswer {
    if (points.length > IDENTITY_LIMITS.points || bytes > IDENTITY_LIMITS.bytes) {
      this.oversize++
      return { status: 413 }
    }
    const rejected: { index: number; reason: string }[] = []
    for (const [index, { key, step, time, value }] of points.entries()) {
      if (key === REFUSED_NAME) rejected.push({ index, reason: 'this server does not like it' })
      else
        run.points.set(JSON.stringify(this.overwrites ? [key, step] : [key, step, time]), {
          key,
          step,
          time,
          value: Number(value),
        })
    }
    return { status: 200, body: { rejected, stored: points.length - rejected.length } }
  }

  /** For readers in other processes. */
  #read(id: string): FakeAnswer {
    const run = this.runs.get(id)
    if (run === undefined) return { status: 404 }
    const { params, tags, outcome } = run
    const points = [...run.points.values()].map((point) => ({
      ...point,
      value: Object.is(point.value, -0) ? '-0' : String(point.value),
    }))
    return { status: 200, body: { points, params, tags, outcome } }
  }
}
