/** What a check of the conformance suite works with: sinks of one harness, batches, and everything that was said. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveOptions } from '../../src/core/options.ts'
import type {
  Batch,
  OpenResult,
  RunInfo,
  Series,
  Sink,
  SinkState,
  WriteResult,
} from '../../src/core/types.ts'
import type { SinkHarness, StoredPoint } from './harness.ts'

export interface Point {
  readonly name: string
  readonly context?: string
  readonly step: number
  readonly value: number
  readonly time?: number
}

export const START_TIME = 1_700_000_000_000

export class Bench {
  readonly harness: SinkHarness
  readonly options: Readonly<Record<string, unknown>>
  /** Every reason, notice and error text that the sinks gave. */
  readonly said: string[] = []
  readonly #root = mkdtempSync(join(tmpdir(), 'tracelet-conformance-'))
  readonly #open: Sink[] = []
  /** One number is one series, in all batches of a run. */
  readonly #series = new Map<string, Series>()
  #runs = 0

  constructor(harness: SinkHarness) {
    this.harness = harness
    this.options = this.optionsWith({})
  }

  /** The harness's options with others beside them. */
  optionsWith(given: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
    const { definition, options } = this.harness
    const resolved = resolveOptions(definition.options, { ...options, ...given }, {}, definition.kind)
    return definition.prepare?.(resolved as never) ?? resolved
  }

  get shape(): 'points' | 'rows' {
    return this.harness.definition.capabilities.shape
  }

  /** A new run with a folder of its own. */
  run(): RunInfo {
    const id = `20261123-10150${this.#runs++}-${randomBytes(3).toString('hex')}`
    const folder = join(this.#root, id)
    mkdirSync(folder)
    return {
      id,
      name: 'conformance',
      project: 'suite',
      experiment: 'conformance',
      createdAt: START_TIME,
      nonce: randomBytes(12).toString('hex'),
      folder,
    }
  }

  /** Another sink for the run, as after a restart. */
  sink(run: RunInfo): Sink {
    const sink = this.harness.definition.create({
      run,
      options: this.options as never,
      notice: (code, message) => this.said.push(`${code} ${message}`),
    })
    const heard = async <Answer extends OpenResult | WriteResult>(call: Promise<Answer>): Promise<Answer> => {
      try {
        const answer = await call
        this.said.push(JSON.stringify(answer))
        return answer
      } catch (error) {
        this.said.push(String(error))
        throw error
      }
    }
    const { stored } = sink
    const listened: Sink = {
      open: (state, signal) => heard(sink.open(state, signal)),
      write: (batch, signal) => heard(sink.write(batch, signal)),
      ...(sink.prepare && { prepare: (batch) => sink.prepare!(batch) }),
      writeRecord: (record, seq, signal) => heard(sink.writeRecord(record, seq, signal)),
      ...(sink.upload && { upload: (upload, signal) => heard(sink.upload!(upload, signal)) }),
      ...(stored && { stored: (batch, signal) => stored.call(sink, batch, signal) }),
      close: () => sink.close(),
    }
    this.#open.push(listened)
    return listened
  }

  async opened(run: RunInfo, state?: SinkState): Promise<{ sink: Sink; state: SinkState }> {
    const sink = this.sink(run)
    const result = await sink.open(state, new AbortController().signal)
    assert.equal(result.status, 'ready', `open: ${JSON.stringify(result)}`)
    return { sink, state: (result.status === 'ready' ? result.state : undefined) ?? state }
  }

  write(sink: Sink, batch: Batch): Promise<WriteResult> {
    return sink.write(batch, new AbortController().signal)
  }

  /** A batch as the pipeline makes them; for sinks that take rows, points of one step side by side are a row. */
  batch(points: readonly Point[]): Batch {
    const ids = points.map(({ name, context = '' }) => {
      const key = JSON.stringify([name, context])
      const known = this.#series.get(key) ?? { id: this.#series.size, name, context }
      this.#series.set(key, known)
      return known.id
    })
    const all = [...this.#series.values()]
    const rows = [0]
    points.forEach((point, index) => {
      if (index > 0 && point.step !== points[index - 1]!.step) rows.push(index)
    })
    if (points.length > 0) rows.push(points.length)
    return {
      seq: 0,
      length: points.length,
      series: Uint32Array.from(ids),
      step: Float64Array.from(points, ({ step }) => step),
      time: Float64Array.from(points, (point) => timeOf(point)),
      value: Float64Array.from(points, ({ value }) => value),
      ...(this.shape === 'rows' && { rows: Uint32Array.from(rows) }),
      describe: (id) => all[id]!,
    }
  }

  /** Where in the batch the sink speaks of the point. */
  indexOf(batch: Batch, point: number): number {
    return batch.rows === undefined ? point : batch.rows.findLastIndex((start) => start <= point)
  }

  /** What the store holds, in its order within each series. */
  async stored(run: RunInfo): Promise<StoredPoint[]> {
    return [...(await this.harness.stored(run)).points]
  }

  /** The store holds exactly these, once, each series in this order where writes keep one. */
  async assertStored(run: RunInfo, points: readonly Point[], message?: string): Promise<void> {
    const { inFlight } = this.harness.definition.limits
    const bySeries = (list: readonly StoredPoint[]) => {
      const groups = new Map<string, [number, number, number][]>()
      for (const { key, step, time, value } of list) {
        const group = groups.get(key) ?? []
        group.push([step, time, value])
        groups.set(key, group)
      }
      // Where writes may overtake each other, so may points.
      if (inFlight > 1) for (const group of groups.values()) group.sort((a, b) => a[0] - b[0] || a[1] - b[1])
      return groups
    }
    assert.deepEqual(
      bySeries(await this.stored(run)),
      bySeries(points.map((point) => this.expected(point))),
      message,
    )
  }

  /** How a point that the backend can hold stands there. */
  expected(point: Point): StoredPoint {
    const { name, context = '', step, value } = point
    const { precision } = this.harness.definition.capabilities.values
    return {
      key: this.harness.keyOf({ id: 0, name, context }),
      step,
      time: timeOf(point),
      value: precision === 'float32' ? Math.fround(value) : value,
    }
  }

  async end(): Promise<void> {
    for (const sink of this.#open) await sink.close()
    await this.harness.stop()
    rmSync(this.#root, { recursive: true, force: true })
  }
}

export function timeOf({ time, step }: Point): number {
  return time ?? START_TIME + Math.max(0, Math.min(step, 1e6)) * 10
}

/** `count` steps from `first` on, two series each. */
export function steps(first: number, count: number): Point[] {
  return Array.from({ length: count }, (_, index) => first + index).flatMap((step) => [
    { name: 'train/loss', step, value: 1 / (step + 3) },
    { name: 'acc', context: 'val', step, value: step / 7 },
  ])
}
