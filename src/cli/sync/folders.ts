/** From the words of the command line to the folders of runs. */
import { readdirSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
import { findRunFolder, folderName, isRunFolder, listRunFolders } from '../../pipeline/store/folder.ts'

export interface Places {
  /** Root folder in which ids are looked for. */
  readonly dir: string
  readonly project: string | undefined
}

/** A word that names no run, or a folder that cannot be read. */
export interface Unfound {
  readonly folder: string
  readonly error: unknown
}

/** All runs of the root folder, or of one of its projects. */
export function allRuns({ dir, project }: Places): string[] {
  const folders = listRunFolders(dir)
  return project === undefined
    ? folders
    : folders.filter((folder) => basename(dirname(folder)) === folderName(project))
}

/**
 * @param words ids of runs, their folders, or folders above them, at any depth
 * @returns each folder once, in the order named
 */
export function namedRuns(
  words: readonly string[],
  places: Places,
): { folders: string[]; unfound: Unfound[] } {
  const folders = new Map<string, string>()
  const unfound: Unfound[] = []
  for (const word of words) {
    try {
      for (const folder of runsOf(word, places, unfound)) {
        const real = realpathSync(folder)
        if (!folders.has(real)) folders.set(real, folder)
      }
    } catch (error) {
      unfound.push({ folder: word, error })
    }
  }
  return { folders: [...folders.values()], unfound }
}

function runsOf(word: string, { dir, project }: Places, unfound: Unfound[]): string[] {
  const path = resolve(word)
  if (isRunFolder(path)) return [path]
  try {
    return [findRunFolder(dir, word, project)]
  } catch (error) {
    const isUnknown = error instanceof TraceletError && error.code === 'ERR_RUN_UNKNOWN'
    if (!isUnknown || !isFolder(path)) throw error
  }
  const before = unfound.length
  const below = runsBelow(path, unfound)
  if (below.length === 0 && unfound.length === before)
    throw new TraceletError('ERR_RUN_UNKNOWN', `there is no run below ${path}`)
  return below
}

/** Hidden folders but `.tracelet` are passed over, links are not followed, and below a run there is none. */
function runsBelow(folder: string, unfound: Unfound[]): string[] {
  if (isRunFolder(folder)) return [folder]
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && (!entry.name.startsWith('.') || entry.name === '.tracelet'))
      .map(({ name }) => name)
      .sort()
      .flatMap((name) => runsBelow(join(folder, name), unfound))
  } catch (error) {
    // removed meanwhile
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') unfound.push({ folder, error })
    return []
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
