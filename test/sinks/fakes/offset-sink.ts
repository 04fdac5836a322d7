/**
 * Sink of the offset fake: whole rows as lines; the cursor's state is how many lines are there. A record that rows name
 * is a line of its own.
 */
import type {
  Batch,
  OpenResult,
  RunInfo,
  RunRecord,
  Sink,
  SinkState,
  Upload,
  WriteResult,
} from '../../../src/core/types.ts'
import { defineSink } from '../../../src/sinks/contract.ts'
import type { HttpClient } from '../../../src/sinks/http.ts'
import { type Line, OFFSET_LIMITS } from './offset-server.ts'
import { connect, json, keyOf, numberText, partial, recordContent, sendUpload, success } from './wire.ts'

/** Of a point's time and value, each as long as it can be, and what holds them together. */
const POINT_BYTES = 80
/** Of a line without its points, its step as long as it can be. */
const LINE_BYTES = 60
const ENVELOPE_BYTES = 100
const LINGER_MS = 20

const offset = defineSink({
  kind: 'offset',
  title: 'Offset fake',
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:1', doc: 'Address of the fake server.' },
    token: { type: 'string', secret: true, env: ['TRACELET_FAKE_TOKEN'], doc: 'Its token.' },
    padding: { type: 'number', default: 0, unit: 'bytes', doc: 'What each line carries beside its points.' },
    lingerMs: {
      type: 'number',
      default: LINGER_MS,
      unit: 'ms',
      doc: 'How long a batch may wait to be filled.',
    },
  },
  limits: {
    maxItems: OFFSET_LIMITS.lines,
    maxBytes: OFFSET_LIMITS.bytes - ENVELOPE_BYTES,
    pointBytes: (nameBytes) => POINT_BYTES + 6 * nameBytes,
    rowBytes: LINE_BYTES,
    inFlight: 1,
    lingerMs: LINGER_MS,
  },
  capabilities: {
    shape: 'rows',
    rewrite: 'offset',
    rewind: 'branch',
    records: ['params', 'tags', 'state', 'rewind', 'alert', 'input'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 1000,
  },
  address: ({ url }) => url,
  account: ({ url }) => url,
  tune: ({ padding, lingerMs }) => ({ rowBytes: LINE_BYTES + padding, lingerMs }),
  create: ({ run, options }) => new OffsetSink(run, options),
})
export default offset

interface OffsetOptions {
  readonly url: string
  readonly token: string | undefined
  readonly padding: number
}

export class OffsetSink implements Sink {
  readonly #run: RunInfo
  readonly #client: HttpClient
  readonly #path: string
  readonly #padding: string
  /** Lines that are there for sure. */
  #lines = 0
  /** The stream they are in: that of the rewind with this sequence number, the first one for -1. */
  #branch = -1
  /** Lines of a batch that has not come yet. */
  #prepared: { readonly batch: Batch; readonly lines: readonly Line[] } | undefined

  constructor(run: RunInfo, { url, token, padding }: OffsetOptions) {
    this.#run = run
    this.#client = connect(url, token)
    this.#path = `/runs/${encodeURIComponent(run.id)}`
    this.#padding = 'x'.repeat(padding)
  }

  async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    this.#lines = (state?.lines as number | undefined) ?? 0
    this.#branch = (state?.branch as number | undefined) ?? -1
    const made = success(
      this.#client,
      await this.#client.request('PUT', this.#path, json({ nonce: this.#run.nonce }), signal),
    )
    if ('body' in made) return { status: 'ready', url: `fake:${this.#path}`, state: this.state }
    return made.status === 'retry' || made.status === 'blocked'
      ? made
      : { status: 'blocked', scope: 'run', code: 'ERR_REFUSED', reason: 'the run cannot be made' }
  }

  prepare(batch: Batch): void {
    this.#prepared = { batch, lines: this.linesOf(batch) }
  }

  async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const lines = this.#prepared?.batch === batch ? this.#prepared.lines : this.linesOf(batch)
    return await this.send(lines, signal)
  }

  protected linesOf(batch: Batch): Line[] {
    const rows = batch.rows!
    const lines: Line[] = []
    for (let row = 0; row + 1 < rows.length; row++) {
      const points: [string, number, string][] = []
      for (let at = rows[row]!; at < rows[row + 1]!; at++) {
        const key = keyOf(batch.describe(batch.series[at]!))
        points.push([key, batch.time[at]!, numberText(batch.value[at]!)])
      }
      const padding = this.#padding
      lines.push({ step: batch.step[rows[row]!]!, points, ...(padding !== '' && { padding }) })
    }
    return lines
  }

  protected async send(lines: readonly Line[], signal: AbortSignal): Promise<WriteResult> {
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
    return { status: 'accepted', state: this.state }
  }

  async writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    if (record.kind === 'artifact') {
      const { kind, name } = record
      return await this.send([{ step: 0, points: [], names: { kind, name } }], signal)
    }
    const path = `${this.#path}/${record.kind}`
    const answer = success(
      this.#client,
      await this.#client.request('POST', path, json(recordContent(record, seq)), signal),
    )
    if (!('body' in answer)) return answer
    if (record.kind === 'rewind') {
      this.#branch = seq
      this.#lines = answer.body.base as number
      return { status: 'accepted', state: this.state }
    }
    return partial((answer.body as { rejected: { index: number; reason: string }[] }).rejected)
  }

  upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    return sendUpload(this.#client, this.#path, upload, signal)
  }

  protected get state(): SinkState {
    return { lines: this.#lines, branch: this.#branch }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }
}
