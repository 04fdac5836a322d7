/**
 * One client at one server for one run: the server's objects that instructions name, and the messages to them.
 *
 *  A1  The repository is taken first and held to the end: the server keeps it weakly, and without it no lock is given.
 *  A2  Objects go by handlers of our choosing. After a restart of the server, or when it has forgotten us, the same
 *      handlers are bound again, so that a message that was not acknowledged is sent again as it is.
 *  A3  The lock is always forced: asked without force, the server waits for it with everybody else's requests. That
 *      nobody else of ours writes the run is the pipeline's guard.
 *  A4  Messages are answered in order; all behind one that failed are sent again. Everything is harmless twice.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { WallMs } from '../../core/types.ts'
import type { Refusal } from '../http.ts'
import { type AimConnection, type AimReply, unreachable } from './connection.ts'
import { isForgotten, isMissing, refusalOf } from './exceptions.ts'
import type { AimPath } from './message.ts'
import { Pace } from './pace.ts'
import { packTree } from './packed.ts'
import type { AimSocket, SocketAnswer } from './socket.ts'
import { type AimTrace, readTraces } from './traces.ts'
import type { AimTree } from './tree.ts'
import { unpackTree } from './unpack.ts'

/** 'run': its lock, its row of properties and its sign of life, which one session of a run takes. */
export type SessionParts = readonly ('run' | 'files')[]

export interface SessionOptions {
  readonly runHash: string
  readonly createdAt: WallMs
  /** Default: all. */
  readonly parts?: SessionParts
}

/** More gain nothing: the server does one after the other. */
const MAX_UNDER_WAY = 4
/** The server drops everything of a client that it has not heard of for 300 s. */
const HEARTBEAT_MS = 60_000
const CLOSE_MS = 2_000

export class AimSession {
  readonly runHash: string
  /** What instructions name; short, since every one of them repeats it. */
  readonly handlers: {
    readonly meta: string
    readonly seqs: string
    readonly files: string
    readonly props: string
  }
  /** By `traceKey`: the server's bookkeeping of each sequence, kept up to date by who writes it. */
  readonly traces = new Map<string, AimTrace>()
  readonly #connection: AimConnection
  readonly #options: Required<SessionOptions>
  readonly #client = randomUUID()
  readonly #own: string
  readonly #pace = new Pace()
  #socket: AimSocket | undefined
  #isNew = false
  #attributes: AimTree = {}
  #heardAt = Number.NEGATIVE_INFINITY
  /** The server may have nothing of us any more. */
  #isLost = false

  constructor(connection: AimConnection, options: SessionOptions) {
    this.#connection = connection
    this.#options = { parts: ['run', 'files'], ...options }
    this.runHash = options.runHash
    // handlers of all clients are in one table there
    this.#own = randomBytes(5).toString('hex')
    const of = (kind: string) => `${this.#own}${kind}`
    this.handlers = { meta: of('m'), seqs: of('s'), files: of('f'), props: of('p') }
  }

  /** There was no such run when the session was opened. */
  get isNew(): boolean {
    return this.#isNew
  }

  /** What the run's attributes were when the session was opened. */
  get attributes(): AimTree {
    return this.#attributes
  }

  /** So large should messages be now. */
  get messageBytes(): number {
    return this.#pace.messageBytes
  }

