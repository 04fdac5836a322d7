/**
 * The content of a guard's file, one line of JSON: who holds it, and the inode it was made with.
 *
 *   {"format":"tracelet-guard","version":1,"crc":"xxxxxxxx",…}⏎
 *
 * `crc` is the CRC-32 of all other bytes of the file, in lower case: any changed byte is noticed. Files of before have
 * none.
 */
import { randomUUID } from 'node:crypto'
import { fstatSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { CHECKSUM_DIGITS, checksum } from './checksum.ts'
import { ownIdentity, type ProcessIdentity } from './process-identity.ts'

const FORMAT = 'tracelet-guard'
const VERSION = 1
const CRC = /^\{"format":"tracelet-guard","version":\d{1,9},"crc":"/

export interface GuardContent extends ProcessIdentity {
  /** Its own, as text: may exceed 2^53. A copy of the file has another. */
  readonly inode: string
  /** Random: a file that comes to lie in the same place may get the same inode. */
  readonly token: string
  /** For people. */
  readonly hostname: string
}

/** 'unwritten': not (yet) all there. 'damaged', 'newer': somebody holds or held it, and nobody here can say who. */
export type UnreadGuard = 'unwritten' | 'damaged' | 'newer'

export function encodeGuard(inode: string): Buffer {
  const content: GuardContent = { ...ownIdentity(), inode, token: randomUUID(), hostname: hostname() }
  const head = `{"format":"${FORMAT}","version":${VERSION},"crc":"`
  const tail = `",${JSON.stringify(content).slice(1)}\n`
  return Buffer.from(`${head}${checksum(head, tail)}${tail}`)
}

/** What a disk cannot read is as good as damaged. */
export function readGuard(fd: number): GuardContent | UnreadGuard {
  let text: string
  try {
    text = readFileSync(fd, 'utf8')
  } catch {
    return 'damaged'
  }
  return decodeGuard(text)
}

export function decodeGuard(text: string): GuardContent | UnreadGuard {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    // one changed byte leaves the other of the two
    return text.at(-1) === '\n' || text.at(-2) === '}' ? 'damaged' : 'unwritten'
  }
  if (!isObject(content)) return 'damaged'
  const { format, version, crc } = content
  if (format !== FORMAT || typeof version !== 'number') return 'damaged'
  if (crc !== undefined && !holds(text)) return 'damaged'
  if (version > VERSION) return 'newer'
  return isGuard(content) ? content : 'damaged'
}

export function inodeOf(fd: number): string {
  return String(fstatSync(fd, { bigint: true }).ino)
}

function holds(text: string): boolean {
  const start = CRC.exec(text)?.[0].length
  if (start === undefined) return false
  const end = start + CHECKSUM_DIGITS
  return text.slice(start, end) === checksum(text.slice(0, start), text.slice(end))
}

const TEXTS = ['host', 'boot', 'pidSpace', 'startTime', 'inode', 'token', 'hostname'] as const

function isGuard(content: Record<string, unknown>): content is Record<string, unknown> & GuardContent {
  const { pid } = content
  return (
    Number.isSafeInteger(pid) && (pid as number) > 0 && TEXTS.every((key) => typeof content[key] === 'string')
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
