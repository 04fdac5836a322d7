/** What each kind of record changes in a run's file. */
import type { Rejection, RunRecord } from '../../../core/types.ts'
import type { Notices } from '../../notices.ts'
import { BlobError } from '../../run-blobs.ts'
import { DEFAULT_WAIT_MS, SEVERITIES, titleAndText } from '../alerts.ts'
import { pieces } from '../console.ts'
import { type EntryRecord, entryOf } from '../entries.ts'
import { withTags } from '../records.ts'
import { tellNoAxis } from '../remarks.ts'
import { type FileRecord, listOf, runFilesOf } from '../run-files.ts'
import { EXIT_CODES } from '../state.ts'
import { openTable, type WandbTable } from '../tables.ts'
import { type ArtifactRecord, planOf, sortAliases } from '../uploads/artifact-record.ts'
import { type ArtifactPlace, artifactContent, type KnownDigests, tableContent } from './artifacts.ts'
import { type KeptRecord, keepRecords } from './kept-records.ts'
import { alertMessage, filesMessage, outputMessage, runMessage } from './messages.ts'
import type { LogParts, OpenRun } from './open-log.ts'
import { placeFile } from './placed-files.ts'
import { changesOf, definitionOf, placeOf, topTexts } from './run-messages.ts'
import type { OfflineState } from './state.ts'
import type { Draft } from './writer.ts'

export const RECORD_KINDS = [
  ...(['params', 'tags', 'state', 'notes', 'metric', 'console', 'alert'] as const),
  ...(['text', 'histogram', 'images', 'table', 'figure', 'artifact', 'model', 'files'] as const),
] as const

export interface Change {
  /** Absent where nothing is written. */
  readonly draft?: Draft
  readonly rejected?: readonly Rejection[]
  /** It counts. */
  readonly keep?: () => void
  /** It does not. */
  readonly undo?: () => void
}

export interface ChangeParts extends LogParts {
  readonly notices: Pick<Notices, 'tell'>
  readonly digests: KnownDigests
}

/** @throws errors of node:fs that may pass */
export async function changeOf(
  record: RunRecord,
  seq: number,
  open: OpenRun,
  parts: ChangeParts,
): Promise<Change> {
  try {
    return await change(record, seq, open, parts)
  } catch (error) {
    if (error instanceof BlobError) return rejected(error.message)
    throw error
  }
}

async function change(record: RunRecord, seq: number, open: OpenRun, parts: ChangeParts): Promise<Change> {
  const { writer } = open
  const place = placeOf(parts.run, parts.options)
  switch (record.kind) {
    case 'params':
      return params(record, open)
    case 'metric':
      return metric(record, open, parts)
    case 'tags': {
      const tags = withTags(open.tags, record.tags, parts.notices.tell)
      const content = runMessage({ ...place, tags: [...tags] })
      const draft = await withConfig(record, [content], open)
      return { draft, keep: () => void (open.tags = tags) }
    }
    case 'notes':
      return { draft: await writer.add([runMessage({ ...place, notes: record.notes })]) }
    case 'console': {
      const lines = record.text.split('\n').flatMap(pieces)
      const contents = lines.map((line) => outputMessage(record.stream, `${line}\n`, record.time))
      return { draft: await writer.add(contents) }
    }
    case 'alert': {
      const { title, text } = titleAndText(record)
      const waitMs = Math.round(record.waitMs ?? DEFAULT_WAIT_MS)
      return { draft: await writer.add([alertMessage(title, text, SEVERITIES[record.level], waitMs)]) }
    }
    case 'text':
    case 'histogram':
    case 'images':
    case 'figure':
    case 'table':
      return entry(record, seq, open, parts)
    case 'files': {
      const content = await files(record, open, parts)
      return content instanceof Uint8Array ? { draft: await writer.add([content]) } : content
    }
    case 'artifact':
    case 'model':
      return artifact(record, seq, open, parts)
    case 'state': {
      if (record.state === 'running') return { draft: await writer.add([], { exit: undefined }) }
      const runtimeS = Math.max(0, Math.floor((record.time - parts.run.createdAt) / 1000))
      return { draft: await writer.end({ code: EXIT_CODES[record.state], runtimeS }) }
    }
    default:
      throw new Error(`the sink of W&B's files declares no ${record.kind}`)
  }
}