  async open(signal: AbortSignal): Promise<Refusal | undefined> {
    const greeted = await this.#call(this.#connection.get(`/client/connect/${this.#client}/`, signal))
    if ('refusal' in greeted) return greeted.refusal
    const bound = await this.#bind(signal)
    if (bound !== undefined) return bound
    const attributes = await this.#read(this.handlers.meta, 'collect', [this.place('attrs')], signal)
    this.#isNew = 'exception' in attributes && isMissing(attributes.exception)
    const answer = this.#settled(attributes)
    if ('value' in answer) this.#attributes = answer.value
    else if (!this.#isNew) return answer.refusal
    const traces = await this.#read(this.handlers.meta, 'collect', [this.place('traces')], signal)
    if ('exception' in traces && isMissing(traces.exception)) return undefined
    const collected = this.#settled(traces)
    if ('refusal' in collected) return collected.refusal
    for (const [key, trace] of readTraces(collected.value)) this.traces.set(key, trace)
    return undefined
  }

  /** In the run's own part of `meta`. */
  place(...path: AimPath): AimPath {
    return ['meta', 'chunks', this.runHash, ...path]
  }

  /** In order. Stops at the first that is refused, or whose answer does not come: then all of them come again (A4). */
  async send(messages: Iterable<Buffer>, signal: AbortSignal): Promise<Refusal | undefined> {
    const ready = await this.#ready(signal)
    if ('refusal' in ready) return ready.refusal
    const underWay: Promise<SocketAnswer>[] = []
    for (const message of messages) {
      if (underWay.length >= MAX_UNDER_WAY) {
        const refusal = this.#judged(await aborted(underWay.shift()!, signal))
        if (refusal !== undefined) return refusal
      }
      underWay.push(this.#sendOne(ready.socket, message))
    }
    for (const answer of underWay) {
      const refusal = this.#judged(await aborted(answer, signal))
      if (refusal !== undefined) return refusal
    }
    return undefined
  }

  /** A method whose result is of interest, or that must not be pipelined. */
  async read(
    handler: string,
    method: string,
    args: readonly AimTree[],
    signal: AbortSignal,
  ): Promise<{ readonly value: AimTree } | { readonly refusal: Refusal }> {
    const back = await this.#stayKnown(signal)
    if (back !== undefined) return { refusal: back }
    return this.#settled(await this.#read(handler, method, args, signal))
  }

  /** A sign of life, when one is due. */
  async beat(signal: AbortSignal): Promise<Refusal | undefined> {
    return this.#stayKnown(signal)
  }

  /** Frees what the server holds for us, as far as it answers soon. Never throws. */
  async close(): Promise<void> {
    this.#drop()
    if (this.#heardAt === Number.NEGATIVE_INFINITY) return
    const signal = AbortSignal.timeout(CLOSE_MS)
    const release = (handler: string) =>
      this.#connection.get(`/tracking/${this.#client}/release-resource/${handler}/`, signal)
    if (this.#hasRun) await this.#read(this.#of('l'), 'release', [false], signal)
    const handlers = this.#resources().map(({ handler }) => handler)
    for (const handler of handlers.reverse()) {
      const released = await release(handler)
      if ('refusal' in released) return
    }
    await this.#connection.get(`/client/disconnect/${this.#client}/`, signal)
  }

  // ── the server's objects ─────────────────────────────────────────────────────────────────────────────

  get #hasRun(): boolean {
    return this.#options.parts.includes('run')
  }

  #of(kind: string): string {
    return `${this.#own}${kind}`
  }

  /** In the order in which they are taken (A1). */
  #resources(): { readonly handler: string; readonly type: string; readonly args: AimTree }[] {
    const { runHash, handlers } = this
    const { parts, createdAt } = this.#options
    const tree = (name: string) => ({ name, sub: runHash, read_only: false, index: false, timeout: null })
    const run = { run_hash: runHash }
    const lock = { handler: this.#of('l'), type: 'Lock', args: run }
    const props = { hash_: runHash, read_only: false, created_at: createdAt / 1000 }
    return [
      { handler: this.#of('r'), type: 'Repo', args: {} },
      ...(this.#hasRun ? [lock] : []),
      { handler: handlers.meta, type: 'TreeView', args: tree('meta') },
      ...(parts.includes('files') ? [{ handler: handlers.files, type: 'FileManager', args: {} }] : []),
      ...(this.#hasRun
        ? [
            { handler: this.#of('h'), type: 'RunHeartbeat', args: run },
            { handler: handlers.props, type: 'StructuredRun', args: props },
          ]
        : []),
      { handler: handlers.seqs, type: 'TreeView', args: tree('seqs') },
    ]
  }

  async #bind(signal: AbortSignal): Promise<Refusal | undefined> {
    const heard = await this.#heartbeat(signal)
    if (heard !== undefined) return heard
    for (const { handler, type, args } of this.#resources()) {
      const request = {
        resource_handler: handler,
        resource_type: type,
        // the server takes an empty text for no arguments
        args: Object.keys(args as object).length === 0 ? '' : packTree(args).toString('base64'),
      }
      const answer = await this.#call(
        this.#connection.post(`/tracking/${this.#client}/get-resource/`, request, signal),
      )
      if ('refusal' in answer) return answer.refusal
      if (type !== 'Lock') continue
      const locked = this.#settled(await this.#read(handler, 'lock', [true], signal))
      if ('refusal' in locked) return locked.refusal
    }
    return undefined
  }

  async #comeBack(signal: AbortSignal): Promise<Refusal | undefined> {
    const known = await this.#call(this.#connection.get(`/client/reconnect/${this.#client}/`, signal))
    if ('refusal' in known) return known.refusal
    const refusal = await this.#bind(signal)
    if (refusal === undefined) this.#isLost = false
    return refusal
  }

  async #heartbeat(signal: AbortSignal): Promise<Refusal | undefined> {
    const heard = await this.#call(this.#connection.get(`/client/heartbeat/${this.#client}/`, signal))
    if ('refusal' in heard) return heard.refusal
    this.#heardAt = performance.now()
    return undefined
  }

  async #stayKnown(signal: AbortSignal): Promise<Refusal | undefined> {
    if (this.#isLost) return this.#comeBack(signal)
    return performance.now() - this.#heardAt < HEARTBEAT_MS ? undefined : this.#heartbeat(signal)
  }

  // ── the socket ───────────────────────────────────────────────────────────────────────────────────────

  async #ready(signal: AbortSignal): Promise<{ readonly socket: AimSocket } | { readonly refusal: Refusal }> {
    // one that was closed while nothing was sent may have been closed by a server that was started anew
    if (this.#socket?.isOpen === false) this.#isLost = true
    const refusal = await this.#stayKnown(signal)
    if (refusal !== undefined) return { refusal }
    if (this.#socket?.isOpen) return { socket: this.#socket }
    const opened = await this.#connection.socket(`/tracking/${this.#client}/write-instruction/`, signal)
    if ('socket' in opened) this.#socket = opened.socket
    return opened
  }

  async #sendOne(socket: AimSocket, bytes: Buffer): Promise<SocketAnswer> {
    this.#pace.begin(performance.now())
    const answer = await socket.send(bytes)
    this.#pace.end(performance.now(), bytes.length)
    return answer
  }

  #judged(answer: SocketAnswer): Refusal | undefined {
    if (answer.status === 'ok') return undefined
    this.#drop()
    if (answer.status === 'exception') return this.#refusal(answer.exception)
    return unreachable(this.#connection.redact(`Aim: ${answer.reason}`))
  }

  /** The next call opens another, and binds everything again (A2). */
  #drop(): void {
    this.#isLost = true
    this.#socket?.close()
    this.#socket = undefined
  }

