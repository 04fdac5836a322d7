/** What an exception of the server means to a call of ours. */
import type { Refusal } from '../http.ts'
import type { AimException } from './socket.ts'

/** Of Python, about what an instruction carries. All others are about the server, its disk or another process. */
const ABOUT_CONTENT: ReadonlySet<string> = new Set([
  'AssertionError',
  'AttributeError',
  'IndexError',
  'KeyError',
  'NotImplementedError',
  'OverflowError',
  'TypeError',
  'UnicodeDecodeError',
  'UnicodeEncodeError',
  'ValueError',
])

/** The server was started anew, or has heard nothing of us for 300 s: our resources are gone, the run is not. */
export function isForgotten({ className }: AimException): boolean {
  return className === 'UnauthorizedRequestError'
}

/** What a run that is not there yet has none of. */
export function isMissing({ className }: AimException): boolean {
  return className === 'KeyError' || className === 'StopIteration'
}

export function refusalOf(exception: AimException, redact: (text: string) => string): Refusal {
  const { className, message } = exception
  const reason = `Aim refused: ${className}${message ? `: ${redact(message)}` : ''}`
  if (ABOUT_CONTENT.has(className)) return { status: 'split', code: 'ERR_REFUSED', reason }
  if (/lock/i.test(message)) {
    return {
      status: 'retry',
      code: 'ERR_SERVER',
      reason: `${reason} (another process has the run's storage open: is a local \`Run\` or a second server at it?)`,
    }
  }
  return { status: 'retry', code: 'ERR_SERVER', reason }
}
