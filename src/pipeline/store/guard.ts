/**
 * Guards: `writer` for the process that writes a run, `deliver-<destination>` for the one that delivers it, so
 * that a live process, `sync` and a restarted program never overlap. A guard is a file
 * `guards/<name>.<generation>.json` with its holder's identity.
 *
 *  U1  A guard comes to its place whole, by an exclusive link or create, and is never written over by another
 *      process.
 *  U2  It is dead when its holder is: same machine and no such process, another start time of that process, or
 *      another boot; another machine (or a container whose processes cannot be seen): untouched for 5 minutes,
 *      and one that was touched in the future counts from when it is met; so does one that is damaged or of a newer
 *      version. One that names another inode than its own came with a copied folder and is dead.
 *  U3  Whoever finds the guard of generation n dead makes generation n + 1. Whoever has made a guard looks again:
 *      it holds only if there is no higher generation and no lower one alive, else it withdraws its own.
 *  U4  Only a holder removes others' guards: the dead ones below its own. `release` removes its own.
 *
 * Why two can never hold at once, be their generations c < d: did the maker of d look after c was made, it saw c
 * alive and withdrew. Else c was made after that look, hence the maker of c saw d, and withdrew. Two that meet may
 * both withdraw; each tries again after a random pause.
 */
import { randomInt } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fstatSync,
  futimesSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { monotonicNow } from '../../core/clock.ts'
import { TraceletError } from '../../core/errors.ts'
import type { DestinationName } from '../../core/types.ts'
import { FILE_MODE, FOLDER_MODE, folderName } from './folder.ts'
import {
  decodeGuard,
  encodeGuard,
  type GuardContent,
  inodeOf,
  readGuard,
  type UnreadGuard,
} from './guard-file.ts'
import { isOwnIdentity, livenessOf } from './process-identity.ts'

/** How often a holder calls `touch()`. */
export const GUARD_TOUCH_MS = 10_000
export const FOREIGN_DEAD_MS: number = 5 * 60_000
/** A guard without content is being made: it gets this long before it counts as a crash's remains. */
export const UNWRITTEN_MS = 1000
/** A guard touched so far ahead of the present was touched before the clock was set back. */
const FUTURE_MS = 60_000
/** For people: what becomes of a guard of whose holder nothing is known. */
export const UNSURE_UNTIL = 'five minutes after its last touch it counts as gone'
const ATTEMPTS = 100
const WITHDRAWAL_MS = 100

export type GuardName = 'writer' | `deliver-${DestinationName}`

export interface GuardOptions {
  /**
   * Take over a guard of this very process. Only for the successor of a thread that is known to have ended:
   * otherwise the process itself counts as a live holder.
   */
  readonly replaceOwn?: boolean
}

/**
 * Takes a guard, from a dead holder if need be. Synchronous; waits only for a guard that is just being made.
 * @throws TraceletError ERR_RUN_BUSY when a live process holds it, which may be this one, or when nobody can say
 * whether one does; ERR_JOURNAL_WRITE when it cannot be made
 */
