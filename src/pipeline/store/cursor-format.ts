/**
 * The content of a cursor's file, one line of JSON:
 *
 *   {"format":"tracelet-cursor","version":1,"crc":"xxxxxxxx","destination":…,"address":…,"run":…,"cursor":{…}}⏎
 *
 * `crc` is the CRC-32 of all other bytes of the file, in lower case: any changed byte is noticed. Later versions
 * keep it in its place, so that they are told from damage.
 */
import { TraceletError } from '../../core/errors.ts'
import type { Cursor, DestinationName, SettledCounts, SinkState } from '../../core/types.ts'
import { CHECKSUM_DIGITS, checksum } from './checksum.ts'

export const MAX_STATE_BYTES = 64 * 1024
const VERSION = 1
const HEAD = /^\{"format":"tracelet-cursor","version":(\d{1,9}),"crc":"/
const COUNTS: readonly (keyof SettledCounts)[] = [
  'delivered',
  'superseded',
  'filtered',
  'rejected',
  'corrupt',
  'recordsDelivered',
  'recordsFiltered',
  'recordsRejected',
  'recordsCorrupt',
  'elsewhere',
]

/** Why a file is not used. */
export class Damage {
  readonly reason: string
  constructor(reason: string) {
    this.reason = reason
  }
}

/**
 * @param run its nonce
 * @throws TraceletError ERR_SINK_BUG when the state is no JSON or too large
 */
export function encodeCursor(
  destination: DestinationName,
  address: string,
  cursor: Cursor,
  run?: string,
): Buffer {
  const { state, ...rest } = cursor
  const stateText = encodeState(destination, state)
  const head = `{"format":"tracelet-cursor","version":${VERSION},"crc":"`
  const cursorText = `${JSON.stringify(rest).slice(0, -1)}${stateText === undefined ? '' : `,"state":${stateText}`}}`
  const of = run === undefined ? '' : `"run":${JSON.stringify(run)},`
  const tail = `","destination":${JSON.stringify(destination)},"address":${JSON.stringify(address)},${of}"cursor":${cursorText}}\n`
  return Buffer.from(`${head}${checksum(Buffer.from(head), Buffer.from(tail))}${tail}`)
}

function encodeState(destination: DestinationName, state: SinkState): string | undefined {
  let text: string | undefined
  try {
    text = JSON.stringify(state)
  } catch (cause) {
    throw new TraceletError('ERR_SINK_BUG', `the state of ${destination} is no JSON`, { cause })
  }
  const bytes = text === undefined ? 0 : Buffer.byteLength(text)
  if (bytes > MAX_STATE_BYTES) {
    throw new TraceletError(
      'ERR_SINK_BUG',
      `the state of ${destination} has ${bytes} bytes, ${MAX_STATE_BYTES} are allowed`,
    )
  }
  return text
}

/** What stands in a cursor's file. */
export interface SavedCursor {
  readonly destination: DestinationName
  readonly address: string
  /** The run's nonce; absent in files of before. */
  readonly run?: string
  readonly cursor: Cursor
}

/** @throws TraceletError ERR_JOURNAL_FORMAT when a newer version wrote it */
export function decodeCursor(content: Buffer, path: string): SavedCursor | Damage {
  const head = HEAD.exec(content.toString('latin1', 0, 80))
  if (head === null) return new Damage('not a cursor')
  const start = head[0].length
  const end = start + CHECKSUM_DIGITS
  if (
    content.toString('latin1', start, end) !== checksum(content.subarray(0, start), content.subarray(end))
  ) {
    return new Damage('checksum')
  }
  const version = Number(head[1])
  if (version > VERSION) {
    throw new TraceletError(
      'ERR_JOURNAL_FORMAT',
      `${path} has version ${version}, this tracelet reads up to ${VERSION}: use a newer one`,
    )
  }
  // The checksum holds, so this is what was saved, if perhaps for another.
  const saved = withDefaults(JSON.parse(content.toString()) as SavedCursor)
  const {
    seq,
    back,
    rows = [],
    url = '',
    files = 0,
    points = 0,
    uploads = {},
    routes = [],
    rewinds = [],
    thinned = [],
    refused,
    settled,
  } = saved.cursor
  const isSound =
    isPosition(seq) &&
    isPosition(back) &&
    isPosition(files) &&
    isPosition(points) &&
    Object.values(uploads).every(isPosition) &&
    routes.every(({ from }) => isPosition(from)) &&
    rewinds.every(
      ({ seq, fromStep, isAhead = true }) =>
        isPosition(seq) && Number.isSafeInteger(fromStep) && isAhead === true,
    ) &&
    thinned.every(({ from, to, bucket }) => isPosition(from) && isPosition(to) && isPosition(bucket - 1)) &&
    typeof url === 'string' &&
    (refused === undefined || (isPosition(refused.count) && Array.isArray(refused.first))) &&
    rows.every(([first, last]) => isPosition(first) && isPosition(last)) &&
    COUNTS.every((name) => isPosition(settled[name]))
  return isSound ? saved : new Damage('content')
}

/** A cursor saved before there were uploads has nothing elsewhere. */
function withDefaults(saved: SavedCursor): SavedCursor {
  const settled = { ...saved.cursor.settled, elsewhere: saved.cursor.settled.elsewhere ?? 0 }
  return { ...saved, cursor: { ...saved.cursor, settled } }
}

/** Whether it can be a sequence number or a count of points. */
export function isPosition(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
