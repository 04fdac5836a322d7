/**
 * A backend that keeps a stream of lines per run. A request says at which line it begins: lines that are there
 * already are compared, the others appended. A gap is rebased: the lines go to the end of what there is. A run that
 * goes back to a step goes on in a stream of its own, which begins as a copy of the lines before that step.
 */
import type { Fault, StoredMention, StoredPoint, StoredUpload } from '../harness.ts'
import { type FakeAnswer, type FakeRequest, FaultServer } from './fault-server.ts'
import { RemoteRun } from './remote-runs.ts'
import { isUpload, RemoteUploads } from './remote-uploads.ts'

export const OFFSET_LIMITS = { lines: 200, bytes: 256 * 1024 }
/** The server refuses any request that holds this series, without saying why. */
export const REFUSED_SERIES = 'refused by the server'

/** One row: its step, and [key, time, value as text] of each of its points. Or the name of an upload. */
export interface Line {
  readonly step: number
  readonly points: readonly (readonly [key: string, time: number, value: string])[]
  readonly names?: StoredMention
  readonly padding?: string
}

class StreamRun extends RemoteRun {
  /** By the sequence number of the rewind they began with, in order; -1 for the first. */
  readonly branches = new Map<number, { readonly base: number; readonly lines: string[] }>([
    [-1, { base: 0, lines: [] }],
  ])
  /** Of the latest stream. */
  get lines(): string[] {
    return [...this.branches.values()].at(-1)!.lines
  }
  /** Requests that brought lines or records. */
  writes = 0
  readonly uploads = new RemoteUploads()
}

export class OffsetServer {
  readonly runs = new Map<string, StreamRun>()
  readonly token: string | undefined
  oversize = 0
  /** Requests that began behind the end, and lines that came again with another content. */
  gaps = 0
  conflicts = 0
  /** No upload is taken: 507. */
  isFull = false
  url = ''
  readonly #server: FaultServer

  private constructor(token: string | undefined) {
    this.token = token
    this.#server = new FaultServer(
      (request) => this.#answer(request),
      ({ path }) => path[2] === 'lines',
      // A success that does not tell where the stream ends now.
      { errors: ['stream is read-only'] },
    )
  }

  static async start(token?: string, port = 0): Promise<OffsetServer> {
    const server = new OffsetServer(token)
    server.url = await server.#server.listen(port)
    return server
  }

  /** How long each answer takes after its request was applied; given anew for each, in ms. */
  set answersAfterMs(delay: () => number) {
    this.#server.answersAfterMs = delay
  }

  /** Called with each request when all of it has come; it is applied when this is over. */
  set before(wait: (request: FakeRequest) => Promise<void> | void) {
    this.#server.before = wait
  }

  failNext(fault: Fault, run: string): void {
    if (fault === 'gone') this.runs.get(run)!.isGone = true
    else this.#server.failNext(fault)
  }

  failNextUpload(fault: Fault): void {
    this.#server.failNext(fault, isUpload)
  }

  points(run: string): StoredPoint[] {
    return this.#lines(run).flatMap(({ step, points }) =>
      points.map(([key, time, value]) => ({ key, step, time, value: Number(value) })),
    )
  }

  mentions(run: string): StoredMention[] {
    return this.#lines(run).flatMap(({ names }) => names ?? [])
  }

  storedUploads(run: string): StoredUpload[] {
    return this.runs.get(run)?.uploads.stored ?? []
  }

  #lines(run: string): Line[] {
    return (this.runs.get(run)?.lines ?? []).map((text) => JSON.parse(text))
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
    if (method === 'GET') {
      const run = this.runs.get(id!)
      const { lines, params, tags, outcome } = run ?? {}
      return run === undefined ? { status: 404 } : { status: 200, body: { lines, params, tags, outcome } }
    }
    if (isUpload(request)) return this.#takeUpload(request, id!)
    const content = JSON.parse(body.toString())
    if (what === undefined) {
      if (!this.runs.has(id!)) this.runs.set(id!, new StreamRun(content.nonce))
      return { status: 200 }
    }
    const run = this.runs.get(id!)
    if (run === undefined || run.isGone) return { status: 404, body: { error: 'run is gone' } }
    run.writes++
    if (what === 'rewind') return this.#branch(run, content)
    if (what !== 'lines') return run.take(what, content)
    return this.#take(run, content, body.length)
  }

  #takeUpload(request: FakeRequest, id: string): FakeAnswer {
    const run = this.runs.get(id)
    if (run === undefined || run.isGone) return { status: 404 }
    if (this.isFull) return { status: 507, body: { error: 'no space left' } }
    return run.uploads.take(request)
  }

  #branch(run: StreamRun, { seq, fromStep }: { seq: number; fromStep: number }): FakeAnswer {
    if (!run.branches.has(seq)) {
      const lines = run.lines.filter((text) => (JSON.parse(text) as Line).step < fromStep)
      run.branches.set(seq, { base: lines.length, lines })
      run.rewinds.set(seq, fromStep)
    }
    return { status: 200, body: { base: run.branches.get(seq)!.base } }
  }

  #take(
    run: StreamRun,
    { branch, offset, lines }: { branch: number; offset: number; lines: Line[] },
    bytes: number,
  ): FakeAnswer {
    const held = run.branches.get(branch)!.lines
    if (lines.length > OFFSET_LIMITS.lines || bytes > OFFSET_LIMITS.bytes) {
      this.oversize++
      return { status: 413 }
    }
    if (lines.some(({ points }) => points.some(([key]) => key === REFUSED_SERIES))) return { status: 400 }
    if (offset > held.length) this.gaps++
    const start = Math.min(offset, held.length)
    const texts = lines.map((line) => JSON.stringify(line))
    const overlap = held.slice(start, start + texts.length)
    if (overlap.some((text, index) => text !== texts[index])) {
      this.conflicts++
      return { status: 409, body: { error: 'lines differ' } }
    }
    held.push(...texts.slice(overlap.length))
    return { status: 200, body: { end: start + texts.length } }
  }
}