export function takeGuard(folder: string, name: GuardName, options: GuardOptions = {}): Guard {
  const family = new GuardFamily(folder, name, options.replaceOwn ?? false)
  try {
    mkdirSync(family.folder, { recursive: true, mode: FOLDER_MODE })
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const guard = family.tryToTake()
      if (guard !== undefined) return guard
      pause(randomInt(1, 20))
    }
  } catch (cause) {
    if (cause instanceof TraceletError) throw cause
    throw new TraceletError(
      'ERR_JOURNAL_WRITE',
      `cannot make a guard in ${family.folder}: ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
  throw new TraceletError(
    'ERR_RUN_BUSY',
    `the ${name} guard of ${folder} is asked for by too many processes at once`,
  )
}

/** A guard that this process holds. */
export class Guard {
  readonly path: string
  readonly #nextPath: string
  readonly #content: Buffer
  readonly #inode: string

  constructor(path: string, nextPath: string, content: Buffer, inode: string) {
    this.path = path
    this.#nextPath = nextPath
    this.#content = content
    this.#inode = inode
  }

  /**
   * To be called every GUARD_TOUCH_MS. False when the guard is not ours any more (this machine slept, another has
   * taken over): the holder must stop what it guards.
   */
  touch(): boolean {
    try {
      const fd = openSync(this.path, 'r+')
      try {
        if (!this.#isOurs(fd)) return false
        // The same bytes again, not utimes: so the time is the file server's own, which others compare with.
        writeSync(fd, this.#content, 0, this.#content.length, 0)
      } finally {
        closeSync(fd)
      }
    } catch (error) {
      // A disk that fails for the moment does not hand the guard to anybody.
      return (error as NodeJS.ErrnoException).code !== 'ENOENT'
    }
    if (!existsSync(this.#nextPath)) return true
    // Somebody thought us dead. Unless it was done before this touch, it sees the touch now and withdraws.
    pause(WITHDRAWAL_MS)
    return !existsSync(this.#nextPath)
  }

  /** Removes the guard if it is still ours. Twice is harmless. */
  release(): void {
    try {
      const fd = openSync(this.path, 'r')
      const isOurs = this.#isOurs(fd)
      closeSync(fd)
      if (isOurs) rmSync(this.path, { force: true })
    } catch {
      // Gone already, or it will be found dead when this process has ended.
    }
  }

  /**
   * The file that we made, with what we wrote: an inode alone may have been given away again. One that is damaged is
   * no other's, who would have written all of it.
   */
  #isOurs(fd: number): boolean {
    if (inodeOf(fd) !== this.#inode) return false
    const found = readFileSync(fd)
    if (found.equals(this.#content)) return true
    return found.length === this.#content.length && decodeGuard(found.toString()) === 'damaged'
  }
}

interface Made {
  readonly content: Buffer
  readonly inode: string
}

/** @throws EEXIST, or what a disk throws, which then has no such file */
function writeNew(path: string): Made {
  const fd = openSync(path, 'wx', FILE_MODE)
  try {
    const inode = inodeOf(fd)
    const content = encodeGuard(inode)
    // all of it, or a full disk throws
    writeFileSync(fd, content)
    return { content, inode }
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
}

/** Who holds a guard, or why that cannot be said. */
type Holder = GuardContent | Exclude<UnreadGuard, 'unwritten'>

/** The guards of one name in one run's folder: one, but for the moments of a take-over. */
class GuardFamily {
  readonly folder: string
  readonly #name: GuardName
  readonly #prefix: string
  readonly #replaceOwn: boolean

  constructor(folder: string, name: GuardName, replaceOwn: boolean) {
    this.folder = join(folder, 'guards')
    this.#name = name
    this.#prefix = `${folderName(name)}.`
    this.#replaceOwn = replaceOwn
  }

  /** Undefined: others were about, try again. */
  tryToTake(): Guard | undefined {
    const highest = this.#generations().at(-1) ?? 0
    if (highest > 0) this.#refuseIfAlive(highest)
    const generation = highest + 1
    const path = this.#path(generation)
    const made = this.#make(path)
    if (made === undefined) return undefined
    const { content, inode } = made
    try {
      const others = this.#generations().filter((other) => other !== generation)
      const isHolder = others.every((other) => other < generation && this.#holderOf(other) === undefined)
      if (isHolder) {
        for (const other of others) rmSync(this.#path(other), { force: true })
        return new Guard(path, this.#path(generation + 1), content, inode)
      }
    } catch (error) {
      rmSync(path, { force: true })
      throw error
    }
    rmSync(path, { force: true })
    return undefined
  }

  /**
   * Written beside its place and then put there: who is killed meanwhile leaves none that cannot be read. Undefined
   * when another has the place.
   */
  #make(path: string): Made | undefined {
    const draft = join(this.folder, `draft.${process.pid}.${randomInt(2 ** 31)}.tmp`)
    try {
      const made = writeNew(draft)
      try {
        linkSync(draft, path)
        return made
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
        // a file system without links
        return writeNew(path)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
      throw error
    } finally {
      rmSync(draft, { force: true })
    }
  }

  #refuseIfAlive(generation: number): void {
    const holder = this.#holderOf(generation)
    if (holder === undefined) return
    throw new TraceletError('ERR_RUN_BUSY', this.#refusal(holder, this.#path(generation)))
  }

  #refusal(holder: Holder, path: string): string {
    if (typeof holder === 'string') {
      const what = holder === 'newer' ? 'was made by a newer tracelet' : 'is damaged'
      return `the guard ${path} ${what}, so nobody can say whether its process lives: ${UNSURE_UNTIL}`
    }
    const where = `${holder.hostname}${holder.pid === process.pid ? ' (this process)' : ''}`
    return this.#name === 'writer'
      ? `process ${holder.pid} on ${where} writes this run; give each process a run of its own and join them by 'group'`
      : `process ${holder.pid} on ${where} delivers this run (${this.#name}); let it finish or stop it`
  }

  /** The live holder of a guard; undefined when it is dead, or gone. */
  #holderOf(generation: number): Holder | undefined {
    const path = this.#path(generation)
    const deadline = monotonicNow() + UNWRITTEN_MS
    for (;;) {
      let fd: number
      try {
        fd = openSync(path, 'r')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
      try {
        const content = readGuard(fd)
        if (content !== 'unwritten') return this.#isAlive(content, fd) ? content : undefined
      } finally {
        closeSync(fd)
      }
      if (monotonicNow() >= deadline) return undefined
      pause(5)
    }
  }

  #isAlive(holder: Holder, fd: number): boolean {
    if (typeof holder === 'string') return this.#isTouched(fd)
    if (holder.inode !== inodeOf(fd)) return false
    if (this.#replaceOwn && isOwnIdentity(holder)) return false
    const liveness = livenessOf(holder)
    // Without a start time the process may be a later one of the same number, which does not touch the guard.
    const isUnsure = liveness === 'elsewhere' || (liveness === 'alive' && holder.startTime === '')
    return isUnsure ? this.#isTouched(fd) : liveness === 'alive'
  }

  /** Of late. */
  #isTouched(fd: number): boolean {
    const now = this.#fileSystemNow()
    const touchedAgoMs = now - fstatSync(fd).mtimeMs
    if (touchedAgoMs < -FUTURE_MS) bringToPresent(fd, now)
    return touchedAgoMs <= FOREIGN_DEAD_MS
  }

  /** The clock that stamps the guards: on a network file system not this machine's. */
  #fileSystemNow(): number {
    const path = join(this.folder, `clock.${process.pid}.${randomInt(2 ** 31)}.tmp`)
    const fd = openSync(path, 'wx', FILE_MODE)
    try {
      return fstatSync(fd).mtimeMs
    } finally {
      closeSync(fd)
      rmSync(path, { force: true })
    }
  }

  #generations(): number[] {
    return readdirSync(this.folder)
      .filter((file) => file.startsWith(this.#prefix))
      .map((file) => /^(\d{1,15})\.json$/.exec(file.slice(this.#prefix.length))?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((a, b) => a - b)
  }

  #path(generation: number): string {
    return join(this.folder, `${this.#prefix}${generation}.json`)
  }
}

/**
 * The clock has been set back since the guard was touched: a dead one would be held until that time has come again.
 * A live holder touches it soon and does not mind.
 */
function bringToPresent(fd: number, now: number): void {
  try {
    futimesSync(fd, now / 1000, now / 1000)
  } catch {
    // another user's: that one has to do it
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
