/** Sink of the identity fake. Default export, so that other processes load it as a module. */
import type {
  Batch,
  OpenResult,
  RunInfo,
  RunRecord,
  Sink,
  Upload,
  WriteResult,
} from '../../../src/core/types.ts'
import { defineSink } from '../../../src/sinks/contract.ts'
import type { HttpClient } from '../../../src/sinks/http.ts'
import { IDENTITY_LIMITS } from './identity-server.ts'
import { connect, json, keyOf, numberText, partial, recordContent, sendUpload, success } from './wire.ts'

/** The keys of a point in JSON, its numbers and its time, each as long as it can be. */
const POINT_BYTES = 120

const identity = defineSink({
  kind: 'identity',
  title: 'Identity fake',
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:1', doc: 'Address of the fake server.' },
    token: { type: 'string', secret: true, env: ['TRACELET_FAKE_TOKEN'], doc: 'Its token.' },
  },
  limits: {
    maxItems: IDENTITY_LIMITS.points,
    maxBytes: IDENTITY_LIMITS.bytes - 2,
    // JSON writes a control character in six bytes.
    pointBytes: (nameBytes) => POINT_BYTES + 6 * nameBytes,
    inFlight: 2,
    lingerMs: 20,
    uploadsInFlight: 2,
  },
  capabilities: {
    shape: 'points',
    rewrite: 'identity',
    rewind: 'keep-first',
    records: ['params', 'tags', 'state', 'rewind', 'alert'],
    uploads: ['artifact', 'images', 'text', 'files', 'input'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 1000,
  },
  address: ({ url }) => url,
  account: ({ url }) => url,
  create: ({ run, options }) => new IdentitySink(run, options.url, options.token),
})
export default identity

class IdentitySink implements Sink {
  readonly #run: RunInfo
  readonly #client: HttpClient
  readonly #path: string

  constructor(run: RunInfo, url: string, token: string | undefined) {
    this.#run = run
    this.#client = connect(url, token)
    this.#path = `/runs/${encodeURIComponent(run.id)}`
  }

  async open(_state: unknown, signal: AbortSignal): Promise<OpenResult> {
    const made = success(
      this.#client,
      await this.#client.request('PUT', this.#path, json({ nonce: this.#run.nonce }), signal),
    )
    if ('body' in made) return { status: 'ready', url: `fake:${this.#path}` }
    return made.status === 'retry' || made.status === 'blocked'
      ? made
      : { status: 'blocked', scope: 'run', code: 'ERR_REFUSED', reason: 'the run cannot be made' }
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    if (batch.length === 0) return { status: 'accepted' }
    const points = Array.from({ length: batch.length }, (_, index) => ({
      key: keyOf(batch.describe(batch.series[index]!)),
      step: batch.step[index]!,
      time: batch.time[index]!,
      value: numberText(batch.value[index]!),
    }))
    const answer = success(
      this.#client,
      await this.#client.request('POST', `${this.#path}/points`, json(points), signal),
    )
    if (!('body' in answer)) return answer
    const { rejected, stored } = answer.body as {
      rejected: { index: number; reason: string }[]
      stored: number
    }
    if (stored + rejected.length !== batch.length) {
      return { status: 'retry', reason: `the server stored ${stored} of ${batch.length}` }
    }
    return partial(rejected)
  }

  async writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    const path = `${this.#path}/${record.kind}`
    const answer = success(
      this.#client,
      await this.#client.request('POST', path, json(recordContent(record, seq)), signal),
    )
    if (!('body' in answer)) return answer
    return partial((answer.body as { rejected: { index: number; reason: string }[] }).rejected)
  }

  upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    return sendUpload(this.#client, this.#path, upload, signal)
  }

  async stored(batch: Batch, signal: AbortSignal): Promise<boolean> {
    const reply = await this.#client.request('GET', this.#path, undefined, signal)
    const answer = success(this.#client, reply)
    if (!('body' in answer)) return false
    const { points } = answer.body as { points: { key: string; step: number; time: number; value: string }[] }
    const held = new Set(points.map(({ key, step, time, value }) => JSON.stringify([key, step, time, value])))
    return batch.series.every((series, index) =>
      held.has(
        JSON.stringify([
          keyOf(batch.describe(series)),
          batch.step[index],
          batch.time[index],
          numberText(batch.value[index]!),
        ]),
      ),
    )
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}
