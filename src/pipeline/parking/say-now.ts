/** For what the thread that logs cannot tell the user, because it is busy: one line on stderr. */
import { writeSync } from 'node:fs'
import type { ErrorRecord } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'

const REPEAT_MS = 60_000
const saidAt = new Map<string, number>()

/** At most once a minute for each code. */
export function sayNow({ code, message }: ErrorRecord): void {
  const now = Date.now()
  if (now - (saidAt.get(code) ?? 0) < REPEAT_MS) return
  saidAt.set(code, now)
  // names from outside must not steer the terminal
  const clean = redactText(message).replace(/\p{Cc}+/gu, ' ')
  try {
    writeSync(2, `tracelet: ${code}: ${clean}\n`)
  } catch {
    // stderr is closed or full: there is nobody to tell
  }
}
