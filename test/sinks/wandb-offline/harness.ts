import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunInfo } from '../../../src/core/types.ts'
import type { SinkDefinition } from '../../../src/sinks/contract.ts'
import { keyOf, remoteRunId } from '../../../src/sinks/wandb/keys.ts'
import { wandbOffline } from '../../../src/sinks/wandb/offline/sink.ts'
import { FILE_FAULTS, fileRoom } from '../file-room.ts'
import type { SinkHarness, StoredPoint, StoredRun } from '../harness.ts'
import { itemsOf, jsonValue, logsOf, numberOf, readLog, rowsOf, textsOf } from '../wandb/offline/read-log.ts'

/** Fields of a row that are no series. */
const OWN_FIELDS = new Set(['_step', '_runtime', '_timestamp', 'global_step'])
const OUTCOMES: Readonly<Record<number, StoredRun['outcome']>> = { 0: 'finished', 1: 'failed', 255: 'killed' }

export async function start(): Promise<SinkHarness> {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-wandb-offline-'))
  const pathOf = (run: RunInfo) => logsOf(dir, remoteRunId(run.id)).at(-1)
  return {
    ...fileRoom(wandbOffline as unknown as SinkDefinition, (run) => pathOf(run)!),
    options: { dir },
    secrets: [],
    faults: FILE_FAULTS,
    stored: async (run) => {
      const path = pathOf(run)
      return path === undefined ? { points: [], params: {}, tags: {}, outcome: undefined } : storedIn(path)
    },
    keyOf: ({ name, context }) => keyOf(name, context),
    oversize: () => 0,
    stop: async () => rmSync(dir, { recursive: true, force: true }),
  }
}

function storedIn(path: string): StoredRun {
  const { records } = readLog(path)
  const points: StoredPoint[] = []
  for (const row of rowsOf(records)) {
    const time = Math.round((row._timestamp as number) * 1000)
    for (const [key, value] of Object.entries(row)) {
      if (OWN_FIELDS.has(key) || typeof value !== 'number') continue
      points.push({ key, step: row.global_step as number, time, value })
    }
  }
  const params = records
    .filter(({ kind }) => kind === 'config')
    .flatMap(({ message }) => itemsOf(message).map(([key, json]) => [key, String(jsonValue(json))]))
  const tags = records.findLast(({ kind, message }) => kind === 'run' && textsOf(message, 10).length > 0)
  const exit = records.find(({ kind }) => kind === 'exit')
  return {
    points,
    params: Object.fromEntries(params),
    tags: Object.fromEntries(
      (tags ? textsOf(tags.message, 10) : []).map((tag) => [
        tag.split(':', 1)[0]!,
        tag.slice(tag.indexOf(':') + 1),
      ]),
    ),
    outcome: exit && OUTCOMES[numberOf(exit.message, 1)],
  }
}
