/** Connections to the stores behind a server, kept from one file of a run to the next. */
import type { HttpClient } from '../../http.ts'

/** Opens a client to the store behind the server; none of our credentials go there. Who asked closes it. */
export type OpenStore = (origin: string) => HttpClient

export class StoreDoors {
  readonly #open: OpenStore
  /** The last client that closes frees the connections: one of each stays open. */
  readonly #kept = new Map<string, HttpClient>()
  #isClosed = false

  constructor(open: OpenStore) {
    this.#open = open
  }

  readonly open: OpenStore = (origin) => {
    if (!this.#isClosed && !this.#kept.has(origin)) this.#kept.set(origin, this.#open(origin))
    return this.#open(origin)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const kept = [...this.#kept.values()]
    this.#kept.clear()
    await Promise.all(kept.map((client) => client.close()))
  }
}
