/** The soak's sink of single points: several requests at once, repeated ones are harmless by what each point is. */
import type { Batch, OpenResult, Sink, WriteResult } from '../src/core/types.ts'
import { defineSink } from '../src/sinks/contract.ts'
import { HttpClient } from '../src/sinks/http.ts'
import { encode, read, SeriesNumbers } from './soak-wire.ts'

export default defineSink({
  kind: 'soak-identity',
  title: 'Fake that keeps points by series and step',
  options: { url: { type: 'string', default: '', doc: 'Address of the fake.' } },
  limits: { maxItems: 5000, maxBytes: 1 << 20, pointBytes: () => 20, inFlight: 4, lingerMs: 50 },
  capabilities: {
    shape: 'points',
    rewrite: 'identity',
    records: ['state'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 1000,
  },
  address: ({ url }) => url,
  account: ({ url }) => url,
  create: ({ options }) => new IdentitySink(options.url),
})

class IdentitySink implements Sink {
  readonly #client: HttpClient
  readonly #numbers = new SeriesNumbers()

  constructor(url: string) {
    this.#client = new HttpClient({ origin: url, connections: 4, headers: {}, secrets: [] })
  }

  async open(_state: unknown, signal: AbortSignal): Promise<OpenResult> {
    const answer = read(this.#client, await this.#client.request('GET', '/counts', undefined, signal))
    return 'body' in answer ? { status: 'ready' } : (answer as OpenResult)
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const bytes = encode(batch, 0, this.#numbers.of(batch))
    const body = { type: 'application/octet-stream', bytes }
    const answer = read(this.#client, await this.#client.request('POST', '/points', body, signal))
    if (!('body' in answer)) return answer
    // a success that says otherwise is none
    if (answer.body.taken === batch.length) return { status: 'accepted' }
    return {
      status: 'retry',
      code: 'ERR_SERVER',
      reason: `the fake took ${answer.body.taken} of ${batch.length} points`,
    }
  }

  async writeRecord(): Promise<WriteResult> {
    return { status: 'accepted' }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}
