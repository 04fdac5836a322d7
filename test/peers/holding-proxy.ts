/** An HTTP proxy that holds a chosen request at a chosen moment, for as long as its client lives. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Moment {
  readonly method: string
  readonly path: RegExp
  /** 'amid': some of its body has gone on to the server. 'answered': the server has answered, the client not heard. */
  readonly at: 'amid' | 'answered'
}

export class HoldingProxy {
  readonly #server = createServer((incoming, response) => this.#pass(incoming, response))
  readonly #target: number
  #moment: Moment | undefined
  #reached: (() => void) | undefined

  private constructor(target: number) {
    this.#target = target
  }

  static async start(target: number): Promise<HoldingProxy> {
    const proxy = new HoldingProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get uri(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Settles when the next such request is held. */
  hold(moment: Moment): Promise<void> {
    this.#moment = moment
    return new Promise((resolve) => (this.#reached = resolve))
  }

  async stop(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  #pass(incoming: IncomingMessage, response: ServerResponse): void {
    const { method, url = '', headers } = incoming
    const held = this.#moment
    const isHeld = held !== undefined && held.method === method && held.path.test(url)
    if (isHeld) this.#moment = undefined
    const outgoing = request(
      { host: '127.0.0.1', port: this.#target, method, path: url, headers },
      (answer) => {
        if (isHeld) {
          answer.resume()
          answer.once('end', () => this.#reached?.())
          return
        }
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    outgoing.on('error', () => response.destroy())
    incoming.on('close', () => {
      if (!incoming.complete) outgoing.destroy()
    })
    if (!isHeld || held.at !== 'amid') {
      incoming.pipe(outgoing)
      return
    }
    incoming.once('data', (bytes: Buffer) => {
      incoming.pause()
      outgoing.write(bytes)
      this.#reached?.()
    })
  }
}
