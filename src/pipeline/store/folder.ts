/**
 * Where runs lie: `<root>/<project>/<run id>/`, and how a name becomes a folder's or a file's name.
 * Copying a run's folder moves the run: nothing inside names the place where it lies.
 *
 *   <root>/<project>/<run id>/
 *     run.json, run.copy.json        what the run is and where it goes, twice (run-file.ts)
 *     journal-00000001.tlj …         everything that was logged               (../journal)
 *     blobs/<2 digits>/<SHA-256>     images, tables, files …, once each       (blobs.ts)
 *     cursors/<name>-<address>.json  how far each destination has got         (cursor.ts)
 *     guards/<name>.<n>.json         who writes and delivers just now         (guard.ts)
 *     dead-letters.jsonl             what a backend refused for good          (dead-letters.ts)
 *
 * The rule from a name (project, run id, destination) to its file name is part of the format:
 *
 *  F1  `a–z 0–9 _ - .` stand for themselves; an upper-case letter is `+` and the lower-case one
 *      (`ResNet` → `+res+net`), since many file systems do not tell case apart.
 *  F2  Anything else is `%xx` for each byte of its UTF-8; half a surrogate pair is `%u` and four digits.
 *      Digits are lower case. Text is taken as it is, never normalised: composed and decomposed forms of a
 *      letter are two names, and stay two where a file system would take them for one.
 *  F3  `%xx` too: a first `.` or `-`, a last `.`, and the first letter of what Windows reserves
 *      (con prn aux nul com0–9 lpt0–9, alone or before a dot). The empty name is `%`.
 *  F4  A result of more than 100 bytes is cut to 66 (less half an escape) and followed by `%-` and the first
 *      32 digits of the SHA-256 of the whole result. 100 leaves room for what files add, below 143 and 255.
 *
 * F1–F3 can be undone and F4 cannot be mistaken for them, hence two names never share a folder.
 */
import { createHash, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
import { nearest } from '../../core/options.ts'
import type { RunId } from '../../core/types.ts'

export const FOLDER_MODE = 0o700
export const FILE_MODE = 0o600
export const RUN_FILE = 'run.json'
export const RUN_COPY_FILE = 'run.copy.json'

const MAX_NAME_BYTES = 100
const CUT_BYTES = 66
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/

/** The folder or file name that stands for `text`: ASCII, at most 100 bytes, legal on every file system. */
export function folderName(text: string): string {
  if (text === '') return '%'
  let name = ''
  for (const character of text) name += escapeCharacter(character)
  if (/^[.-]/.test(name) || RESERVED.test(name)) name = escapeByte(name.charCodeAt(0)) + name.slice(1)
  if (name.endsWith('.')) name = `${name.slice(0, -1)}%2e`
  if (name.length <= MAX_NAME_BYTES) return name
  const head = name.slice(0, CUT_BYTES).replace(/(\+|%[0-9a-f]?|%u[0-9a-f]{0,3})$/, '')
  return `${head}%-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`
}

function escapeCharacter(character: string): string {
  if (/^[a-z0-9_.-]$/.test(character)) return character
  if (/^[A-Z]$/.test(character)) return `+${character.toLowerCase()}`
  if (/^[\ud800-\udfff]$/.test(character)) return `%u${character.charCodeAt(0).toString(16)}`
  return Array.from(Buffer.from(character), escapeByte).join('')
}

function escapeByte(byte: number): string {
  return `%${byte.toString(16).padStart(2, '0')}`
}

export function runFolder(root: string, project: string, id: RunId): string {
  return join(root, folderName(project), folderName(id))
}

/** Makes the run's folder and what is missing above it; one that is there is taken as it is. */
export function createRunFolder(root: string, project: string, id: RunId): string {
  const folder = runFolder(root, project, id)
  mkdirSync(folder, { recursive: true, mode: FOLDER_MODE })
  return folder
}

/** Folders of all runs under a root, by project, then by id, both in the order of their folder names. */
export function listRunFolders(root: string): string[] {
  return subfolders(root)
    .flatMap((project) => subfolders(join(root, project)).map((run) => join(root, project, run)))
    .filter(isRunFolder)
}

export function isRunFolder(folder: string): boolean {
  return existsSync(join(folder, RUN_FILE)) || existsSync(join(folder, RUN_COPY_FILE))
}

/**
 * The folder of a run of which only the id is known.
 * @param project needed only where several projects hold a run of that id
 * @throws TraceletError ERR_RUN_UNKNOWN when there is none; ERR_OPTION when several projects have one
 */
export function findRunFolder(root: string, id: RunId, project?: string): string {
  const projects = project === undefined ? subfolders(root) : [folderName(project)]
  const found = projects.map((name) => join(root, name, folderName(id))).filter(isRunFolder)
  if (found.length === 1) return found[0]!
  if (found.length > 1) {
    throw new TraceletError('ERR_OPTION', `run '${id}' is in several projects, name one: ${found.join(', ')}`)
  }
  const ids = projects.flatMap((name) => subfolders(join(root, name)))
  const near = nearest(folderName(id), ids)
  throw new TraceletError(
    'ERR_RUN_UNKNOWN',
    `no run '${id}' under ${root}${near === undefined ? '' : `; did you mean '${near}'?`}`,
  )
}

/** Visible folders in a folder, sorted; none where it does not exist. */
function subfolders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

/** Without l, o, 0 and 1; 32 of them, so six make a thousand million. */
const ID_LETTERS = 'abcdefghijkmnpqrstuvwxyz23456789'

/** An id that sorts by time (UTC) and is its own folder name: `20261123-101502-x7k2mq`. */
export function newRunId(now: Date = new Date()): RunId {
  const time = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15)
  const random = Array.from({ length: 6 }, () => ID_LETTERS[randomInt(ID_LETTERS.length)]).join('')
  return `${time}-${random}`
}
