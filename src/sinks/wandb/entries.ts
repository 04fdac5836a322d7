/**
 * What stands at a step and is no number, as values of W&B's history: what the SDK (0.31.0) puts there. How each kind
 * looks stands in its file of `entries/`. Files that a value names are the run's (run-files.ts); what is said of them
 * follows from the record and its blob alone, so entry and upload agree without having met.
 */
import type { RunInfo, RunRecord } from '../../core/types.ts'
import { BlobError } from '../run-blobs.ts'
import { type EntryNotice, type Refused, refused } from './entries/entry.ts'
import { figureJson } from './entries/figure.ts'
import { histogramJson } from './entries/histogram.ts'
import { imagesJson } from './entries/images.ts'
import { entryKey } from './entries/media-path.ts'
import { tableJson } from './entries/table.ts'
import { textJson } from './entries/text.ts'
import { openTable, type WandbTable } from './tables.ts'

export type EntryKind = 'text' | 'histogram' | 'images' | 'table' | 'figure'
export type EntryRecord = Extract<RunRecord, { kind: EntryKind }>
export type Entries = readonly (readonly [key: string, json: string])[]

/**
 * @param table that of the record, where it is open
 * @returns keys with their JSON texts; or why there can be none
 * @throws errors of node:fs that may pass
 */
export async function entryOf(
  record: EntryRecord,
  run: RunInfo,
  tell: EntryNotice = () => {},
  table?: WandbTable,
): Promise<Entries | Refused> {
  try {
    return [[entryKey(record.name), await jsonOf(record, run, tell, table)]]
  } catch (error) {
    if (error instanceof BlobError) return refused(error.message)
    throw error
  }
}

async function jsonOf(
  record: EntryRecord,
  run: RunInfo,
  tell: EntryNotice,
  opened: WandbTable | undefined,
): Promise<string> {
  switch (record.kind) {
    case 'histogram':
      return histogramJson(record, tell)
    case 'images':
      return imagesJson(record, record.images)
    case 'figure':
      return figureJson(record)
    case 'text':
      return textJson(record, run, tell)
    case 'table': {
      const table = opened ?? (await openTable(record.table, run.folder))
      return tableJson(record, run, table, await table.measured('run'), tell)
    }
  }
}

export type { EntryNotice, Refused } from './entries/entry.ts'