async function params(record: Extract<RunRecord, { kind: 'params' }>, open: OpenRun): Promise<Change> {
  const undo = open.config.addParams(record.params)
  return undoing(undo, async () => {
    const tops = topTexts(open.config)
    const content = changesOf(open.tops, tops)
    const draft = await withConfig(record, content === undefined ? [] : [content], open)
    return { draft, undo, keep: () => void (open.tops = tops) }
  })
}

async function metric(
  record: Extract<RunRecord, { kind: 'metric' }>,
  open: OpenRun,
  { notices }: ChangeParts,
): Promise<Change> {
  const undo = open.config.define(record)
  return undoing(undo, async () => {
    const axes = open.writer.axesWith(record)
    if (axes === undefined) tellNoAxis(notices, record.name)
    const content = definitionOf(open.config, record)
    return { draft: await withConfig(record, [content], open, axes && { axes }), undo }
  })
}

async function entry(record: EntryRecord, seq: number, open: OpenRun, parts: ChangeParts): Promise<Change> {
  const { run, notices } = parts
  // read once for all that is made of it
  const table = record.kind === 'table' ? await openTable(record.table, run.folder) : undefined
  const entries = await entryOf(record, run, notices.tell, table)
  if ('refused' in entries) return { rejected: [entries.refused] }
  const beside: Uint8Array[] = []
  if (record.kind === 'images' || record.kind === 'figure' || record.kind === 'table') {
    const content = await files(record, open, parts, table)
    if (!(content instanceof Uint8Array)) return content
    beside.push(content)
  }
  if (record.kind === 'table')
    beside.push(await tableContent(record, run, table!, artifactPlace(seq, open, parts)))
  return { draft: await open.writer.entries(record.step, record.time, entries, beside) }
}

/** Puts the files there, and gives the record that names them. */
async function files(
  record: FileRecord,
  { directory }: OpenRun,
  { run }: ChangeParts,
  table?: WandbTable,
): Promise<Uint8Array | Change> {
  const found = await runFilesOf(record, run, table)
  if ('refused' in found) return { rejected: [found.refused] }
  for (const file of found) await placeFile(directory, `files/${file.path}`, file)
  return filesMessage(found.map(({ path }) => path))
}

async function artifact(
  record: ArtifactRecord,
  seq: number,
  open: OpenRun,
  parts: ChangeParts,
): Promise<Change> {
  const { run, notices, digests } = parts
  if (record.kind === 'model' && record.register !== undefined) {
    notices.tell(
      'register',
      "W&B's files hold no links to a registry: `tracelet sync` to W&B registers models",
    )
  }
  const files = await listOf(record.files, run)
  const plan = planOf(record, { seq, files }, run, notices.tell)
  const content = await artifactContent(plan, artifactPlace(seq, open, parts), digests)
  const { refused } = sortAliases(record.aliases ?? [])
  return { draft: await open.writer.add([content]), ...(refused.length > 0 && { rejected: refused }) }
}

function artifactPlace(seq: number, { directory }: OpenRun, { run, options }: ChangeParts): ArtifactPlace {
  const { id, project, entity = '' } = placeOf(run, options)
  return { directory, seq, runId: id, project, entity }
}

/** What changes config or tags, and the record itself for the process that goes on. */
async function withConfig(
  record: KeptRecord,
  contents: readonly Uint8Array[],
  { writer, directory }: OpenRun,
  changes: Partial<Pick<OfflineState, 'axes'>> = {},
): Promise<Draft> {
  const kept = await keepRecords(directory, writer.state.kept, [record])
  return writer.add(contents, { ...changes, kept })
}

/** What could not be written must not stand in the next one. */
async function undoing(undo: () => void, write: () => Promise<Change>): Promise<Change> {
  try {
    return await write()
  } catch (error) {
    undo()
    throw error
  }
}

function rejected(reason: string): Change {
  return { rejected: [{ index: 0, code: 'ERR_BLOB', reason }] }
}
