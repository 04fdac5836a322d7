/** The last way to tell the user something, open to every thread. */
import { writeSync } from 'node:fs'
import { redactText } from '../core/redact.ts'

/** One line on stderr, written synchronously: it must appear even when the event loop never turns again. */
export function say(message: string): void {
  // names and messages from outside must not steer the terminal
  const clean = redactText(message).replace(/\p{Cc}+/gu, ' ')
  try {
    writeSync(2, `tracelet: ${clean}\n`)
  } catch {
    // stderr is closed or full: there is nobody to tell
  }
}
