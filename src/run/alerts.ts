/** What people are to be told of, made into a record: secrets hidden, texts cut to what messages hold. */
import { cutText } from '../core/cut.ts'
import type { ErrorRecord } from '../core/errors.ts'
import { redactText } from '../core/redact.ts'
import type { AlertLevel, RunRecord } from '../core/types.ts'
import { describe } from './producer.ts'

export interface AlertOptions {
  /** Default 'info'. */
  readonly level?: AlertLevel | undefined
  /** For so long further alerts of the same title are not told; in ms, default the backend's own: W&B's is 60,000. */
  readonly waitMs?: number | undefined
}

/** In UTF-16 units. A backend with less room cuts by itself: W&B holds 63 of a title. */
const MAX_TITLE_LENGTH = 250
/** A message of Slack, where W&B sends alerts, holds 40,000 characters, an e-mail more than anybody reads. */
const MAX_TEXT_LENGTH = 16_384
const LEVELS: readonly AlertLevel[] = ['info', 'warn', 'error']

/** @param put takes the record, or says why not */
export function logAlert(
  title: string,
  text: string,
  options: AlertOptions,
  put: (record: RunRecord) => ErrorRecord | undefined,
  report: (issue: ErrorRecord) => void,
): ErrorRecord | undefined {
  const wrong = (message: string): ErrorRecord => ({ code: 'ERR_VALUE', message: `alert() ${message}` })
  if (typeof title !== 'string' || title.trim() === '')
    return wrong(`takes a title, but was given ${describe(title)}`)
  if (typeof text !== 'string') return wrong(`takes a text, but was given ${describe(text)}`)
  const { level = 'info', waitMs } = options
  if (!LEVELS.includes(level))
    return wrong(`knows the levels ${LEVELS.join(', ')}, but was given ${describe(level)}`)
  if (waitMs !== undefined && !(Number.isFinite(waitMs) && waitMs >= 0))
    return wrong(`takes waitMs as milliseconds from 0 on, but was given ${describe(waitMs)}`)
  const isCut = title.length > MAX_TITLE_LENGTH || text.length > MAX_TEXT_LENGTH
  if (isCut) {
    const most = `${MAX_TITLE_LENGTH} characters of a title and ${MAX_TEXT_LENGTH} of a text`
    report({ code: 'ERR_VALUE_TOO_LONG', message: `alert() holds ${most}: '${title.slice(0, 40)}' is cut` })
  }
  return put({
    kind: 'alert',
    // before it is cut, as a secret may lie across the cut
    title: cutText(redactText(title), MAX_TITLE_LENGTH),
    text: cutText(redactText(text), MAX_TEXT_LENGTH),
    level,
    time: Date.now(),
    ...(waitMs !== undefined && { waitMs }),
  })
}
