/** The soak's sink of whole rows: one request at a time, each says at which row of the stream it begins. */
import type { Batch, OpenResult, Sink, SinkState, WriteResult } from '../src/core/types.ts'
import { defineSink } from '../src/sinks/contract.ts'
import { HttpClient } from '../src/sinks/http.ts'
import { encode, read, SeriesNumbers } from './soak-wire.ts'

export default defineSink({
  kind: 'soak-offset',
  title: 'Fake that keeps a stream of rows',
  options: { url: { type: 'string', default: '', doc: 'Address of the fake.' } },
  limits: { maxItems: 2000, maxBytes: 1 << 20, pointBytes: () => 24, inFlight: 1, lingerMs: 50 },
  capabilities: {
    shape: 'rows',
    rewrite: 'offset',
    records: ['state'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 1000,
  },
  address: ({ url }) => url,
  account: ({ url }) => url,
  create: ({ options }) => new OffsetSink(options.url),
})

class OffsetSink implements Sink {
  readonly #client: HttpClient
  readonly #numbers = new SeriesNumbers()
  /** Rows that are there for sure. */
  #rows = 0

  constructor(url: string) {
    this.#client = new HttpClient({ origin: url, connections: 1, headers: {}, secrets: [] })
  }

  async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    this.#rows = (state?.rows as number | undefined) ?? 0
    const answer = read(this.#client, await this.#client.request('GET', '/counts', undefined, signal))
    return 'body' in answer ? { status: 'ready', state: { rows: this.#rows } } : (answer as OpenResult)
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const bytes = encode(batch, this.#rows, this.#numbers.of(batch))
    const body = { type: 'application/octet-stream', bytes }
    const answer = read(this.#client, await this.#client.request('POST', '/rows', body, signal))
    if (!('body' in answer)) return answer
    const { end } = answer.body as { end?: number }
    if (end !== this.#rows + batch.rows!.length - 1)
      return { status: 'retry', code: 'ERR_SERVER', reason: `the fake says that the stream ends at ${end}` }
    this.#rows = end
    return { status: 'accepted', state: { rows: end } }
  }

  async writeRecord(): Promise<WriteResult> {
    return { status: 'accepted' }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}
