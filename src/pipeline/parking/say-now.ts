/** For what the thread that logs cannot tell the user, because it is busy: one line on stderr. */
import type { ErrorRecord } from '../../core/errors.ts'
import { say } from '../say.ts'

const REPEAT_MS = 60_000
const saidAt = new Map<string, number>()

/** At most once a minute for each code. */
export function sayNow({ code, message }: ErrorRecord): void {
  const now = Date.now()
  if (now - (saidAt.get(code) ?? 0) < REPEAT_MS) return
  saidAt.set(code, now)
  say(`${code}: ${message}`)
}
