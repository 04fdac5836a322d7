/** What a program printed, made into records: secrets hidden, cut at line breaks to what a lane takes. */
import type { ErrorRecord } from '../core/errors.ts'
import { redactText } from '../core/redact.ts'
import type { RunRecord } from '../core/types.ts'
import { describe, type RunProducer, timeIssue } from './producer.ts'

export interface ConsolePlace {
  /** Default 'stdout'. */
  readonly stream?: 'stdout' | 'stderr' | undefined
  /** Wall time in ms since 1970; by default the time of the call. */
  readonly time?: number | undefined
}

/** Of one record, in UTF-16 units: what follows a burst of output need not wait for all of it. */
const MAX_RECORD_LENGTH = 16_384

export function logConsole(
  producer: RunProducer,
  text: string,
  { stream = 'stdout', time = Date.now() }: ConsolePlace,
  report: (issue: ErrorRecord) => void,
): void {
  const wrong = (message: string) => report({ code: 'ERR_VALUE', message: `logConsole() ${message}` })
  if (typeof text !== 'string') return wrong(`takes a text, but was given ${describe(text)}`)
  if (stream !== 'stdout' && stream !== 'stderr')
    return wrong(`knows the streams stdout and stderr, but was given ${describe(stream)}`)
  if (!Number.isFinite(time)) return report(timeIssue(time))
  if (text === '') return
  // before it is cut, as a secret may lie across the cut
  const whole = redactText(text)
  const lines = whole.endsWith('\n') ? whole.slice(0, -1) : whole
  for (const part of partsOf(lines, MAX_RECORD_LENGTH)) send(producer, part, stream, time, report)
}

function send(
  producer: RunProducer,
  text: string,
  stream: 'stdout' | 'stderr',
  time: number,
  report: (issue: ErrorRecord) => void,
): void {
  const record: RunRecord = { kind: 'console', stream, text, time }
  if (producer.recordIfFits(record)) return
  if (text.length < 2) {
    const message = 'a line of console output does not fit into a record; raise laneSlots'
    return report({ code: 'ERR_VALUE_TOO_LONG', message })
  }
  for (const part of partsOf(text, text.length >> 1)) send(producer, part, stream, time, report)
}

/** Parts of at most `longest` units, each of whole lines; a line that is longer alone becomes several. */
function* partsOf(text: string, longest: number): Generator<string> {
  let from = 0
  while (text.length - from > longest) {
    // the break itself goes: a record ends its line
    const length = text.slice(from, from + longest + 1).lastIndexOf('\n')
    if (length >= 0) {
      yield text.slice(from, from + length)
      from += length + 1
    } else {
      const isPair = longest > 1 && isHighSurrogate(text.charCodeAt(from + longest - 1))
      const end = from + longest - (isPair ? 1 : 0)
      yield text.slice(from, end)
      from = end
    }
  }
  yield text.slice(from)
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00
}
