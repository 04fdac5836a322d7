/** A record at the end of a run's journal that no drain thread writes. */
import { randomUUID } from 'node:crypto'
import { closeSync, fdatasyncSync } from 'node:fs'
import type { RunId, RunRecord } from '../../core/types.ts'
import { JournalWriter, type JournalWriterOptions } from '../journal/writer.ts'
import { settledFloor } from './cursor.ts'
import { syncFolder } from './sync-folder.ts'

/**
 * Returns when the record is safe from power loss.
 * @param folder the run's folder, whose `writer` guard the caller holds
 * @throws TraceletError ERR_JOURNAL_FORMAT for a newer format; ERR_JOURNAL_WRITE when the folder cannot be written
 */
export function appendRecord(folder: string, runId: RunId, record: RunRecord): void {
  const writer = JournalWriter.open({
    folder,
    runId,
    nonce: randomUUID(),
    session: 'process',
    floor: settledFloor(folder),
    syncer: SYNCED_AT_THE_END,
  })
  try {
    writer.stageRecord(record)
  } finally {
    writer.close()
  }
  syncFolder(folder)
}

const SYNCED_AT_THE_END: NonNullable<JournalWriterOptions['syncer']> = {
  dirty: () => {},
  dirtyFolder: () => {},
  closeAfterSync: (fd) => {
    try {
      fdatasyncSync(fd)
    } finally {
      closeSync(fd)
    }
  },
}
