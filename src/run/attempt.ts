/** What goes wrong in data of the caller's costs the call that it was given to, and is told; it never ends the program. */
import { type ErrorRecord, TraceletError } from '../core/errors.ts'

/** @param work answers with what is wrong, if anything */
export function attempt(
  call: string,
  report: (issue: ErrorRecord) => void,
  // biome-ignore lint/suspicious/noConfusingVoidType: most calls report by themselves
  work: () => ErrorRecord | undefined | void,
): void {
  let issue: ErrorRecord | undefined
  try {
    issue = work() ?? undefined
  } catch (error) {
    if (error instanceof TraceletError) issue = { code: error.code, message: error.message }
    else {
      const message = `${call}() could not take what it was given: ${reasonOf(error)}`
      issue = { code: 'ERR_VALUE', message }
    }
  }
  if (issue) report(issue)
}

/** Whatever was thrown: a getter may throw anything, also what cannot be shown. */
function reasonOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return `it threw a ${typeof error}`
  }
}
