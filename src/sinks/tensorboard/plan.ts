/** Where a run's event file lies and what it is called. */
import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import type { RunInfo } from '../../core/types.ts'
import { fileVersionRecord } from './encode.ts'
import type { EventFilePlan } from './event-file.ts'

/** `events.out.tfevents.<seconds>.<host>.tracelet.<run id>`: readers look for "tfevents" and sort by the seconds. */
export function planOf(run: RunInfo, logDir: string | undefined): EventFilePlan {
  const seconds = String(Math.floor(run.createdAt / 1000)).padStart(10, '0')
  const suffix = `.tracelet.${fileNamePart(run.id, 80)}`
  return {
    directory: logDir === undefined ? run.folder : join(logDir, basename(run.folder)),
    name: `events.out.tfevents.${seconds}.${fileNamePart(hostname(), 64)}${suffix}`,
    suffix,
    tieBreak: `.${fileNamePart(run.nonce, 16)}`,
    header: fileVersionRecord(run.createdAt / 1000, `tracelet ${run.nonce}`),
    // A log directory of the user's own may be read by others, as its umask says.
    mode: logDir === undefined ? 0o600 : 0o666,
    directoryMode: logDir === undefined ? 0o700 : 0o777,
  }
}

/** The text if every file system takes it in a name, else what it takes of it and a digest. */
function fileNamePart(text: string, maxLength: number): string {
  const plain = text.replace(/[^A-Za-z0-9._-]|\.$/g, '_')
  if (plain === text && text.length <= maxLength) return text
  return `${plain.slice(0, maxLength - 9)}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`
}
