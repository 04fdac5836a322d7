/** A TCP proxy that loses answers: the server has done what was asked, and the client never hears of it. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export class CuttingProxy {
  readonly #server = createServer((client) => this.#join(client))
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  readonly #cuts: string[] = []
  /** Answers lost so far. */
  lost = 0

  private constructor(target: number) {
    this.#target = target
  }

  static async start(target: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get uri(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Loses the answer to the next request that has this text in its first bytes. */
  loseNext(text: string): void {
    this.#cuts.push(text)
  }

  async stop(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  #join(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    let cutting = false
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (bytes: Buffer) => {
      const at = this.#cuts.findIndex((text) => bytes.includes(text))
      if (at !== -1) {
        this.#cuts.splice(at, 1)
        cutting = true
      }
      server.write(bytes)
    })
    server.on('data', (bytes: Buffer) => {
      if (!cutting) client.write(bytes)
      else {
        this.lost++
        client.destroy()
      }
    })
  }
}
