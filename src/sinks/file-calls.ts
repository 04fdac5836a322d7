/** The calls of a sink whose backend is a file: one after the other, and none that outlives the wait for it. */
import { TraceletError } from '../core/errors.ts'
import type { WriteResult } from '../core/types.ts'

/** Ends the possibility of giving an operation up; false when that has happened already. */
export type Claim = () => boolean
export type FileRefusal = Extract<WriteResult, { status: 'retry' | 'blocked' }>

export const GIVEN_UP: FileRefusal = {
  status: 'retry',
  reason: 'given up before the file system answered',
}

export class FileCalls {
  readonly #refusalOf: (error: unknown) => FileRefusal
  /** The operation under way; one that was given up by its signal must still end before the next begins. */
  #busy: Promise<unknown> = Promise.resolve()

  /** @param refusalOf what a thrown error means; it throws what no file system says: a bug of ours */
  constructor(refusalOf: (error: unknown) => FileRefusal = fileRefusal) {
    this.#refusalOf = refusalOf
  }

  /**
   * Runs one operation after the one before it has ended. When `signal` fires first the answer is given at once;
   * the operation learns by `claim` that nobody waits for it any more, and settles nothing.
   */
  perform<Result>(
    signal: AbortSignal,
    operation: (claim: Claim) => Promise<Result>,
  ): Promise<Result | FileRefusal> {
    const before = this.#busy
    return new Promise((resolve, reject) => {
      let isGivenUp = signal.aborted
      const giveUp = () => {
        isGivenUp = true
        resolve(GIVEN_UP)
      }
      const claim = () => {
        signal.removeEventListener('abort', giveUp)
        return !isGivenUp
      }
      if (isGivenUp) resolve(GIVEN_UP)
      else signal.addEventListener('abort', giveUp, { once: true })
      this.#busy = before
        .then(async (): Promise<Result | FileRefusal> => (isGivenUp ? GIVEN_UP : operation(claim)))
        .catch((error) => this.#refusalOf(error))
        .then(resolve, reject)
        .finally(claim)
    })
  }

  /** Settles when nothing is under way any more. */
  async ended(): Promise<void> {
    await this.#busy
  }
}

/** These need somebody to act; anything else (no space, an I/O error, too many open files) may pass by itself. */
const DENIED = new Set(['EACCES', 'EPERM', 'EROFS', 'ELOOP', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'EINVAL'])

/** @throws what no file system says: a bug of ours */
export function fileRefusal(error: unknown): FileRefusal {
  if (error instanceof TraceletError) {
    return { status: 'blocked', scope: 'run', code: error.code, reason: error.message }
  }
  const { code, message } = error as NodeJS.ErrnoException
  if (code === undefined) throw error
  if (!DENIED.has(code)) return { status: 'retry', code: 'ERR_SERVER', reason: message }
  return { status: 'blocked', scope: 'run', code: 'ERR_AUTH', reason: message }
}
