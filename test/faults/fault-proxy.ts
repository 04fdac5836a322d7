/**
 * An HTTP proxy on loopback between a sink and its backend, which lets everything pass, does to it what it is told, or
 * what a seed tells it. It listens at one address all its life, also after it was down.
 *
 * What befalls a request is decided once, when its head has come: first the faults that were planned for it, in their
 * order, then the standing one, then the storm's.
 */
import { once } from 'node:events'
import {
  Agent,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../random.ts'

export type ProxyFault =
  /** The connection is reset before the backend has heard of the request. */
  | { readonly kind: 'reset' }
  /** The request is taken and never answered, the backend hears nothing: half open. */
  | { readonly kind: 'silent' }
  /** The backend is never asked; this is the answer. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** The backend does it; this is what the client hears instead. */
  | {
      readonly kind: 'answerInstead'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  /** The backend does it, and the connection is reset in place of the answer. */
  | { readonly kind: 'lostAnswer' }
  /** The backend does it, and the connection is reset in the middle of the answer. */
  | { readonly kind: 'cutAnswer' }
  /** The backend does it; half of the answer comes, and then nothing. */
  | { readonly kind: 'stalledAnswer' }
  /** The backend does it; half of the answer comes as if it were all. */
  | { readonly kind: 'shortAnswer' }
  /** The backend does it; its answer comes so much later. */
  | { readonly kind: 'slow'; readonly ms: number }
export type FaultKind = ProxyFault['kind']

export type Passing = {
  readonly method: string
  readonly path: string
  /** Of its body, by its head; 0 where that does not say. */
  readonly bytes: number
}
type Befalls = (passing: Passing) => boolean

export interface Storm {
  readonly seed: number
  /** Of the requests that meet a fault. */
  readonly share: number
  readonly faults: readonly ProxyFault[]
  readonly befalls?: Befalls
  /** Whether a fault that was drawn can befall this request; always by default. */
  readonly fits?: (fault: ProxyFault, passing: Passing) => boolean
}

export interface FaultProxyOptions {
  readonly tls?: { readonly key: string; readonly cert: string }
  /** 127.0.0.1 by default. */
  readonly targetHost?: string
}

const always: Befalls = () => true

export class FaultProxy {
  /** Requests that came, by `METHOD path` without the query. */
  readonly requests = new Map<string, number>()
  /** Faults that befell a request. */
  readonly injected = new Map<FaultKind, number>()
  readonly #target: URL
  readonly #options: FaultProxyOptions
  readonly #agent = new Agent({ keepAlive: true, timeout: 4_000 })
  readonly #sockets = new Set<Socket>()
  readonly #planned: { readonly fault: ProxyFault; readonly befalls: Befalls }[] = []
  #standing: { readonly fault: ProxyFault; readonly befalls: Befalls } | undefined
  #storm: { readonly random: Random; readonly plan: Storm } | undefined
  #server: Server | undefined
  #port = 0
  #watchers: { readonly befalls: Befalls; readonly resolve: () => void }[] = []

  private constructor(target: string, options: FaultProxyOptions) {
    this.#target = new URL(target)
    this.#options = options
  }

  /** @param target address of the backend, `http://127.0.0.1:5000`; it need not listen yet */
  static async start(target: string, options: FaultProxyOptions = {}): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, options)
    await proxy.up()
    return proxy
  }

  get uri(): string {
    return `${this.#options.tls ? 'https' : 'http'}://127.0.0.1:${this.#port}`
  }

  get port(): number {
    return this.#port
  }

  /** Of all kinds together. */
  get faults(): number {
    let sum = 0
    for (const count of this.injected.values()) sum += count
    return sum
  }

  get requestCount(): number {
    let sum = 0
    for (const count of this.requests.values()) sum += count
    return sum
  }

  /** The next such request meets it, once. */
  failNext(fault: ProxyFault, befalls: Befalls = always): void {
    this.#planned.push({ fault, befalls })
  }

  /** Every such request meets it until `heal()`. */
  failAll(fault: ProxyFault, befalls: Befalls = always): void {
    this.#standing = { fault, befalls }
  }

  /** From now on a seed decides. */
  storm(plan: Storm): void {
    this.#storm = { random: new Random(plan.seed), plan }
  }

  /** No more faults; requests that are held stay so. */
  heal(): void {
    this.#planned.length = 0
    this.#standing = undefined
    this.#storm = undefined
  }

  /** Resolves when the next such request has come. */
  met(befalls: Befalls = always): Promise<void> {
    return new Promise((resolve) => this.#watchers.push({ befalls, resolve }))
  }

  /** Nothing listens any more: connections are refused, those that are open are reset. */
  async down(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    server.close()
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await once(server, 'close')
  }

  /** Twice is harmless. */
  async up(): Promise<void> {
    if (this.#server !== undefined) return
    const serve = (incoming: IncomingMessage, response: ServerResponse) => {
      this.#pass(incoming, response).catch(() => response.destroy())
    }
    // a little longer than the client's own, as servers should
    const settings = { keepAliveTimeout: 5_000 }
    const { tls } = this.#options
    const server = tls ? createTlsServer({ ...settings, ...tls }, serve) : createServer(settings, serve)
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    await this.down()
    this.#agent.destroy()
  }

  #decide(passing: Passing): ProxyFault | undefined {
    const at = this.#planned.findIndex(({ befalls }) => befalls(passing))
    if (at !== -1) return this.#planned.splice(at, 1)[0]!.fault
    if (this.#standing?.befalls(passing)) return this.#standing.fault
    if (this.#storm === undefined) return undefined
    const { random, plan } = this.#storm
    if (plan.befalls !== undefined && !plan.befalls(passing)) return undefined
    if (random.next() >= plan.share) return undefined
    const fault = random.pick(plan.faults)
    return plan.fits?.(fault, passing) === false ? undefined : fault
  }

  async #pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = incoming
    const bytes = Number(headers['content-length'] ?? 0)
    const passing = { method, path: url.split('?')[0]!, bytes }
    count(this.requests, `${method} ${passing.path}`)
    const fault = this.#decide(passing)
    if (fault !== undefined) count(this.injected, fault.kind)
    this.#watchers = this.#watchers.filter(({ befalls, resolve }) => {
      const isMet = befalls(passing)
      if (isMet) resolve()
      return !isMet
    })
    switch (fault?.kind) {
      case 'reset':
        incoming.socket.resetAndDestroy()
        return
      case 'silent':
        incoming.resume()
        return
      case 'answer':
        incoming.resume()
        await once(incoming, 'end')
        response.writeHead(fault.status, fault.headers).end(fault.body)
        return
      default:
        await this.#forward(incoming, response, fault)
    }
  }

  async #forward(
    incoming: IncomingMessage,
    response: ServerResponse,
    fault: ProxyFault | undefined,
  ): Promise<void> {
    const { method, url, headers } = incoming
    const onward = request({
      host: this.#target.hostname,
      port: this.#target.port,
      agent: this.#agent,
      method,
      path: url,
      headers,
    })
    incoming.pipe(onward)
    // a client that gives up in the midst of its request must not leave half of one to the backend
    incoming.once('close', () => {
      if (!incoming.complete) onward.destroy()
    })
    let answer: IncomingMessage
    let body: Buffer
    try {
      ;[answer] = (await once(onward, 'response')) as [IncomingMessage]
      body = Buffer.concat((await answer.toArray()) as Buffer[])
    } catch {
      incoming.socket.resetAndDestroy()
      return
    }
    const { statusCode = 502 } = answer
    const sent = { ...answer.headers, 'content-length': String(body.length) }
    delete sent['transfer-encoding']
    switch (fault?.kind) {
      case 'lostAnswer':
        incoming.socket.resetAndDestroy()
        return
      case 'answerInstead':
        response.writeHead(fault.status, fault.headers).end(fault.body)
        return
      case 'cutAnswer':
      case 'stalledAnswer':
        // longer than anything that comes, so that an empty body is cut too
        response.writeHead(statusCode, { ...sent, 'content-length': String(body.length + 1) })
        response.write(body.subarray(0, body.length >> 1), () => {
          if (fault.kind === 'cutAnswer') incoming.socket.resetAndDestroy()
        })
        response.flushHeaders()
        return
      case 'shortAnswer': {
        const half = body.subarray(0, body.length >> 1)
        response.writeHead(statusCode, { ...sent, 'content-length': String(half.length) }).end(half)
        return
      }
      case 'slow':
        await sleep(fault.ms, undefined, { ref: false })
    }
    response.writeHead(statusCode, sent).end(body)
  }
}

function count<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
