/**
 * A backend that keeps a stream of lines per run. A request says at which line it begins: lines that are there
 * already are compared, the others appended. A gap is rebased: the lines go to the end of what there is.
 */
import type { Fault, StoredPoint } from '../harness.ts'
import { type FakeAnswer, type FakeRequest, FaultServer } from './fault-server.ts'
import { RemoteRun } from './remote-runs.ts'

export const OFFSET_LIMITS = { lines: 200, bytes: 256 * 1024 }
/** The server refuses any request that holds this series, without saying why. */
export const REFUSED_SERIES = 'refused by the server'

/** One row: its step, and [key, time, value as text] of each of its points. */
export interface Line {
  readonly step: number
  readonly points: readonly (readonly [key: string, time: number, value: string])[]
}

class StreamRun extends RemoteRun {
  readonly lines: string[] = []
  /** Requests that brought lines or records. */
  writes = 0
}

export class OffsetServer {
  readonly runs = new Map<string, StreamRun>()
  readonly token: string | undefined
  oversize = 0
  /** Requests that began behind the end, and lines that came again with another content. */
  gaps = 0
  conflicts = 0
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

  points(run: string): StoredPoint[] {
    return (this.runs.get(run)?.lines ?? []).flatMap((text) => {
      const line = JSON.parse(text) as Line
      return line.points.map(([key, time, value]) => ({ key, step: line.step, time, value: Number(value) }))
    })
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }

  #answer({ method, path, body, authorization }: FakeRequest): FakeAnswer {
    if (this.token !== undefined && authorization !== `Bearer ${this.token}`) {
      return { status: 401, body: { error: 'unknown token' } }
    }
    const [, id, what] = path
    if (method === 'GET') {
      const run = this.runs.get(id!)
      const { lines, params, tags, outcome } = run ?? {}
      return run === undefined ? { status: 404 } : { status: 200, body: { lines, params, tags, outcome } }
    }
    const content = JSON.parse(body.toString())
    if (what === undefined) {
      if (!this.runs.has(id!)) this.runs.set(id!, new StreamRun(content.nonce))
      return { status: 200 }
    }
    const run = this.runs.get(id!)
    if (run === undefined || run.isGone) return { status: 404, body: { error: 'run is gone' } }
    run.writes++
    if (what !== 'lines') return run.take(what, content)
    return this.#take(run, content, body.length)
  }

  #take(run: StreamRun, { offset, lines }: { offset: number; lines: Line[] }, bytes: number): FakeAnswer {
    if (lines.length > OFFSET_LIMITS.lines || bytes > OFFSET_LIMITS.bytes) {
      this.oversize++
      return { status: 413 }
    }
    if (lines.some(({ points }) => points.some(([key]) => key === REFUSED_SERIES))) return { status: 400 }
    if (offset > run.lines.length) this.gaps++
    const start = Math.min(offset, run.lines.length)
    const texts = lines.map((line) => JSON.stringify(line))
    const overlap = run.lines.slice(start, start + texts.length)
    if (overlap.some((text, index) => text !== texts[index])) {
      this.conflicts++
      return { status: 409, body: { error: 'lines differ' } }
    }
    run.lines.push(...texts.slice(overlap.length))
    return { status: 200, body: { end: start + texts.length } }
  }
}
