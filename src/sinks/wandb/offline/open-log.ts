/**
 * The file of a run, opened: begun, taken over from a process that died before its first commit, or gone on with.
 * What is written behind a file that `wandb sync` has sent is never sent: such a run goes on in another directory.
 */
import { join } from 'node:path'
import type { RunInfo } from '../../../core/types.ts'
import { RunConfig } from '../config.ts'
import type { PreparedOptions } from '../options.ts'
import { withTags } from '../records.ts'
import { beginLog, isSynced, type LogPlace, makeFolder, reopenLog } from './directory.ts'
import { type KeptRecord, keepRecords, keptRecords } from './kept-records.ts'
import { LogFile } from './log-file.ts'
import { exitMessage, numbered } from './messages.ts'
import { beginOf, topTexts } from './run-messages.ts'
import type { OfflineState } from './state.ts'
import { OfflineWriter } from './writer.ts'

export interface LogParts {
  readonly run: RunInfo
  readonly options: PreparedOptions
  readonly place: LogPlace
}

export interface OpenRun {
  readonly writer: OfflineWriter
  /** The run's directory. */
  readonly directory: string
  readonly config: RunConfig
  tags: ReadonlySet<string>
  /** JSON texts of the config's top values, as the file has them. */
  tops: ReadonlyMap<string, string>
}

/** @param before the same run in a directory that was sent */
export async function beginRun({ run, options, place }: LogParts, before?: OpenRun): Promise<OpenRun> {
  const first = { kind: 'tags', tags: Object.fromEntries(options.tags.map((tag) => [tag, ''])) } as const
  const records = before ? await keptRecords(before.directory, before.writer.state.kept) : [first]
  const { config, tags } = madeOf(records, run)
  const begin = beginOf(run, options, config, [...tags])
  const log = await beginLog(place, begin.bytes)
  const file = new LogFile(place, log, begin.bytes)
  const directory = join(place.root, log.name)
  return closeOnFailure(file, async () => {
    // sync writes there, too
    await makeFolder(directory, ['files'])
    await file.recover()
    const kept = await keepRecords(directory, 0, records)
    const fresh = { lastStep: -1, renumbered: 0, sinceSummary: 0 }
    const { exit: _, ...rest } = { ...fresh, ...before?.writer.state } as OfflineState
    const state = {
      ...rest,
      ...{ directory: log.name, bytes: file.bytes, records: begin.records, summaryBytes: 0, kept },
    }
    const writer = new OfflineWriter(run, file, config, state)
    return { writer, directory, config, tags, tops: topTexts(config) }
  })
}

/** @param lost told how many settled bytes the disk no longer has */
export async function goOn(
  { run, options, place }: LogParts,
  known: OfflineState,
  lost: (file: LogFile, bytes: number) => void,
): Promise<OpenRun> {
  const { exit, records, bytes } = known
  const directory = join(place.root, known.directory)
  const log = await reopenLog(place, known.directory)
  const { config, tags } = madeOf(await keptRecords(directory, known.kept), run)
  const begin = beginOf(run, options, config, [...tags])
  const file = new LogFile(place, log, begin.bytes, {
    bytes,
    exit: exit && numbered(records + 1, exitMessage(exit.code, exit.runtimeS)),
  })
  return closeOnFailure(file, async () => {
    lost(file, await file.recover())
    const writer = new OfflineWriter(run, file, config, { ...known, bytes: file.bytes })
    return { writer, directory, config, tags, tops: topTexts(config) }
  })
}

function madeOf(records: readonly KeptRecord[], run: RunInfo): Pick<OpenRun, 'config' | 'tags'> {
  const config = new RunConfig(run)
  let tags: ReadonlySet<string> = new Set()
  for (const record of records) {
    if (record.kind === 'params') config.addParams(record.params)
    else if (record.kind === 'metric') config.define(record)
    else tags = withTags(tags, record.tags, () => {})
  }
  return { config, tags }
}

/** @returns the run in another directory, where the one that it has was sent */
export async function inUnsent(parts: LogParts, open: OpenRun): Promise<OpenRun> {
  if (!(await isSynced(parts.place, open.writer.file.name))) return open
  const next = await beginRun(parts, open)
  await open.writer.file.close()
  return next
}

async function closeOnFailure<Result>(file: LogFile, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    await file.close().catch(() => {})
    throw error
  }
}
