/** The folder of a run that is written: its `writer` guard, and what it takes to make it again when it was deleted. */
import { existsSync, mkdirSync } from 'node:fs'
import { FOLDER_MODE, isRunFolder } from './store/folder.ts'
import { type Guard, type GuardOptions, takeGuard } from './store/guard.ts'
import { type RunFile, readRunFile, writeRunFile } from './store/run-file.ts'

export class RunHome {
  readonly folder: string
  #guard: Guard | undefined
  /** What run.json held when the run was taken. */
  #runFile: RunFile | undefined

  constructor(folder: string) {
    this.folder = folder
  }

  /** @throws TraceletError as `takeGuard` does */
  take(options: GuardOptions = {}): void {
    this.#guard ??= takeGuard(this.folder, 'writer', options)
    this.#runFile ??= contentOf(this.folder)
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
    if (this.#runFile !== undefined && !isRunFolder(this.folder)) writeRunFile(this.folder, this.#runFile)
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
function contentOf(folder: string): RunFile | undefined {
  try {
    return readRunFile(folder)
  } catch {
    return undefined
  }
}
