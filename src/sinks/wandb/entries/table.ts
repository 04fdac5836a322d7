/**
 * Tables: a file of the run that holds the first 10,000 rows, and an artifact that holds them all, or 200,000:
 *
 *   {"_type":"table-file","sha256","size","path","ncols","nrows","log_mode":"IMMUTABLE",
 *    "artifact_path":"wandb-client-artifact://<client id>/<key>.table.json",
 *    "_latest_artifact_path":"wandb-client-artifact://<client id of the collection>:latest/<key>.table.json"}
 *
 * `sha256` and `size` are those of the run's file. The artifact is known by an id that follows from the run and the
 * record, so the entry can name it before it is there.
 */
import { crc32 } from 'node:zlib'
import type { RunInfo, RunRecord } from '../../../core/types.ts'
import { LOG_MODE, MAX_ROWS, type Made, type WandbTable } from '../tables.ts'
import { clientIdOf, collectionName } from '../uploads/artifact-plan.ts'
import type { EntryNotice } from './entry.ts'
import { entryKey, mediaPath, safePath } from './media-path.ts'

export type TableRecord = Extract<RunRecord, { kind: 'table' }>

/** Path of a table among the files of the run. */
export function tablePath(record: TableRecord, { sha256 }: Made): string {
  return mediaPath('table', record, sha256, 'table.json')
}

/** What the artifact of a table is called and known by. */
export interface TableArtifact {
  readonly clientId: string
  readonly sequenceClientId: string
  readonly type: 'run_table'
  /** Of its only file. */
  readonly path: string
  /** @param runId the run's id at W&B */
  readonly collection: (runId: string) => string
}

export function tableArtifact(
  { name, step, table }: TableRecord,
  run: Pick<RunInfo, 'nonce'>,
): TableArtifact {
  const key = entryKey(name)
  const path = safePath(name)
  return {
    clientId: clientIdOf(run, `table:${JSON.stringify([key, step, table.digest])}`),
    sequenceClientId: clientIdOf(run, `tables:${key}`),
    type: 'run_table',
    path: path.endsWith('table.json') ? path : `${path}.table.json`,
    collection: (runId) => collectionName(internalName(`run-${runId}-${key}`)),
  }
}

export function tableJson(
  record: TableRecord,
  run: Pick<RunInfo, 'nonce'>,
  table: WandbTable,
  made: Made,
  tell: EntryNotice,
): string {
  if (table.rowCount > MAX_ROWS.artifact) {
    const held = MAX_ROWS.artifact.toLocaleString('en')
    tell('table', `W&B holds ${held} rows of a table: the rest is left out (first '${record.name}')`)
  }
  const { clientId, sequenceClientId, path } = tableArtifact(record, run)
  return JSON.stringify({
    _type: 'table-file',
    sha256: made.sha256,
    size: made.bytes,
    path: tablePath(record, made),
    ncols: table.columns.length,
    nrows: table.rowCount,
    log_mode: LOG_MODE,
    artifact_path: `wandb-client-artifact://${clientId}/${path}`,
    _latest_artifact_path: `wandb-client-artifact://${sequenceClientId}:latest/${path}`,
  })
}

/** As the SDK names artifacts of its own (`sanitize_artifact_name`): what a name cannot have is left out, and a CRC added. */
function internalName(name: string): string {
  const plain = name.replace(/[^a-zA-Z0-9_\-.]+/g, '')
  if (plain === name) return name
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(name))
  return `${plain}-${bytes.toString('base64url')}`
}
