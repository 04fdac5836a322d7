/** A run's folder on disk, with a real journal, as a process leaves it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RUN, runCounters } from '../../../src/core/counters.ts'
import type { DestinationName, RunInfo, RunRecord } from '../../../src/core/types.ts'
import { JournalWriter } from '../../../src/pipeline/journal/writer.ts'
import { createRunFolder } from '../../../src/pipeline/store/folder.ts'
import { writeRunFile } from '../../../src/pipeline/store/run-file.ts'
import { toBlock } from '../journal/scribe.ts'

export interface DestinationOnDisk {
  readonly name: DestinationName
  readonly kind: string
  readonly module?: string
  readonly options: Readonly<Record<string, unknown>>
}

/** The module of a fake sink, to be loaded by path. */
export function fakeModule(name: 'identity' | 'offset' | 'naming' | 'append'): string {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
  return new URL(`../../sinks/fakes/${name}-sink${extension}`, import.meta.url).href
}

export class RunFolder {
  readonly root: string
  readonly run: RunInfo
  points = 0
  records = 0
  readonly #counters: SharedArrayBuffer | undefined
  #writer: JournalWriter
  /** Rows without a close mark. */
  #open: number[] = []

  /**
   * @param counters of a live run, kept up as the drain thread does
   * @param root default: one of its own
   */
  constructor(
    id: string,
    destinations: readonly DestinationOnDisk[],
    counters?: SharedArrayBuffer,
    root: string = mkdtempSync(join(tmpdir(), 'tracelet-delivery-')),
  ) {
    this.root = root
    const folder = createRunFolder(this.root, 'project', id)
    this.#counters = counters
    this.run = {
      id,
      name: id,
      project: 'project',
      experiment: 'e',
      createdAt: 1_700_000_000_000,
      nonce: `nonce-${id}`,
      folder,
    }
    writeRunFile(folder, {
      tracelet: '0.0.0',
      run: this.run,
      openedAt: 1,
      state: 'running',
      destinations: destinations.map((one) => ({ ...one, address: 'as then', addedAt: 1, usedAt: 1 })),
    })
    this.#writer = this.#openWriter()
  }

  /** From here on another process writes it, or late points do. */
  session(): this {
    this.#writer.close()
    this.#writer = this.#openWriter()
    this.#open = []
    return this
  }

  /** Rows of two points each, steps from `first` on, journaled as one frame that closes the rows before it. */
  rows(first: number, count: number): this {
    const [loss, acc] = [this.#writer.series('loss', ''), this.#writer.series('acc', 'val')]
    const rows = Array.from({ length: count }, () => this.#writer.takeRow())
    const points = rows.flatMap((row, index) => {
      const step = first + index
      const common = { step, time: 1_700_000_000_000 + step, row, session: 1 }
      return [
        { ...common, name: 'loss', context: '', value: step / 3 },
        { ...common, name: 'acc', context: 'val', value: -step },
      ]
    })
    this.#writer.stagePoints(
      toBlock(
        points,
        rows.flatMap(() => [loss, acc]),
        { closed: this.#open },
      ),
    )
    this.#writer.commit()
    this.#open = rows
    this.points += points.length
    this.#publish()
    return this
  }

  /** One row of one point. */
  series(name: string, step: number, value: number): this {
    const row = this.#writer.takeRow()
    const point = { name, context: '', step, time: 1_700_000_000_000 + step, value, row, session: 1 }
    this.#writer.stagePoints(toBlock([point], [this.#writer.series(name, '')], { closed: this.#open }))
    this.#writer.commit()
    this.#open = [row]
    this.points++
    this.#publish()
    return this
  }

  record(record: RunRecord): this {
    this.#writer.stageRecord(record)
    this.#writer.commit()
    this.records++
    this.#publish()
    return this
  }

  /** The writer is gone; open rows stay open. */
  close(): this {
    this.#writer.close()
    return this
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true })
  }

  #openWriter(): JournalWriter {
    const { folder, id } = this.run
    return JournalWriter.open({ folder, runId: id, session: 'process', nonce: 'process-1' })
  }

  #publish(): void {
    if (this.#counters === undefined) return
    const words = runCounters(this.#counters)
    words[RUN.journaled] = this.points
    words[RUN.recordsJournaled] = this.records
    words[RUN.seq] = this.#writer.seq
    words[RUN.appends]!++
  }
}
