/** The content of a guard's file: who holds it, and the inode it was made with. */
import { randomUUID } from 'node:crypto'
import { fstatSync } from 'node:fs'
import { hostname } from 'node:os'
import { TraceletError } from '../../core/errors.ts'
import { ownIdentity, type ProcessIdentity } from './process-identity.ts'

const FORMAT = 'tracelet-guard'
const VERSION = 1

export interface GuardContent extends ProcessIdentity {
  /** Its own, as text: may exceed 2^53. A copy of the file has another. */
  readonly inode: string
  /** Random: a file that comes to lie in the same place may get the same inode. */
  readonly token: string
  /** For people. */
  readonly hostname: string
}

export function encodeGuard(inode: string): Buffer {
  const content: GuardContent = { ...ownIdentity(), inode, token: randomUUID(), hostname: hostname() }
  return Buffer.from(`${JSON.stringify({ format: FORMAT, version: VERSION, ...content })}\n`)
}

/**
 * Undefined when it is not (yet) all there.
 * @throws TraceletError ERR_JOURNAL_FORMAT when a newer version made it
 */
export function decodeGuard(text: string, path: string): GuardContent | undefined {
  let content: Partial<GuardContent & { format: string; version: number }> | null
  try {
    content = JSON.parse(text)
  } catch {
    return undefined
  }
  if (content?.format !== FORMAT || content.version === undefined) return undefined
  if (content.version > VERSION) {
    throw new TraceletError('ERR_JOURNAL_FORMAT', `${path} was made by a newer tracelet: use that`)
  }
  return content as GuardContent
}

export function inodeOf(fd: number): string {
  return String(fstatSync(fd, { bigint: true }).ino)
}
