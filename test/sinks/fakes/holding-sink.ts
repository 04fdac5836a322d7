/**
 * Sink of the offset fake that holds texts: each is a line that goes with the next rows, the end of the run or a beat.
 * Until then it stands in the cursor's state.
 */
import type { Batch, OpenResult, RunRecord, SinkState, WriteResult } from '../../../src/core/types.ts'
import { defineSink } from '../../../src/sinks/contract.ts'
import { type Line, OFFSET_LIMITS } from './offset-server.ts'
import offset, { OffsetSink } from './offset-sink.ts'

/** Texts that go with one request of rows. */
const MAX_HELD = 20
const TEXT_BYTES = 1_200

export default defineSink({
  ...offset,
  kind: 'holding',
  title: 'Holding fake',
  limits: {
    ...offset.limits,
    maxItems: OFFSET_LIMITS.lines - MAX_HELD,
    maxBytes: offset.limits.maxBytes - MAX_HELD * TEXT_BYTES,
    accountPerSecond: 200,
    beatMs: 15_000,
  },
  capabilities: { ...offset.capabilities, records: [...offset.capabilities.records, 'text'] },
  create: ({ run, options }) => new HoldingSink(run, options),
})

class HoldingSink extends OffsetSink {
  #held: readonly Line[] = []

  override async open(state: SinkState, signal: AbortSignal): Promise<OpenResult> {
    this.#held = (state?.held as Line[] | undefined) ?? []
    return await super.open(state, signal)
  }

  override async write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    return await this.#sendWith(this.linesOf(batch), signal)
  }

  async beat(signal: AbortSignal): Promise<WriteResult> {
    return await this.#sendWith([], signal)
  }

  override async writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    if (record.kind !== 'text') {
      // the end of the run, and lines of another stream, come after what is held
      const sent = await this.#sendWith([], signal)
      if (sent.status !== 'accepted') return sent
      const answer = await super.writeRecord(record, seq, signal)
      return answer.status === 'accepted' || answer.status === 'partial'
        ? { ...answer, state: this.state }
        : answer
    }
    const full = this.#held.length >= MAX_HELD ? await this.#sendWith([], signal) : undefined
    if (full !== undefined && full.status !== 'accepted') return full
    const { kind, name } = record
    this.#held = [...this.#held, { step: record.step ?? 0, points: [], names: { kind, name } }]
    return { status: 'accepted', state: this.state }
  }

  async #sendWith(lines: readonly Line[], signal: AbortSignal): Promise<WriteResult> {
    const answer = await this.send([...this.#held, ...lines], signal)
    if (answer.status !== 'accepted') return answer
    this.#held = []
    return { ...answer, state: this.state }
  }

  protected override get state(): SinkState {
    return { ...super.state, ...(this.#held.length > 0 && { held: this.#held }) }
  }
}
