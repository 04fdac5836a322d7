/**
 * The backend is the file system, so the faults are its own: the process's limit on file sizes, lowered while one
 * write is under way, makes the kernel refuse bytes or take a part of them.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { RunInfo, Sink } from '../../../src/core/types.ts'
import { tensorboard } from '../../../src/sinks/tensorboard/sink.ts'
import type { Fault, SinkHarness, StoredRun } from '../harness.ts'
import { eventFilesOf, readWholeEvents } from './read-events.ts'

/** How many bytes of the next write still fit. */
const ROOM_BYTES: Partial<Record<Fault, number>> = { cut: 0, falseSuccess: 5, full: 40 }

export async function start(): Promise<SinkHarness> {
  const logDir = mkdtempSync(join(tmpdir(), 'tracelet-tensorboard-'))
  const directoryOf = (run: RunInfo) => join(logDir, basename(run.folder))
  /** Run → size its file may have during the next write. */
  const limits = new Map<string, number>()

  const definition: SinkHarness['definition'] = {
    ...tensorboard,
    create: (context) => limited(tensorboard.create(context as never), context.run),
  }
  const limited = (sink: Sink, run: RunInfo): Sink => ({
    open: (state, signal) => sink.open(state, signal),
    write: async (batch, signal) => {
      const limit = limits.get(run.id)
      if (limit === undefined) return sink.write(batch, signal)
      limits.delete(run.id)
      limitFileSize(limit)
      try {
        return await sink.write(batch, signal)
      } finally {
        limitFileSize('unlimited')
      }
    },
    writeRecord: (record, seq, signal) => sink.writeRecord(record, seq, signal),
    close: () => sink.close(),
  })

  return {
    definition,
    options: { logDir },
    secrets: [],
    faults: ['cut', 'falseSuccess', 'full', 'gone'],
    failNext(fault, run) {
      const path = join(directoryOf(run), eventFilesOf(directoryOf(run))[0]!)
      if (fault === 'gone') unlinkSync(path)
      else limits.set(run.id, statSync(path).size + ROOM_BYTES[fault]!)
    },
    stored: async (run) => storedIn(directoryOf(run)),
    keyOf: ({ name, context }) => (context === '' ? name : `${name} [${context}]`),
    oversize: () => 0,
    stop: async () => rmSync(logDir, { recursive: true, force: true }),
  }
}

function storedIn(directory: string): StoredRun {
  const values = statSync(directory, { throwIfNoEntry: false }) ? readWholeEvents(directory) : []
  const textsOf = (tag: string) => values.filter((value) => value.tag === tag).map((value) => value.texts!)
  const table = (tag: string) => {
    const cells = textsOf(tag).flat()
    const rows = Array.from({ length: cells.length / 2 }, (_, row) => cells.slice(row * 2, row * 2 + 2))
    return Object.fromEntries(rows) as Record<string, string>
  }
  return {
    points: values
      .filter(({ value }) => value !== undefined)
      .map(({ tag, step, wallSeconds, value }) => ({
        key: tag,
        step: Number(step),
        // Seconds as a double hold a present time to a quarter of a microsecond.
        time: Math.round(wallSeconds * 1000),
        value: value!,
      })),
    params: table('tracelet/params'),
    tags: table('tracelet/tags'),
    rewinds: textsOf('tracelet/rewind').map(([text]) => Number(/step (-?\d+)/.exec(text!)![1])),
    outcome: textsOf('tracelet/state').at(-1)?.[0] as StoredRun['outcome'],
  }
}

function limitFileSize(bytes: number | 'unlimited'): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`])
}
