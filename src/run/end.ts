/** How a run ends and how long that may take, from whatever was given: a wrong word must not cost the run its end. */
import type { ErrorRecord } from '../core/errors.ts'
import type { RunOutcome } from '../core/types.ts'

const DEFAULT_FLUSH_TIMEOUT_MS = 30_000

const OUTCOMES: readonly unknown[] = ['finished', 'failed', 'killed'] satisfies RunOutcome[]

export interface FlushOptions {
  /** Longest wait for the journal; default 30 s. */
  readonly timeoutMs?: number
}
export interface FinishOptions {
  /** Longest wait for the backends; default the run's `finishDeadlineMs`. The rest stays in the journal. */
  readonly deadlineMs?: number
}

export function resolveEnd(
  outcome: unknown,
  options: unknown,
  defaultMs: number,
  report: (issue: ErrorRecord) => void,
): { readonly outcome: RunOutcome; readonly deadlineMs: number } {
  const isKnown = OUTCOMES.includes(outcome)
  if (!isKnown && outcome !== null && outcome !== undefined) {
    const message = `finish(): an outcome is 'finished', 'failed' or 'killed', not ${shown(outcome)}; the run is 'finished'`
    report({ code: 'ERR_OPTION', message })
  }
  return {
    outcome: isKnown ? (outcome as RunOutcome) : 'finished',
    deadlineMs: wait(
      (options as FinishOptions | null)?.deadlineMs,
      defaultMs,
      'finish(): deadlineMs',
      report,
    ),
  }
}

export function flushTimeoutMs(
  options: FlushOptions | null | undefined,
  report: (issue: ErrorRecord) => void,
): number {
  return wait(options?.timeoutMs, DEFAULT_FLUSH_TIMEOUT_MS, 'flush(): timeoutMs', report)
}

/** A wait that is no number would be one without end. */
function wait(given: unknown, defaultMs: number, what: string, report: (issue: ErrorRecord) => void): number {
  if (given === undefined || given === null) return defaultMs
  if (typeof given === 'number' && given >= 0) return given
  const message = `${what} must be a number of milliseconds from 0 on, but is ${shown(given)}; ${defaultMs} are used`
  report({ code: 'ERR_OPTION', message })
  return defaultMs
}

function shown(value: unknown): string {
  return typeof value === 'object' ? 'an object' : `'${String(value).slice(0, 40)}'`
}
