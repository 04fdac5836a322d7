/** Sinks of one offline run in a folder that goes with the test, and what its file holds. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { resolveOptions } from '../../../../src/core/options.ts'
import type {
  Batch,
  RunInfo,
  RunRecord,
  Series,
  Sink,
  SinkState,
  WriteResult,
} from '../../../../src/core/types.ts'
import { wandbOffline } from '../../../../src/sinks/wandb/offline/sink.ts'
import type { OfflineState } from '../../../../src/sinks/wandb/offline/state.ts'
import { temporaryFolder } from '../../../run/program.ts'
import { logsOf, type ReadRecord, type Row, readLog, rowsOf } from './read-log.ts'

export const CREATED = 1_700_000_000_123
const { signal } = new AbortController()

/** Step, and values by series. */
export type GivenRow = readonly [step: number, values: Readonly<Record<string, number>>]

export class OfflineBench {
  readonly dir: string
  readonly run: RunInfo
  readonly notices: string[] = []
  sink!: Sink
  /** As the last answer left it. */
  state: SinkState
  readonly #given: Readonly<Record<string, unknown>>
  readonly #series = new Map<string, Series>()
  #seq = 0

  constructor(context: TestContext, given: Readonly<Record<string, unknown>> = {}) {
    const folder = temporaryFolder(context)
    this.dir = join(folder, 'place')
    this.#given = { dir: this.dir, ...given }
    this.run = {
      ...{ id: 'run1', name: 'a run', project: 'lab', experiment: 'default', createdAt: CREATED },
      ...{ nonce: '0123456789abcdef01234567', folder: join(folder, 'run') },
    }
    mkdirSync(this.run.folder)
    context.after(() => this.sink?.close())
  }

  /** As a new process would; 'forgotten' where nothing was committed. */
  async open(given: SinkState | 'forgotten' = this.state): Promise<void> {
    await this.sink?.close()
    const state = given === 'forgotten' ? undefined : given
    const options = wandbOffline.prepare!(resolveOptions(wandbOffline.options, this.#given, {}, 'test'))
    const notice = (code: string, message: string) => void this.notices.push(`${code} ${message}`)
    this.sink = wandbOffline.create({ run: this.run, options, notice })
    const opened = await this.sink.open(state && JSON.parse(JSON.stringify(state)), signal)
    assert.equal(opened.status, 'ready', JSON.stringify(opened))
    if (opened.status === 'ready') this.state = opened.state
  }

  async rows(...rows: readonly GivenRow[]): Promise<void> {
    assert.equal(this.#took(await this.sink.write(this.batch(rows), signal)).status, 'accepted')
  }

  async record(record: RunRecord, seq = this.#seq++): Promise<WriteResult> {
    return this.#took(await this.sink.writeRecord(record, seq, signal))
  }

  async accepted(...records: readonly RunRecord[]): Promise<void> {
    for (const record of records) {
      const answer = await this.record(record)
      assert.equal(answer.status, 'accepted', JSON.stringify(answer))
    }
  }

  batch(rows: readonly GivenRow[]): Batch {
    const points = rows.flatMap(([step, values]) =>
      Object.entries(values).map(([name, value]) => ({ step, value, series: this.#seriesOf(name) })),
    )
    const starts = [0]
    for (const [, values] of rows) starts.push(starts.at(-1)! + Object.keys(values).length)
    const all = [...this.#series.values()]
    return {
      seq: 0,
      length: points.length,
      series: Uint32Array.from(points, ({ series }) => series.id),
      step: Float64Array.from(points, ({ step }) => step),
      time: Float64Array.from(points, ({ step }) => CREATED + step * 10),
      value: Float64Array.from(points, ({ value }) => value),
      rows: Uint32Array.from(starts),
      describe: (id) => all[id]!,
    }
  }

  get kept(): OfflineState {
    return this.state as unknown as OfflineState
  }

  /** The directories of the run, in their order. */
  get logs(): readonly string[] {
    return logsOf(this.dir, this.run.id)
  }

  get path(): string {
    return this.logs.at(-1)!
  }

  /** Everything in the file, which must be whole. */
  get records(): readonly ReadRecord[] {
    const { records, isTorn } = readLog(this.path)
    assert.equal(isTorn, false)
    assert.deepEqual(
      records.map(({ number }) => number),
      records.map((_, at) => at + 1),
      'records are numbered without a gap',
    )
    return records
  }

  get read(): Row[] {
    return rowsOf(this.records)
  }

  of(kind: string): ReadRecord[] {
    return this.records.filter((record) => record.kind === kind)
  }

  #took(answer: WriteResult): WriteResult {
    if ((answer.status === 'accepted' || answer.status === 'partial') && answer.state)
      this.state = answer.state
    return answer
  }

  #seriesOf(name: string): Series {
    const known = this.#series.get(name) ?? { id: this.#series.size, name, context: '' }
    this.#series.set(name, known)
    return known
  }
}
