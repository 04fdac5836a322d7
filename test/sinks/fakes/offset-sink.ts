/** Sink of the offset fake: whole rows as lines; the cursor's state is how many lines are there. */
import type {
  Batch,
  OpenResult,
  RunInfo,
  RunRecord,
  Sink,
  SinkState,
  WriteResult,
} from '../../../src/core/types.ts'
import { defineSink } from '../../../src/sinks/contract.ts'
import type { HttpClient } from '../../../src/sinks/http.ts'
import { type Line, OFFSET_LIMITS } from './offset-server.ts'
import { connect, json, keyOf, numberText, partial, recordContent, success } from './wire.ts'

const POINT_BYTES = 120
const ENVELOPE_BYTES = 100

const offset = defineSink({
  kind: 'offset',
  title: 'Offset fake',
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:1', doc: 'Address of the fake server.' },
    token: { type: 'string', secret: true, env: ['TRACELET_FAKE_TOKEN'], doc: 'Its token.' },
  },
  limits: {
    maxItems: OFFSET_LIMITS.lines,
    maxBytes: OFFSET_LIMITS.bytes - ENVELOPE_BYTES,
    pointBytes: (nameBytes) => POINT_BYTES + 6 * nameBytes,
    inFlight: 1,
    lingerMs: 20,
  },
  capabilities: {
    shape: 'rows',
    rewrite: 'offset',
    rewind: 'branch',
    records: ['params', 'tags', 'state', 'rewind'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 1000,
  },
  address: ({ url }) => url,
  account: ({ url }) => url,
  create: ({ run, options }) => new OffsetSink(run, options.url, options.token),
})
export default offset

class OffsetSink implements Sink {
  readonly #run: RunInfo
  readonly #client: HttpClient
  readonly #path: string
  /** Lines that are there for sure. */
  #lines = 0
  /** The stream they are in: that of the rewind with this sequence number, the first one for -1. */
  #branch = -1

  constructor(run: RunInfo, url: string, token: string | undefined) {
    this.#run = run
    this.#client = connect(url, token)
    this.#path = `/runs/${encodeURIComponent(run.id)}`
  }

  async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    this.#lines = (state?.lines as number | undefined) ?? 0
    this.#branch = (state?.branch as number | undefined) ?? -1
    const made = success(
      this.#client,
      await this.#client.request('PUT', this.#path, json({ nonce: this.#run.nonce }), signal),
    )
    if ('body' in made) return { status: 'ready', url: `fake:${this.#path}`, state: this.#state }
    return made.status === 'retry' || made.status === 'blocked'
      ? made
      : { status: 'blocked', scope: 'run', code: 'ERR_REFUSED', reason: 'the run cannot be made' }
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const rows = batch.rows!
    const lines: Line[] = []
    for (let row = 0; row + 1 < rows.length; row++) {
      const points: [string, number, string][] = []
      for (let at = rows[row]!; at < rows[row + 1]!; at++) {
        const key = keyOf(batch.describe(batch.series[at]!))
        points.push([key, batch.time[at]!, numberText(batch.value[at]!)])
      }
      lines.push({ step: batch.step[rows[row]!]!, points })
    }
    if (lines.length === 0) return { status: 'accepted' }
    const answer = success(
      this.#client,
      await this.#client.request(
        'POST',
        `${this.#path}/lines`,
        json({ branch: this.#branch, offset: this.#lines, lines }),
        signal,
      ),
    )
    if (!('body' in answer)) return answer
    const { end } = answer.body as { end?: number }
    if (end === undefined) return { status: 'retry', reason: 'the server does not say where the stream ends' }
    this.#lines = end
    return { status: 'accepted', state: this.#state }
  }

  async writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    const path = `${this.#path}/${record.kind}`
    const answer = success(
      this.#client,
      await this.#client.request('POST', path, json(recordContent(record, seq)), signal),
    )
    if (!('body' in answer)) return answer
    if (record.kind === 'rewind') {
      this.#branch = seq
      this.#lines = answer.body.base as number
      return { status: 'accepted', state: this.#state }
    }
    return partial((answer.body as { rejected: { index: number; reason: string }[] }).rejected)
  }

  get #state(): { lines: number; branch: number } {
    return { lines: this.#lines, branch: this.#branch }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}
