/** Files of the run itself: at a path of the run's, without versions. */
import type { ErrorRecord } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'
import type { Snapshot } from '../../pipeline/parking/messages.ts'
import { describe } from '../producer.ts'
import { keptName } from './artifact-names.ts'
import { logFiles } from './log-files.ts'
import type { MediaLog } from './media-log.ts'

export interface FileOptions {
  /**
   * Where it stands in the run: a relative path with `/` between its parts, none of them empty, `.` or `..`. Default
   * the base name of the path; `.` puts what a folder holds at the top.
   */
  readonly as?: string | undefined
}

/** In UTF-8. A key of S3, where backends keep files, has 1,024 with what they put before it. */
const MAX_PATH_BYTES = 512

export function logFile(log: MediaLog, path: string | URL, { as }: FileOptions): Promise<Snapshot> {
  let at = ''
  const record = (name: string) => {
    const place = as === undefined ? keptName(Buffer.from(name)).name : placeOf(as)
    if (typeof place !== 'string') return place
    at = place
    return { kind: 'files', time: Date.now(), files: [], bytes: 0 } as const
  }
  const place = (found: string, isBelowFolder: boolean) => {
    if (at === '.') return found
    return isBelowFolder ? `${at}/${found}` : at
  }
  const noReferences = 'a file of the run is kept with it; logArtifact() takes references'
  return logFiles(log, path, { call: 'logFile', record, place, noReferences })
}

function placeOf(as: unknown): string | ErrorRecord {
  const wrong = (why: string): ErrorRecord => ({
    code: 'ERR_VALUE',
    message: `\`as\` is a path in the run, such as 'logs/train.txt', but ${describe(as)} ${why}`,
  })
  if (typeof as !== 'string') return wrong('is none')
  if (as === '.') return as
  const place = redactText(as).toWellFormed()
  if (place.startsWith('/') || /^[a-z]:/i.test(place)) return wrong('is absolute')
  for (const part of place.split('/')) {
    if (part === '') return wrong('has an empty part')
    if (part === '.' || part === '..') return wrong(`has the part '${part}'`)
    const { fault } = keptName(Buffer.from(part))
    if (fault !== undefined) return wrong(fault)
  }
  const bytes = Buffer.byteLength(place)
  return bytes <= MAX_PATH_BYTES ? place : wrong(`has more than ${MAX_PATH_BYTES} bytes`)
}
