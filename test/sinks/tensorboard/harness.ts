import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { RunInfo } from '../../../src/core/types.ts'
import type { SinkDefinition } from '../../../src/sinks/contract.ts'
import { tensorboard } from '../../../src/sinks/tensorboard/sink.ts'
import { FILE_FAULTS, fileRoom } from '../file-room.ts'
import type { SinkHarness, StoredRun } from '../harness.ts'
import { eventFilesOf, readWholeEvents } from './read-events.ts'

export async function start(): Promise<SinkHarness> {
  const logDir = mkdtempSync(join(tmpdir(), 'tracelet-tensorboard-'))
  const directoryOf = (run: RunInfo) => join(logDir, basename(run.folder))
  const pathOf = (run: RunInfo) => join(directoryOf(run), eventFilesOf(directoryOf(run))[0]!)
  return {
    ...fileRoom(tensorboard as unknown as SinkDefinition, pathOf),
    options: { logDir },
    secrets: [],
    faults: FILE_FAULTS,
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
