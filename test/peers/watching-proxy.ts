/**
 * An HTTP proxy that watches: when each request of points was under way, and how many points it brought. It sees
 * a request later and its answer earlier than the client does, so pauses between requests look longer here than
 * they are.
 */
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A `log-batch` with points; times in ms of the monotonic clock. */
export interface WatchedBatch {
  readonly runId: string
  readonly points: number
  readonly beganAt: number
  readonly endedAt: number
}

export class WatchingProxy {
  readonly batches: WatchedBatch[] = []
  readonly #server = createServer((request, response) => {
    void this.#pass(request, response)
  })
  readonly #agent = new Agent({ keepAlive: true, timeout: 4_000 })
  readonly #target: number

  private constructor(target: number) {
    this.#target = target
  }

  static async start(targetPort: number): Promise<WatchingProxy> {
    const proxy = new WatchingProxy(targetPort)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get uri(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The batches of one run, in the order they began. */
  of(runId: string): WatchedBatch[] {
    return this.batches.filter((batch) => batch.runId === runId).sort((a, b) => a.beganAt - b.beganAt)
  }

  async stop(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    this.#agent.destroy()
    await once(this.#server, 'close')
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const beganAt = performance.now()
    const body = Buffer.concat((await request.toArray()) as Buffer[])
    const { method, url: path, headers } = request
    const onward = send(
      {
        host: '127.0.0.1',
        port: this.#target,
        agent: this.#agent,
        method,
        path,
        headers: { ...headers, 'content-length': body.length },
      },
      (answer) => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      },
    )
    onward.on('error', () => response.destroy())
    onward.end(body)
    if (!path?.endsWith('/runs/log-batch')) return
    const { run_id: runId, metrics } = JSON.parse(body.toString()) as { run_id: string; metrics?: unknown[] }
    if (!metrics?.length) return
    await once(response, 'close')
    this.batches.push({ runId, points: metrics.length, beganAt, endedAt: performance.now() })
  }
}

/** Share of the time from the first batch's begin to the last one's end in which at least one was under way. */
export function busyShare(batches: readonly WatchedBatch[]): number {
  const first = batches[0]
  if (first === undefined) return 0
  let idleMs = 0
  let busyUntil = first.beganAt
  for (const { beganAt, endedAt } of batches) {
    idleMs += Math.max(0, beganAt - busyUntil)
    busyUntil = Math.max(busyUntil, endedAt)
  }
  return 1 - idleMs / (busyUntil - first.beganAt)
}
