/** An HTTP server on loopback that answers as told and meets faults on request. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault } from '../harness.ts'

export interface FakeRequest {
  readonly method: string
  /** Parts of the path, decoded. */
  readonly path: readonly string[]
  readonly body: Buffer
  readonly authorization: string | undefined
}
export interface FakeAnswer {
  readonly status: number
  readonly body?: unknown
}

/** Faults of the transport and of the server; those that need to know what is stored are the store's own. */
export const HTTP_FAULTS: readonly Fault[] = [
  'cut',
  'lostAnswer',
  'tooMany',
  'unavailable',
  'serverError',
  'falseSuccess',
  'unauthorized',
  'hang',
]

export class FaultServer {
  requests = 0
  /** Between applying a request and its answer. */
  answersAfterMs: () => number = () => 0
  /** Called with each request when all of it has come; it is applied when this is over. */
  before: (request: FakeRequest) => Promise<void> | void = () => {}
  readonly #server: Server
  readonly #handle: (request: FakeRequest) => FakeAnswer
  readonly #meetsFaults: (request: FakeRequest) => boolean
  readonly #falseSuccess: unknown
  #fault: Fault | undefined
  #faultBefalls: (request: FakeRequest) => boolean

  /**
   * @param meetsFaults whether a planned fault befalls this request
   * @param falseSuccess body of a 200 that applied nothing
   */
  constructor(
    handle: (request: FakeRequest) => FakeAnswer,
    meetsFaults: (request: FakeRequest) => boolean,
    falseSuccess: unknown,
  ) {
    this.#handle = handle
    this.#meetsFaults = meetsFaults
    this.#faultBefalls = meetsFaults
    this.#falseSuccess = falseSuccess
    this.#server = createServer((request, response) => {
      this.#receive(request, response).catch(() => response.destroy())
    })
  }

  async listen(port = 0): Promise<string> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** @param befalls which request; default: those that the server is made for */
  failNext(fault: Fault, befalls: (request: FakeRequest) => boolean = this.#meetsFaults): void {
    this.#fault = fault
    this.#faultBefalls = befalls
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #receive(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const request: FakeRequest = {
      method: incoming.method!,
      path: incoming.url!.split('/').slice(1).map(decodeURIComponent),
      body: Buffer.concat(chunks),
      authorization: incoming.headers.authorization,
    }
    this.requests++
    await this.before(request)
    const fault = this.#fault !== undefined && this.#faultBefalls(request) ? this.#fault : undefined
    if (fault === undefined) {
      const answer = this.#handle(request)
      const delay = this.answersAfterMs()
      if (delay > 0) await sleep(delay)
      return send(response, answer)
    }
    this.#fault = undefined
    switch (fault) {
      case 'cut':
        response.destroy()
        return
      case 'lostAnswer':
        this.#handle(request)
        response.destroy()
        return
      case 'tooMany':
      case 'unavailable':
        response.setHeader('retry-after', '2')
        return send(response, { status: fault === 'tooMany' ? 429 : 503 })
      case 'serverError':
        response.writeHead(500, { 'content-type': 'text/html' }).end('<h1>Internal Server Error</h1>')
        return
      case 'falseSuccess':
        return send(response, { status: 200, body: this.#falseSuccess })
      case 'unauthorized':
        return send(response, { status: 401, body: { error: `no such key: ${request.authorization}` } })
      case 'hang':
        return
      default:
        throw new Error(`not a fault of an HTTP server: ${fault}`)
    }
  }
}

function send(response: ServerResponse, { status, body }: FakeAnswer): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}))
}
