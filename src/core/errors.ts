/** The one error class and the one table of codes. Match on `code`; the message adds the value and what to do. */

/** Code → what happened. Every code a user can meet stands here; the README's table is compared with it. */
export const ERROR_CODES = {
  ERR_OPTION: 'an option is unknown or has a value it cannot have',
  ERR_BACKEND_UNKNOWN: 'no backend of that name',
  ERR_RUN_BUSY: 'another live process writes or delivers this run',
  ERR_RUN_UNKNOWN: 'no run of that id under the root folder',
  ERR_RUN_FINISHED: 'points came for a run that was finished; the message says whether they are journaled',
  ERR_NO_ACTIVE_RUN: 'there is no active run in this thread',
  ERR_HANDLE: 'not a handle made by run.handle() of this process',
  ERR_NAME: 'a series, parameter or tag name is empty, too long or not a string',
  ERR_STEP: 'a step is not an integer between -(2^53 - 1) and 2^53 - 1',
  ERR_TIME: 'a time is not a finite number of milliseconds',
  ERR_VALUE: 'a value has a type that cannot be logged',
  ERR_VALUE_TOO_LONG: 'a text is longer than a record can be',
  ERR_EXPORT_EXISTS: 'an export of the run is there already; nothing was written to it',
  ERR_ARTIFACT: 'a file or folder to log cannot be read, or changed while it was copied',
  ERR_BLOB: 'content that the run keeps is missing or is not what its digest says',
  ERR_UNSUPPORTED: 'tracelet does not do this; the message says what does',
  ERR_LANE_FULL: 'the ring stayed full; points were counted as lost',
  ERR_DRAIN_RESTARTED: 'the drain thread was dead or stuck and was restarted',
  ERR_DELIVERY_RESTARTED: 'a delivery thread has died and was replaced; nothing is lost',
  ERR_JOURNAL_WRITE: 'the journal could not be written',
  ERR_JOURNAL_FORMAT: 'a file of the run was written by a newer version or is not a tracelet file',
  ERR_JOURNAL_DAMAGED: 'part of the journal was damaged; undamaged records are kept',
  ERR_HISTORY_GONE: 'the first records were removed by retention',
  ERR_CURSOR_DAMAGED: 'a cursor was damaged; the copy before it is used',
  ERR_LAW: 'the sums do not add up: a defect in tracelet, please report it',
  ERR_SINK_BUG: 'a sink threw or broke its contract: a defect in that sink',
  ERR_PARAM_CONFLICT: 'the backend holds another value for this parameter and cannot change it',
  ERR_MAPPED:
    'the backend cannot hold it as it is and stores the nearest it can; the journal keeps the truth',
  ERR_REFUSED: 'the backend will never take this item',
  ERR_AUTH: 'the backend does not accept the credentials',
  ERR_CERTIFICATE: 'the certificate of the backend is not trusted, has expired or is for another host',
  ERR_REMOTE_RUN_GONE: 'the run was deleted at the backend',
  ERR_OTHER_WRITER: 'somebody else has written to the run at the backend; nothing more is sent there',
  ERR_STOP_REQUESTED: 'somebody asked at the backend that the run be stopped',
  ERR_UNREACHABLE: 'the backend does not answer',
  ERR_RATE_LIMITED: 'the backend asks for fewer requests; it is waited for as long as it says',
  ERR_BEHIND: 'the backend takes less than the run logs, and falls behind; the journal keeps all',
  ERR_SERVER: 'the backend answered with a fault of its own',
  ERR_DEADLINE: 'the deadline passed before everything was delivered',
} as const
export type ErrorCode = keyof typeof ERROR_CODES

export class TraceletError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'TraceletError'
    this.code = code
  }
}

/** What crosses threads: structured clone would drop `name` and `code` of an Error. */
export interface ErrorRecord {
  readonly code: ErrorCode
  readonly message: string
}

export function toErrorRecord(error: unknown, fallback: ErrorCode): ErrorRecord {
  if (error instanceof TraceletError) return { code: error.code, message: error.message }
  return {
    code: fallback,
    message: error instanceof Error ? error.message : String(error),
  }
}