  // ── answers ──────────────────────────────────────────────────────────────────────────────────────────

  #read(handler: string, method: string, args: readonly AimTree[], signal: AbortSignal): Promise<AimReply> {
    const request = {
      resource_handler: handler,
      method_name: method,
      args: packTree(args).toString('base64'),
    }
    return this.#connection.post(`/tracking/${this.#client}/read-instruction/`, request, signal)
  }

  async #call(reply: Promise<AimReply>): Promise<{ readonly bytes: Buffer } | { readonly refusal: Refusal }> {
    const answer = await reply
    return 'exception' in answer ? { refusal: this.#refusal(answer.exception) } : answer
  }

  #settled(answer: AimReply): { readonly value: AimTree } | { readonly refusal: Refusal } {
    if ('refusal' in answer) return answer
    if ('exception' in answer) return { refusal: this.#refusal(answer.exception) }
    try {
      return { value: unpackTree(answer.bytes) }
    } catch {
      return { refusal: { status: 'retry', code: 'ERR_SERVER', reason: "Aim's answer cannot be read" } }
    }
  }

  #refusal(exception: Parameters<typeof refusalOf>[0]): Refusal {
    if (isForgotten(exception)) {
      this.#isLost = true
      return unreachable('Aim has forgotten this client')
    }
    return refusalOf(exception, (text) => this.#connection.redact(text))
  }
}

function aborted(answer: Promise<SocketAnswer>, signal: AbortSignal): Promise<SocketAnswer> {
  if (signal.aborted) return Promise.resolve({ status: 'closed', reason: 'given up' })
  return new Promise((resolve) => {
    const giveUp = () => resolve({ status: 'closed', reason: 'given up' })
    signal.addEventListener('abort', giveUp, { once: true })
    void answer.then((settled) => {
      signal.removeEventListener('abort', giveUp)
      resolve(settled)
    })
  })
}
