/** Artifacts and models as users name them: files, folders, references, with what is to be said of them. */
import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ErrorRecord, TraceletError } from '../../core/errors.ts'
import { redact, redactText } from '../../core/redact.ts'
import type { FilesRecord, Snapshot } from '../../pipeline/parking/messages.ts'
import { recordName } from '../../pipeline/parking/parked-record.ts'
import { removeUnfinished } from '../../pipeline/store/blobs.ts'
import { describe, nameIssue, stepIssue } from '../producer.ts'
import { takeFiles } from './artifact-files.ts'
import { keptName } from './artifact-names.ts'
import type { MediaLog } from './media-log.ts'
import { keepsAlive } from './waited-promise.ts'

export type { Snapshot }

export interface ArtifactOptions {
  /** Default the base name of the path. */
  readonly name?: string | undefined
  /** Your word for what it is: `dataset`, `checkpoint` …; default `artifact`. */
  readonly type?: string | undefined
  readonly description?: string | undefined
  /** Anything that JSON can hold; secrets become `[REDACTED:…]`. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}
export interface ModelOptions {
  /** Default the base name of the path. */
  readonly name?: string | undefined
  /** Registered model that this becomes a version of, where a backend has a registry. */
  readonly register?: string | undefined
  /** Aliases that the new version takes over, such as `champion`. */
  readonly alias?: string | readonly string[] | undefined
  readonly description?: string | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /** Integer in ±(2^53 − 1); default none. */
  readonly step?: number | undefined
}

const MAX_REMARKS_TOLD = 10
/** A reference: any scheme but `file:`; a letter alone is a drive of Windows. */
const REFERENCE = /^(?!file:)[a-z][a-z0-9+.-]+:\/\//i

export function logArtifact(
  log: MediaLog,
  pathOrUri: string | URL,
  options: ArtifactOptions,
): Promise<Snapshot> {
  return logFiles(log, 'logArtifact', pathOrUri, (name) => {
    const { type = 'artifact' } = options
    const issue = nameIssue(options.name ?? name) ?? nameIssue(type)
    if (issue) return issue
    const about = aboutFiles(options, name)
    if ('code' in about) return about
    return { kind: 'artifact', type: redactText(type), ...about }
  })
}

export function logModel(log: MediaLog, pathOrUri: string | URL, options: ModelOptions): Promise<Snapshot> {
  return logFiles(log, 'logModel', pathOrUri, (name) => {
    const { step, register, alias = [] } = options
    const aliases = typeof alias === 'string' ? [alias] : alias
    if (!Array.isArray(aliases)) {
      return { code: 'ERR_VALUE', message: `an alias is a text or several, but was ${describe(alias)}` }
    }
    const names = [options.name ?? name, ...aliases, ...(register === undefined ? [] : [register])]
    const issue = names.map(nameIssue).find((found) => found !== undefined)
    if (issue) return issue
    if (step !== undefined && !Number.isSafeInteger(step)) return stepIssue(step)
    if (register === undefined && aliases.length > 0) {
      log.tell({
        code: 'ERR_VALUE',
        message: 'logModel(): an alias names a version of `register`, which is missing',
      })
    }
    const about = aboutFiles(options, name)
    if ('code' in about) return about
    return {
      kind: 'model',
      ...about,
      ...(step !== undefined && { step }),
      ...(register !== undefined && { register: redactText(register) }),
      ...(aliases.length > 0 && { aliases: [...new Set(aliases)].map(redactText) }),
    }
  })
}

/** @param describeFiles makes the record from the name by default */
function logFiles(
  log: MediaLog,
  call: string,
  pathOrUri: string | URL,
  describeFiles: (name: string) => FilesRecord | ErrorRecord,
): Promise<Snapshot> {
  const fail = ({ code, message }: ErrorRecord): Promise<Snapshot> => {
    log.tell({ code, message: `${call}(): ${message}` }, `${code} ${message}`)
    return Promise.resolve({ status: 'failed', code, reason: message })
  }
  try {
    const given = pathOrUri instanceof URL ? pathOrUri.href : pathOrUri
    if (typeof given !== 'string' || given === '' || given.includes('\0')) {
      return fail({
        code: 'ERR_VALUE',
        message: `it takes a path or a URI, but was given ${describe(given)}`,
      })
    }
    if (REFERENCE.test(given)) return logReference(log, given, describeFiles, fail)
    const path = resolve(/^file:/i.test(given) ? fileURLToPath(given) : given)
    const record = describeFiles(basename(path) || 'root')
    if ('code' in record) return fail(record)
    return copyFiles(log, path, record, fail)
  } catch (error) {
    const code = error instanceof TraceletError ? error.code : 'ERR_ARTIFACT'
    return fail({ code, message: String((error as Error)?.message) })
  }
}

function copyFiles(
  log: MediaLog,
  path: string,
  record: FilesRecord,
  fail: (issue: ErrorRecord) => Promise<Snapshot>,
): Promise<Snapshot> {
  const { files, transfer, bytes, remarks } = takeFiles(path, log.runFolder)
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
    const issue = remarked(record, remarks)
    log.tell(issue, issue.message)
  }
  return keepsAlive(settled, log.parking)
}

/** Nothing is copied or looked at. */
function logReference(
  log: MediaLog,
  given: string,
  describeFiles: (name: string) => FilesRecord | ErrorRecord,
  fail: (issue: ErrorRecord) => Promise<Snapshot>,
): Promise<Snapshot> {
  const name = lastPart(given)
  const record = describeFiles(name)
  if ('code' in record) return fail(record)
  const issue = log.put({ ...record, files: [{ path: name, uri: redactText(given) }] })
  return issue ? fail(issue) : Promise.resolve({ status: 'taken', files: 1, bytes: 0 })
}

/** What artifacts and models have in common. */
interface About {
  readonly name: string
  readonly time: number
  readonly files: []
  readonly bytes: 0
  readonly description?: string
  readonly metadata?: string
}

function aboutFiles(options: ArtifactOptions | ModelOptions, name: string): About | ErrorRecord {
  const { description, metadata } = options
  if (description !== undefined && typeof description !== 'string') {
    return { code: 'ERR_VALUE', message: `a description is a text, but was ${describe(description)}` }
  }
  let json: string | undefined
  if (metadata !== undefined) {
    if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
      return { code: 'ERR_VALUE', message: `metadata is an object, but was ${describe(metadata)}` }
    }
    json = JSON.stringify(metadata, (key, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : redact(key, value),
    )
  }
  return {
    name: redactText(options.name ?? name),
    time: Date.now(),
    files: [],
    bytes: 0,
    ...(description !== undefined && { description: redactText(description) }),
    ...(json !== undefined && { metadata: json }),
  }
}

function remarked(record: FilesRecord, remarks: readonly string[]): ErrorRecord {
  const told = remarks.slice(0, MAX_REMARKS_TOLD).join('; ')
  const more = remarks.length > MAX_REMARKS_TOLD ? `; and ${remarks.length - MAX_REMARKS_TOLD} more` : ''
  return { code: 'ERR_ARTIFACT', message: `${recordName(record)} is not all that was named: ${told}${more}` }
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
