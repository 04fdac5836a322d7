/** Tells the user: each kind of trouble when it begins, then at most once a minute, on stderr. */
import { writeSync } from 'node:fs'
import type { ErrorCode, ErrorRecord } from '../core/errors.ts'
import { redactText } from '../core/redact.ts'

const REPEAT_MS = 60_000

export class Issues {
  readonly #lastAt = new Map<string, number>()
  readonly #held = new Map<string, number>()

  /** @param key what counts as the same trouble; the code by default */
  report(issue: ErrorRecord, key: string = issue.code): void {
    const now = Date.now()
    const last = this.#lastAt.get(key)
    if (last !== undefined && now - last < REPEAT_MS) {
      this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
      return
    }
    this.#lastAt.set(key, now)
    const held = this.#held.get(key) ?? 0
    this.#held.delete(key)
    say(`${issue.code}: ${issue.message}${held > 0 ? ` (and ${held} more like it)` : ''}`)
  }

  /** Ends a trouble: the next one of this key is told at once. */
  resolve(key: string, message: string): void {
    if (this.#lastAt.delete(key)) say(message)
    this.#held.delete(key)
  }
}

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

export type { ErrorCode }
