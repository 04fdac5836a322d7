/**
 * What stands at a path at the time of the call: files with how they were, and what was left out and why.
 * Synchronous: when the call returns, what is to be kept is settled.
 */

import { isUtf8 } from 'node:buffer'
import { type BigIntStats, lstatSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
import type { FileMark } from '../../pipeline/parking/messages.ts'
import { keptName, UniquePaths } from './artifact-names.ts'

export interface FoundFile {
  /** In the artifact. */
  path: string
  /** Where it lies, links resolved; bytes where the name is not UTF-8. */
  readonly location: string | Buffer
  mark: FileMark
}
export interface Found {
  /** Sorted by path. */
  readonly files: FoundFile[]
  /** Whether a folder stands at the path. */
  readonly isFolder: boolean
  /** What was left out or renamed, each with its reason. */
  readonly remarks: string[]
}

/** What of a folder is taken; the rest is passed over without a word. Paths as they would stand in the artifact. */
export interface FileChoice {
  readonly takesFolder: (path: string, location: Buffer) => boolean
  readonly takesFile: (path: string) => boolean
  readonly maxFiles: number
  /** Of all together. */
  readonly maxBytes: number
  /** What to do instead, should it be more. */
  readonly advice: string
  /** What is wrong with a folder of which nothing is taken. */
  readonly nothing: string
}

/** The call waits for the walk, and each takes memory until it is kept. */
const MAX_ENTRIES = 500_000
/** Links to folders multiply what is behind them. */
const MAX_LINKED_FOLDERS = 1000
/** Times of files go in ticks of up to 10 ms: a write in the tick of the one before leaves no trace. */
const TICK_MS = 20
const SLASH = Buffer.from('/')
const NEVER = new Int32Array(new SharedArrayBuffer(4))

/**
 * @param path of a file or folder; a link there is followed
 * @param runFolder left out with all that lies beside it, should it be below the path
 * @throws TraceletError ERR_ARTIFACT for what cannot be read or is neither file nor folder
 */
export function findFiles(
  path: string,
  runFolder: string,
  maxEntries: number = MAX_ENTRIES,
  choice?: FileChoice,
): Found {
  return new Walk(runFolder, maxEntries, choice).from(path)
}

/** How it is now, as it is told apart later. */
export function markOf(location: string | Buffer): FileMark {
  return toMark(statSync(location, { bigint: true }))
}

function toMark({ size, mtimeNs, ctimeNs, ino, dev }: BigIntStats): FileMark {
  return { size, mtimeNs, ctimeNs, ino, dev }
}

/**
 * Waits until a later write to any of them can be told by its time, and looks again.
 * @throws Error of the system for one that is gone
 */
export function outlastTick(files: readonly FoundFile[]): void {
  const since = BigInt(Date.now() - TICK_MS) * 1_000_000n
  const fresh = files.filter(({ mark }) => mark.mtimeNs >= since || mark.ctimeNs >= since)
  if (fresh.length === 0) return
  Atomics.wait(NEVER, 0, 0, TICK_MS)
  for (const file of fresh) file.mark = markOf(file.location)
}

class Walk {
  readonly #found: FoundFile[] = []
  readonly #remarks: string[] = []
  readonly #paths = new UniquePaths()
  /** The folder of all runs: a run must not copy what it is writing. */
  readonly #runs: string
  readonly #maxEntries: number
  readonly #choice: FileChoice | undefined
  #root: Buffer = SLASH
  #entries = 0
  #linkedFolders = 0
  #bytes = 0

  constructor(runFolder: string, maxEntries: number, choice: FileChoice | undefined) {
    this.#runs = dirname(dirname(runFolder))
    this.#maxEntries = maxEntries
    this.#choice = choice
  }

  from(path: string): Found {
    const given = resolve(path)
    let root: Buffer
    let stat: BigIntStats
    try {
      root = realpathSync.native(given, { encoding: 'buffer' })
      stat = statSync(root, { bigint: true })
    } catch (error) {
      throw unreadable(path, error)
    }
    if (!stat.isFile() && !stat.isDirectory()) {
      throw new TraceletError('ERR_ARTIFACT', `'${path}' is neither a file nor a folder`)
    }
    this.#root = root
    if (stat.isFile()) this.#addFile(this.#name('', Buffer.from(basename(given))), root, stat)
    else this.#addFolder('', root, new Set())
    if (this.#choice !== undefined && this.#found.length === 0)
      throw new TraceletError('ERR_ARTIFACT', `'${path}' ${this.#choice.nothing}`)
    this.#found.sort((a, b) => (a.path < b.path ? -1 : 1))
    return { files: this.#found, isFolder: !stat.isFile(), remarks: this.#remarks }
  }

  /** @param within the real folders that this one is in, links followed */
  #addFolder(path: string, real: Buffer, within: ReadonlySet<string>): void {
    const key = real.toString('latin1')
    let names: Buffer[]
    try {
      names = readdirSync(real, { encoding: 'buffer' }).sort(Buffer.compare)
    } catch (error) {
      throw unreadable(path || real.toString(), error)
    }
    const inner = new Set(within).add(key)
    for (const name of names) {
      const location = Buffer.concat([real, SLASH, name])
      this.#addEntry(path, name, location, inner)
    }
  }

  #addEntry(path: string, name: Buffer, location: Buffer, within: ReadonlySet<string>): void {
    if (++this.#entries > this.#maxEntries) {
      throw new TraceletError(
        'ERR_ARTIFACT',
        `'${this.#root.toString()}' holds more than ${this.#maxEntries} files; log an archive of it, or a reference`,
      )
    }
    const stat = lookAt(location)
    if (stat.isSymbolicLink()) return this.#addLink(path, name, location, within)
    if (!this.#takes(path, name, location, stat)) return
    if (stat.isFile()) return this.#addFile(this.#name(path, name), location, stat)
    if (!stat.isDirectory()) return this.#leaveOut(path, name, 'is neither a file nor a folder')
    if (this.#isRuns(location)) return this.#leaveOut(path, name, 'is where tracelet keeps its runs')
    this.#addFolder(this.#name(path, name, true), location, within)
  }

  #addLink(path: string, name: Buffer, location: Buffer, within: ReadonlySet<string>): void {
    let target: Buffer
    let stat: BigIntStats
    try {
      target = realpathSync.native(location, { encoding: 'buffer' })
      stat = statSync(target, { bigint: true })
    } catch {
      if (!this.#takes(path, name, location)) return
      return this.#leaveOut(path, name, 'is a link that leads nowhere')
    }
    if (!this.#takes(path, name, location, stat)) return
    if (!isInside(target, this.#root)) return this.#leaveOut(path, name, 'is a link out of the folder')
    if (stat.isFile()) return this.#addFile(this.#name(path, name), target, stat)
    if (!stat.isDirectory()) return this.#leaveOut(path, name, 'is a link to neither a file nor a folder')
    if (within.has(target.toString('latin1')) || this.#isRuns(target))
      return this.#leaveOut(path, name, 'is a link to a folder that it lies in')
    if (++this.#linkedFolders > MAX_LINKED_FOLDERS)
      return this.#leaveOut(path, name, `is a link to a folder, the ${MAX_LINKED_FOLDERS + 1}th`)
    this.#addFolder(this.#name(path, name, true), target, within)
  }

  /** Whether it is chosen: as a file, unless it is known to be a folder. */
  #takes(path: string, part: Buffer, location: Buffer, stat?: BigIntStats): boolean {
    if (this.#choice === undefined) return true
    const { name } = keptName(part)
    const full = path === '' ? name : `${path}/${name}`
    if (!stat?.isDirectory()) return this.#choice.takesFile(full)
    return !this.#isRuns(location) && this.#choice.takesFolder(full, location)
  }

  #addFile(path: string, location: Buffer, stat: BigIntStats): void {
    this.#bytes += Number(stat.size)
    const { maxFiles = Infinity, maxBytes = Infinity, advice } = this.#choice ?? {}
    if (this.#found.length >= maxFiles || this.#bytes > maxBytes) {
      const most = this.#bytes > maxBytes ? `${maxBytes} bytes` : `${maxFiles} files`
      const message = `'${this.#root.toString()}' holds more than ${most} of the kind: ${advice}`
      throw new TraceletError('ERR_ARTIFACT', message)
    }
    const place = isUtf8(location) ? location.toString() : location
    this.#found.push({ path: this.#paths.take(path), location: place, mark: toMark(stat) })
  }

  /** The path of a part below another; remarked where it is not the file's own. */
  #name(path: string, part: Buffer, isFolder = false): string {
    const { name, fault } = keptName(part)
    const full = path === '' ? name : `${path}/${name}`
    if (fault !== undefined)
      this.#remarks.push(`the name of a ${isFolder ? 'folder' : 'file'} ${fault}: kept as '${full}'`)
    return full
  }

  #leaveOut(path: string, part: Buffer, why: string): void {
    const { name } = keptName(part)
    this.#remarks.push(`'${path === '' ? name : `${path}/${name}`}' ${why}: left out`)
  }

  #isRuns(real: Buffer): boolean {
    return real.toString() === this.#runs
  }
}

function lookAt(location: Buffer): BigIntStats {
  try {
    return lstatSync(location, { bigint: true })
  } catch (error) {
    throw unreadable(location.toString(), error)
  }
}

function isInside(path: Buffer, folder: Buffer): boolean {
  const start = folder.equals(SLASH) ? folder : Buffer.concat([folder, SLASH])
  return path.length > start.length && path.subarray(0, start.length).equals(start)
}

function unreadable(path: string, error: unknown): TraceletError {
  return new TraceletError('ERR_ARTIFACT', `'${path}' cannot be read: ${(error as Error).message}`, {
    cause: error,
  })
}
