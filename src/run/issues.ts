/** Tells the user what went wrong: on stderr, or to the handler that a run was given. */
import { monotonicNow } from '../core/clock.ts'
import type { ErrorCode, ErrorRecord } from '../core/errors.ts'
import { redactText } from '../core/redact.ts'
import { syncCommandFor } from '../core/shell.ts'
import type { DestinationName, RunId } from '../core/types.ts'
import type { FromDelivery } from '../pipeline/messages.ts'
import { say } from '../pipeline/say.ts'
import { Outages, toldOf } from './outages.ts'
import { Pendings } from './pendings.ts'

const REPEAT_MS = 60_000

/**
 * Something that the user should know.
 * `error`: something was refused or lost, or a destination waits for somebody to act. `warning`: nothing is lost, it
 * is tried again. `notice`: a backend holds something otherwise than it was logged, or falls behind, or has
 * caught up. `recovered`: an earlier trouble of this destination is over.
 */
export interface Issue extends ErrorRecord {
  readonly severity: 'error' | 'warning' | 'notice' | 'recovered'
  /** Absent where it is not about a destination. */
  readonly destination?: DestinationName
}
export type IssueHandler = (issue: Issue) => void

/** An issue as the stages of a run know it; the severity follows from the code where it is not given. */
export type Report = ErrorRecord & Partial<Issue>

/** Of which nothing is lost. */
const WARNINGS: ReadonlySet<ErrorCode> = new Set([
  'ERR_DRAIN_RESTARTED',
  'ERR_DELIVERY_RESTARTED',
  'ERR_DEADLINE',
  'ERR_RUN_FINISHED',
])

export class Issues {
  readonly #handler: IssueHandler | undefined
  readonly #lastAt = new Map<string, number>()
  readonly #held = new Map<string, number>()
  readonly #outages = new Outages()
  readonly #pendings = new Pendings()
  #isHanding = false

  /**
   * @param handler gets every issue, instead of the lines on stderr. Without it each kind of trouble is told when
   * it begins, then at most once a minute.
   */
  constructor(handler?: IssueHandler) {
    this.#handler = handler
  }

  /** @param key what counts as the same trouble; the code by default */
  report(issue: Report, key: string = issue.code): void {
    // what a handler itself does wrong must not call it without end
    if (!this.#handler || this.#isHanding) return this.#tell(issue, this.#isHanding ? `onIssue ${key}` : key)
    this.#hand(this.#handler, issue)
  }

  /** A destination of a run is in trouble, or out of it. */
  hear(run: RunId, message: Extract<FromDelivery, { type: 'issue' }>): void {
    if (this.#handler && !this.#isHanding) return this.#hand(this.#handler, toldOf(message))
    const told = this.#outages.hear(run, message, monotonicNow())
    if (told === undefined) return
    say(told.severity === 'recovered' ? `${told.destination}: ${told.message}` : lineOf(told))
  }

  /** What a run leaves undelivered when it ends: of the first ones each, of hundreds their number. */
  pending(run: RunId, folder: string, what: string): void {
    const command = syncCommandFor(folder)
    const issue = {
      code: 'ERR_DEADLINE',
      message: `run ${run}: pending: ${what}; send with: ${command}`,
    } as const
    if (this.#handler) return this.report(issue, `${run} pending`)
    if (this.#pendings.take(folder)) say(lineOf(issue))
  }

  /** The run has ended: its troubles, whose keys begin with its id, concern nobody any more. */
  leave(run: RunId, destinations: Iterable<DestinationName>): void {
    this.#outages.leave(run, destinations)
    for (const keys of [this.#lastAt, this.#held])
      for (const key of keys.keys()) if (key.startsWith(`${run} `)) keys.delete(key)
  }

  #tell(issue: Report, key: string): void {
    const now = monotonicNow()
    const last = this.#lastAt.get(key)
    if (last !== undefined && now - last < REPEAT_MS) {
      this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
      return
    }
    this.#lastAt.set(key, now)
    const held = this.#held.get(key) ?? 0
    this.#held.delete(key)
    say(`${lineOf(issue)}${held > 0 ? ` (and ${held} more like it)` : ''}`)
  }

  #hand(handler: IssueHandler, report: Report): void {
    const { code, destination } = report
    const severity = report.severity ?? (WARNINGS.has(code) ? 'warning' : 'error')
    const message = redactText(report.message)
    const failed = (error: unknown) =>
      say(
        `${lineOf(report)} (onIssue failed: ${error instanceof Error ? error.message : `threw a ${typeof error}`})`,
      )
    this.#isHanding = true
    try {
      const answer: unknown = handler({
        code,
        message,
        severity,
        ...(destination !== undefined && { destination }),
      })
      // an async handler's rejection would end the program
      if (answer instanceof Promise) answer.catch(failed)
    } catch (error) {
      failed(error)
    } finally {
      this.#isHanding = false
    }
  }
}

function lineOf({ code, message, destination }: Report): string {
  return `${code}: ${destination === undefined ? '' : `${destination}: `}${message}`
}
