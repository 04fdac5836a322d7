/** The folder of a run that is written: its `writer` guard, and what it takes to make it again when it was deleted. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FILE_MODE, FOLDER_MODE, RUN_FILE } from './store/folder.ts'
import { type Guard, type GuardOptions, takeGuard } from './store/guard.ts'

export class RunHome {
  readonly folder: string
  #guard: Guard | undefined
  /** What run.json held when the run was taken. */
  #runFile: Buffer | undefined

  constructor(folder: string) {
    this.folder = folder
  }

  /** @throws TraceletError as `takeGuard` does */
  take(options: GuardOptions = {}): void {
    this.#guard ??= takeGuard(this.folder, 'writer', options)
    this.#runFile ??= contentOf(join(this.folder, RUN_FILE))
  }

  /**
   * False when another process has taken the run over. A guard that was deleted is no other's.
   * @param isTakenOver whether somebody has gone on with the journal
   */
  touch(isTakenOver: () => boolean): boolean {
    if (this.#guard === undefined || this.#guard.touch()) return true
    this.#guard = undefined
    try {
      if (!isTakenOver()) this.take()
    } catch {
      // somebody has
    }
    return this.#guard !== undefined
  }

  /** Makes what is missing of it, so that the run can be written and found again. @throws Error of the system */
  restore(): void {
    mkdirSync(this.folder, { recursive: true, mode: FOLDER_MODE })
    const path = join(this.folder, RUN_FILE)
    if (this.#runFile !== undefined && !existsSync(path))
      writeFileSync(path, this.#runFile, { mode: FILE_MODE })
    if (this.#guard === undefined || existsSync(this.#guard.path)) return
    this.#guard = undefined
    this.take()
  }

  release(): void {
    this.#guard?.release()
    this.#guard = undefined
  }
}

/** Undefined where it cannot be read. */
function contentOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
