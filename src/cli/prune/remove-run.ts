/**
 * Removes one run's folder: takes its guards, so that nobody starts, resumes or delivers it meanwhile; looks again;
 * renames the folder to a hidden name, which no listing shows; removes that. A prune that was killed between leaves
 * the hidden folder, which the next one removes.
 */
import { randomInt } from 'node:crypto'
import { lstatSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { uploadsName } from '../../pipeline/store/cursor.ts'
import { isRunFolder } from '../../pipeline/store/folder.ts'
import { takeGuard } from '../../pipeline/store/guard.ts'
import { mayBeHeld, readGuards } from '../../pipeline/store/guard-look.ts'
import type { Overview } from '../overview.ts'

const HIDDEN = '.pruned-'
/** Another prune on the same folder is still at it. */
const LEFT_OVER_MS = 10 * 60_000

/**
 * @param mayGo asked once more while the guards are held: why it stays, or undefined
 * @returns why it stayed; undefined when it is gone, also by another prune
 */
export function removeRun(
  { folder, destinations }: Overview,
  mayGo: () => string | undefined,
): string | undefined {
  const guards: { release(): void }[] = []
  let hidden: string
  try {
    if (!isRunFolder(folder)) return undefined
    guards.push(takeGuard(folder, 'writer'))
    if (!isRunFolder(folder)) {
      // Another prune was faster, and taking the guard has made the folder anew.
      for (const guard of guards) guard.release()
      removeHusk(folder)
      return undefined
    }
    for (const { name } of destinations) {
      guards.push(takeGuard(folder, `deliver-${name}`))
      guards.push(takeGuard(folder, `deliver-${uploadsName(name)}`))
    }
    const others = readGuards(folder).filter((guard) => mayBeHeld(guard) && guard.holder?.pid !== process.pid)
    if (others.length > 0) return `a process holds its guard ${others[0]!.name}`
    const reason = mayGo()
    if (reason !== undefined) return reason
    hidden = join(
      dirname(folder),
      `${HIDDEN}${process.pid}-${randomInt(2 ** 31)}-${basename(folder)}`.slice(0, 255),
    )
    renameSync(folder, hidden)
  } catch (error) {
    if (isGone(folder)) return undefined
    const { message } = error as Error
    return message.includes('ENOSPC') ? `${message}; its guard needs some KiB: free them elsewhere` : message
  } finally {
    for (const guard of guards) guard.release()
  }
  try {
    // unlinks symbolic links, does not follow them
    rmSync(hidden, { recursive: true, force: true, maxRetries: 3 })
    return undefined
  } catch (error) {
    return `some of it could not be removed: ${(error as Error).message}`
  }
}

/** Hidden folders that a killed prune left in the folder of a project. */
export function removeLeftOvers(root: string, now: number): void {
  for (const project of entries(root)) {
    for (const name of entries(join(root, project))) {
      if (!name.startsWith(HIDDEN)) continue
      const path = join(root, project, name)
      try {
        // its own time changed when it got the name
        if (now - lstatSync(path).ctimeMs > LEFT_OVER_MS) rmSync(path, { recursive: true, force: true })
      } catch {
        // gone, or not ours to remove: the next prune looks again
      }
    }
  }
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  } catch {
    return []
  }
}

/** Only if nothing else is in it. */
function removeHusk(folder: string): void {
  try {
    rmdirSync(join(folder, 'guards'))
    rmdirSync(folder)
  } catch {
    // somebody begins a run there
  }
}

function isGone(folder: string): boolean {
  try {
    lstatSync(folder)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
