/**
 * The soak's two fakes, a process of their own: each has a port, meets faults by chance (seeded), and is away for a
 * while now and then. argv: its orders as JSON.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Random } from '../test/random.ts'
import { type Counts, IdentityStore, OffsetStore } from './soak-counts.ts'
import { decode } from './soak-wire.ts'

export interface ServerOrders {
  readonly seed: number
  /** Share of the requests that meet a fault. */
  readonly faults: number
  readonly outageEveryMs: number
  readonly outageMs: number
}
export type ToFakes = 'calm' | 'count'
export type FromFakes =
  | { readonly ports: readonly number[] }
  | { readonly counts: Readonly<Record<string, FakeCounts>> }
export interface FakeCounts extends Counts {
  readonly faults: number
  readonly outages: number
}

const FAULTS = ['cut', 'lost answer', '429', '500', '503', 'false success', 'slow'] as const
const SLOW_MS = 2000

class Fake {
  readonly #store: IdentityStore | OffsetStore
  readonly #random: Random
  readonly #orders: ServerOrders
  readonly #server: Server
  #faults = 0
  #outages = 0
  #isCalm = false
  #timer: NodeJS.Timeout | undefined

  constructor(store: IdentityStore | OffsetStore, orders: ServerOrders, seed: number) {
    this.#store = store
    this.#orders = orders
    this.#random = new Random(seed)
    this.#server = createServer((request, response) => this.#receive(request, response))
  }

  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
    return (this.#server.address() as AddressInfo).port
  }

  /** Is away for `outageMs` at the end of each `outageEveryMs`. */
  plan(port: number, firstAfterMs: number): void {
    const { outageEveryMs, outageMs } = this.#orders
    this.#timer = setTimeout(() => {
      if (this.#isCalm) return
      this.#outages++
      this.#server.close()
      this.#server.closeAllConnections()
      this.#timer = setTimeout(() => {
        void this.listen(port)
        this.plan(port, outageEveryMs - outageMs)
      }, outageMs)
    }, firstAfterMs)
  }

  /** No more faults: what is left may be delivered. */
  async calm(port: number): Promise<void> {
    this.#isCalm = true
    clearTimeout(this.#timer)
    if (!this.#server.listening) await this.listen(port)
  }

  get counts(): FakeCounts {
    return { ...this.#store.counts, faults: this.#faults, outages: this.#outages }
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    request.on('error', () => response.destroy())
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.method === 'GET') return reply(response, 200, {})
      // a copy of its own: its columns must be aligned
      const body = Buffer.from(new ArrayBuffer(chunks.reduce((sum, { length }) => sum + length, 0)))
      let at = 0
      for (const chunk of chunks) at += chunk.copy(body, at)
      this.#answer(body, response)
    })
  }

  #answer(body: Buffer, response: ServerResponse): void {
    const meets = !this.#isCalm && this.#random.next() < this.#orders.faults
    if (meets) this.#faults++
    const take = () => this.#store.take(decode(body))
    switch (meets ? this.#random.pick(FAULTS) : undefined) {
      case undefined:
        return reply(response, 200, take())
      case 'cut':
        return void response.destroy()
      case 'lost answer':
        take()
        return void response.destroy()
      case '429':
        response.setHeader('retry-after', '1')
        return reply(response, 429, {})
      case '500':
        return reply(response, 500, { error: 'out of order' })
      case '503':
        response.setHeader('retry-after', '1')
        return reply(response, 503, {})
      case 'false success':
        return reply(response, 200, { error: 'read-only' })
      case 'slow': {
        const answer = take()
        setTimeout(() => reply(response, 200, answer), SLOW_MS)
      }
    }
  }
}

function reply(response: ServerResponse, status: number, answer: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
}

const orders = JSON.parse(process.argv[2]!) as ServerOrders
const fakes: Record<string, Fake> = {
  identity: new Fake(new IdentityStore(), orders, orders.seed),
  offset: new Fake(new OffsetStore(), orders, orders.seed + 1),
}
const ports = await Promise.all(Object.values(fakes).map((fake) => fake.listen()))
for (const [index, fake] of Object.values(fakes).entries())
  fake.plan(ports[index]!, (orders.outageEveryMs - orders.outageMs) / (1 + index))
process.on('disconnect', () => process.exit())
process.on('message', async (message: ToFakes) => {
  if (message === 'calm')
    await Promise.all(Object.values(fakes).map((fake, index) => fake.calm(ports[index]!)))
  const counts = Object.fromEntries(Object.entries(fakes).map(([name, fake]) => [name, fake.counts]))
  process.send!({ counts } satisfies FromFakes)
})
process.send!({ ports } satisfies FromFakes)
