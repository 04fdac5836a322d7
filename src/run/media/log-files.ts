/** What all calls that keep files have in common: a path or a reference is checked, copied or noted, and answered. */
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ErrorRecord, TraceletError } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'
import type { FilesRecord, Snapshot } from '../../pipeline/parking/messages.ts'
import { recordName } from '../../pipeline/parking/parked-record.ts'
import { removeUnfinished } from '../../pipeline/store/blobs.ts'
import { describe } from '../producer.ts'
import { type TakenFiles, takeFiles } from './artifact-files.ts'
import { keptName } from './artifact-names.ts'
import type { FileChoice } from './artifact-walk.ts'
import type { MediaLog } from './media-log.ts'
import { keepsAlive } from './waited-promise.ts'

/** How a call makes its record. */
export interface FilesCall {
  /** For messages: `logArtifact`. */
  readonly call: string
  /** The record without its files, or what is wrong. @param name base name of what was given */
  readonly record: (name: string) => FilesRecord | ErrorRecord
  /** Where a file stands in the record, and why it cannot; default as it lies below what was given. */
  readonly place?: (path: string, isBelowFolder: boolean) => string
  /** What of a folder is taken, asked after `record`; default all. */
  readonly choice?: () => FileChoice
  /** Why there can be no references; default there can. */
  readonly noReferences?: string
}

const MAX_REMARKS_TOLD = 10
/** A reference: any scheme but `file:`; a letter alone is a drive of Windows. */
const REFERENCE = /^(?!file:)[a-z][a-z0-9+.-]+:\/\//i

type Fail = (issue: ErrorRecord) => Promise<Snapshot>

/** Never rejects: what is wrong is told, and answered. */
export function logFiles(log: MediaLog, pathOrUri: string | URL, files: FilesCall): Promise<Snapshot> {
  const fail: Fail = ({ code, message }) => {
    log.tell({ code, message: `${files.call}(): ${message}` }, `${code} ${message}`)
    return Promise.resolve({ status: 'failed', code, reason: message })
  }
  try {
    const given = pathOrUri instanceof URL ? pathOrUri.href : pathOrUri
    if (typeof given !== 'string' || given === '' || given.includes('\0')) {
      const wanted = files.noReferences === undefined ? 'a path or a URI' : 'a path'
      return fail({ code: 'ERR_VALUE', message: `it takes ${wanted}, but was given ${describe(given)}` })
    }
    if (REFERENCE.test(given)) {
      if (files.noReferences === undefined) return logReference(log, given, files, fail)
      return fail({
        code: 'ERR_VALUE',
        message: `'${redactText(given)}' is an address: ${files.noReferences}`,
      })
    }
    const path = resolve(/^file:/i.test(given) ? fileURLToPath(given) : given)
    const record = files.record(basename(path) || 'root')
    if ('code' in record) return fail(record)
    return copyFiles(log, path, record, files, fail)
  } catch (error) {
    const code = error instanceof TraceletError ? error.code : 'ERR_ARTIFACT'
    return fail({ code, message: String((error as Error)?.message) })
  }
}

function copyFiles(
  log: MediaLog,
  path: string,
  record: FilesRecord,
  { place, choice }: FilesCall,
  fail: Fail,
): Promise<Snapshot> {
  const taken = takeFiles(path, log.runFolder, undefined, choice?.())
  const { transfer, bytes, remarks } = taken
  const files = place === undefined ? taken.files : placed(taken, place)
  let settle!: (snapshot: Snapshot) => void
  const settled = new Promise<Snapshot>((resolve) => {
    settle = resolve
  })
  const issue = log.parkFiles({ record, files, bytes }, transfer, settle)
  if (issue) {
    removeUnfinished(files.flatMap(({ from }) => ('clone' in from ? [from.clone] : [])))
    return fail(issue)
  }
  if (remarks.length > 0) {
    const issue = remarked(recordName(record, files), remarks)
    log.tell(issue, issue.message)
  }
  return keepsAlive(settled, log.parking)
}

function placed({ files, isFolder }: TakenFiles, place: NonNullable<FilesCall['place']>) {
  return files.map((file) => ({ ...file, path: place(file.path, isFolder) }))
}

/** Nothing is copied or looked at. */
function logReference(log: MediaLog, given: string, files: FilesCall, fail: Fail): Promise<Snapshot> {
  const name = lastPart(given)
  const record = files.record(name)
  if ('code' in record) return fail(record)
  const issue = log.put({ ...record, files: [{ path: name, uri: redactText(given) }] })
  return issue ? fail(issue) : Promise.resolve({ status: 'taken', files: 1, bytes: 0 })
}

function remarked(what: string, remarks: readonly string[]): ErrorRecord {
  const told = remarks.slice(0, MAX_REMARKS_TOLD).join('; ')
  const more = remarks.length > MAX_REMARKS_TOLD ? `; and ${remarks.length - MAX_REMARKS_TOLD} more` : ''
  return { code: 'ERR_ARTIFACT', message: `${what} is not all that was named: ${told}${more}` }
}

/** `weights.bin` of `s3://bucket/models/weights.bin?versionId=1`. */
function lastPart(uri: string): string {
  const path = uri.replace(/^[^:]*:\/\//, '').replace(/[?#].*$/s, '')
  const part = path.split('/').findLast((piece) => piece !== '') ?? 'reference'
  let text = part
  try {
    text = decodeURIComponent(part)
  } catch {
    // not encoded
  }
  return redactText(keptName(Buffer.from(text)).name)
}
