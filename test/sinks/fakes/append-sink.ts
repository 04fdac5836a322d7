/**
 * Sink of the append fake: a file of its own per run, one JSON text a line. The cursor's state is the length that
 * is settled; whatever stands behind it is cut off when the run is opened, and comes again.
 */
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Batch, OpenResult, RunRecord, Sink, SinkState, WriteResult } from '../../../src/core/types.ts'
import { defineSink, type SinkDefinition } from '../../../src/sinks/contract.ts'
import { keyOf, numberText, recordContent } from './wire.ts'

/** Returns how many bytes were written. */
export type WriteAt = (
  file: FileHandle,
  bytes: Buffer,
  position: number,
  signal: AbortSignal,
) => Promise<number>

const writeAt: WriteAt = async (file, bytes, position) =>
  (await file.write(bytes, 0, bytes.length, position)).bytesWritten

export function appendFile(folder: string, run: string): string {
  return join(folder, `${encodeURIComponent(run)}.jsonl`)
}

/** @param write a file that fails as told */
export function defineAppendSink(write: WriteAt): SinkDefinition {
  return defineSink({
    kind: 'append',
    title: 'Append fake',
    options: { folder: { type: 'string', default: '.', doc: 'Where the files are.' } },
    limits: {
      maxItems: 2_000,
      maxBytes: 1 << 20,
      pointBytes: (nameBytes) => 120 + 6 * nameBytes,
      inFlight: 1,
      lingerMs: 20,
    },
    capabilities: {
      shape: 'points',
      rewrite: 'append',
      // Its readers pass over what stands before the mark.
      rewind: 'purge',
      records: ['params', 'tags', 'state', 'rewind', 'alert', 'input', 'files'],
      values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
      maxNameLength: 1000,
    },
    address: ({ folder }) => `file:${folder}`,
    account: ({ folder }) => `file:${folder}`,
    create: ({ run, options }) => new AppendSink(appendFile(options.folder, run.id), options.folder, write),
  }) as SinkDefinition
}

export default defineAppendSink(writeAt)

class AppendSink implements Sink {
  readonly #path: string
  readonly #folder: string
  readonly #write: WriteAt
  #file: FileHandle | undefined
  #bytes = 0

  constructor(path: string, folder: string, write: WriteAt) {
    this.#path = path
    this.#folder = folder
    this.#write = write
  }

  async open(state: SinkState): Promise<OpenResult> {
    this.#bytes = (state?.bytes as number | undefined) ?? 0
    try {
      await mkdir(this.#folder, { recursive: true })
      this.#file = await open(this.#path, this.#bytes === 0 ? 'w+' : 'r+')
      await this.#file.truncate(this.#bytes)
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? gone
        : { status: 'retry', reason: String(error) }
    }
    return { status: 'ready', url: this.#path }
  }

  write(batch: Batch, signal: AbortSignal): Promise<WriteResult> {
    const lines = Array.from({ length: batch.length }, (_, index) => [
      'point',
      keyOf(batch.describe(batch.series[index]!)),
      batch.step[index],
      batch.time[index],
      numberText(batch.value[index]!),
    ])
    return this.#append(lines, signal)
  }

  writeRecord(record: RunRecord, seq: number, signal: AbortSignal): Promise<WriteResult> {
    return this.#append([[record.kind, recordContent(record, seq)]], signal)
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  /** Over whatever an earlier attempt has left. */
  async #append(lines: readonly unknown[], signal: AbortSignal): Promise<WriteResult> {
    const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    try {
      if ((await this.#file!.stat()).nlink === 0) return gone
      const written = await this.#write(this.#file!, bytes, this.#bytes, signal)
      if (written < bytes.length)
        return { status: 'retry', reason: `the disk took ${written} bytes of ${bytes.length}` }
    } catch (error) {
      return { status: 'retry', reason: String(error) }
    }
    this.#bytes += bytes.length
    return { status: 'accepted', state: { bytes: this.#bytes } }
  }
}

const gone = {
  status: 'blocked',
  scope: 'run',
  code: 'ERR_REMOTE_RUN_GONE',
  reason: 'its file was deleted',
} as const
