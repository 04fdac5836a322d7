/** Who holds the guards of a run, without taking one: for listings, `doctor` and `prune`. Only reads. */
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { folderName } from './folder.ts'
import { FOREIGN_DEAD_MS, type GuardName, UNWRITTEN_MS } from './guard.ts'
import { inodeOf, readGuard } from './guard-file.ts'
import { livenessOf } from './process-identity.ts'

export interface SeenGuard {
  /** `writer`, `deliver-mlflow` …, as the file's name has it. */
  readonly name: string
  readonly path: string
  /**
   * 'held': its holder lives. 'stale': its holder is gone, the next one takes over. 'copied': it came with a copied
   * folder and holds nothing. 'unreadable': being made, damaged, or of a newer version; until it has not been touched
   * for long it counts as held.
   */
  readonly state: 'held' | 'stale' | 'copied' | 'unreadable'
  /** Absent where it cannot be read. */
  readonly holder?: {
    readonly pid: number
    readonly hostname: string
    readonly isElsewhere: boolean
    /** Seen to live; of one elsewhere that cannot be seen. */
    readonly isAlive: boolean
  }
  /** By this machine's clock: a guess where the guard lies on another. */
  readonly touchedAgoMs: number
}

/** All guards in a run's folder; none where it has no folder of guards. */
export function readGuards(folder: string): SeenGuard[] {
  let files: string[]
  try {
    files = readdirSync(join(folder, 'guards'))
  } catch {
    return []
  }
  return files.sort().flatMap((file) => {
    const name = /^(.+)\.\d{1,15}\.json$/.exec(file)?.[1]
    const seen = name === undefined ? undefined : look(name, join(folder, 'guards', file))
    return seen === undefined ? [] : [seen]
  })
}

/** Whether a live process holds the guard, as far as can be seen from here. */
export function isHeld(folder: string, name: GuardName): boolean {
  return holderOf(folder, name) !== undefined
}

/** The guard of that name that is held or, as it cannot be read, may be. */
export function holderOf(folder: string, name: GuardName): SeenGuard | undefined {
  const file = folderName(name)
  return readGuards(folder).find((guard) => guard.name === file && mayBeHeld(guard))
}

/** Whether the next one who wants it is refused. */
export function mayBeHeld({ state }: SeenGuard): boolean {
  return state === 'held' || state === 'unreadable'
}

/** Whether the folder is the copy of one whose guard a process of this machine holds still. */
export function isCopyOfLive(folder: string, name: GuardName): boolean {
  const file = folderName(name)
  return readGuards(folder).some(
    (guard) => guard.name === file && guard.state === 'copied' && guard.holder?.isAlive === true,
  )
}

/** Undefined when it has been released meanwhile. */
function look(name: string, path: string): SeenGuard | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return { name, path, state: 'unreadable', touchedAgoMs: 0 }
  }
  try {
    const touchedAgoMs = Math.max(0, Date.now() - fstatSync(fd).mtimeMs)
    const content = readGuard(fd)
    if (typeof content === 'string') {
      const deadMs = content === 'unwritten' ? UNWRITTEN_MS : FOREIGN_DEAD_MS
      const state = touchedAgoMs <= deadMs ? 'unreadable' : 'stale'
      return { name, path, state, touchedAgoMs }
    }
    const liveness = livenessOf(content)
    const holder = {
      pid: content.pid,
      hostname: content.hostname,
      isElsewhere: liveness === 'elsewhere',
      isAlive: liveness === 'alive' && content.startTime !== '',
    }
    const isUnsure = liveness === 'elsewhere' || (liveness === 'alive' && content.startTime === '')
    const isAlive = isUnsure ? touchedAgoMs <= FOREIGN_DEAD_MS : liveness === 'alive'
    const state = content.inode !== inodeOf(fd) ? 'copied' : isAlive ? 'held' : 'stale'
    return { name, path, state, holder, touchedAgoMs }
  } finally {
    closeSync(fd)
  }
}
