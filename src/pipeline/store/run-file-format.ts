/**
 * The content of `run.json`: JSON for people, with a checksum as its third entry.
 *
 *   {⏎  "format": "tracelet-run",⏎  "version": 1,⏎  "crc": "xxxxxxxx",⏎  …
 *
 * `crc` is the CRC-32 of all other bytes of the file, in lower case, so that any changed byte is noticed: a changed
 * nonce would make a second remote run. Later versions keep it in its place. Files of before have none.
 */
import { TraceletError } from '../../core/errors.ts'
import type { RunInfo } from '../../core/types.ts'
import { CHECKSUM_DIGITS, checksum } from './checksum.ts'
import { Damage } from './cursor-format.ts'
import type { RunFile } from './run-file.ts'

const FORMAT = 'tracelet-run'
const VERSION = 1
const CRC = /^ {2}"crc": "([0-9a-f]{8})",$/m

export function encodeRunFile(file: RunFile): string {
  const { folder: _, ...run } = file.run as RunInfo
  const crc = '0'.repeat(CHECKSUM_DIGITS)
  const text = `${JSON.stringify({ format: FORMAT, version: VERSION, crc, ...file, run }, null, 2)}\n`
  const [head, tail] = parts(text, CRC.exec(text)!)
  return `${head}${checksum(head, tail)}${tail}`
}

export interface DecodedRunFile {
  readonly file: RunFile
  /** False for a file of before: nobody can say whether a byte of it was changed. */
  readonly isChecked: boolean
}

/** @throws TraceletError ERR_JOURNAL_FORMAT when a newer version wrote it */
export function decodeRunFile(text: string, path: string): DecodedRunFile | Damage {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    return new Damage('it is not JSON')
  }
  if (!isObject(content) || content.format !== FORMAT) return new Damage('it is not a run file of tracelet')
  const { format: _, version, crc, ...file } = content
  const found = CRC.exec(text)
  if (crc !== undefined && (found === null || checksum(...parts(text, found)) !== found[1])) {
    return new Damage('its checksum does not hold')
  }
  if (typeof version === 'number' && version > VERSION) {
    throw new TraceletError(
      'ERR_JOURNAL_FORMAT',
      `${path} has version ${version}, this tracelet reads up to ${VERSION}: use a newer one`,
    )
  }
  const fault = version === VERSION ? faultOf(file) : 'version'
  if (fault !== undefined) return new Damage(`'${fault}' is missing or wrong`)
  return { file: file as unknown as RunFile, isChecked: crc !== undefined }
}

function parts(text: string, found: RegExpExecArray): [head: string, tail: string] {
  const start = found.index + found[0].indexOf('": "') + 4
  return [text.slice(0, start), text.slice(start + CHECKSUM_DIGITS)]
}

/** Path of the first part that a version 1 file must have and this one has not; undefined when it is sound. */
function faultOf(file: Record<string, unknown>): string | undefined {
  const { run, destinations } = file
  if (typeof file.tracelet !== 'string') return 'tracelet'
  if (typeof file.openedAt !== 'number') return 'openedAt'
  if (typeof file.state !== 'string') return 'state'
  if (!isObject(run)) return 'run'
  for (const key of ['id', 'name', 'project', 'experiment', 'nonce']) {
    if (typeof run[key] !== 'string') return `run.${key}`
  }
  if (typeof run.createdAt !== 'number') return 'run.createdAt'
  for (const key of ['group', 'parent', 'user', 'program']) {
    if (run[key] !== undefined && typeof run[key] !== 'string') return `run.${key}`
  }
  if (!Array.isArray(destinations)) return 'destinations'
  for (const [index, destination] of destinations.entries()) {
    if (!isDestination(destination)) return `destinations[${index}]`
  }
  return file.retention === undefined || file.retention === 'delivered' ? undefined : 'retention'
}

function isDestination(value: unknown): boolean {
  return (
    isObject(value) &&
    ['name', 'kind', 'address'].every((key) => typeof value[key] === 'string') &&
    ['addedAt', 'usedAt'].every((key) => typeof value[key] === 'number') &&
    (value.module === undefined || typeof value.module === 'string') &&
    isObject(value.options)
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
