/** The files of an artifact or a model, read back. The list may come from a hostile run: it is checked, then used. */
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { TraceletError } from '../core/errors.ts'
import type { BlobRef, FileList, StoredFile } from '../core/types.ts'
import { StoredBlob } from './stored-blob.ts'

/** A file of an artifact: content that the run keeps, or the address of what stays where it is. */
export interface ArtifactFile {
  /** Relative, with `/` between its parts; none of them is empty, `.` or `..`. */
  readonly path: string
  /** Undefined for a reference that did not say. */
  readonly bytes: number | undefined
  readonly content?: StoredBlob
  readonly uri?: string
}

export interface Download {
  readonly files: number
  readonly bytes: number
  /** What the run only points to: not downloaded. */
  readonly references: readonly ArtifactFile[]
}

/**
 * The files of a list, paths checked.
 * @throws TraceletError ERR_BLOB for a list that is missing, damaged, or names a place outside the artifact
 */
export function readFileList(runFolder: string, list: FileList): ArtifactFile[] {
  const files: unknown = Array.isArray(list)
    ? list
    : parseList(new StoredBlob(runFolder, list as BlobRef).text())
  if (!Array.isArray(files)) throw new TraceletError('ERR_BLOB', 'the list of files is not a list')
  return files.map((file: StoredFile) => {
    const path: unknown = file?.path
    if (typeof path !== 'string' || !isInside(path)) {
      const shown = JSON.stringify(path)?.slice(0, 200)
      throw new TraceletError('ERR_BLOB', `the list of files names ${shown}, which is no path within it`)
    }
    if ('uri' in file) {
      return { path, uri: String(file.uri), bytes: typeof file.bytes === 'number' ? file.bytes : undefined }
    }
    if (typeof file.blob !== 'object' || file.blob === null)
      throw new TraceletError('ERR_BLOB', `the list of files has no content for '${path}'`)
    const content = new StoredBlob(runFolder, file.blob)
    return { path, bytes: content.bytes, content }
  })
}

/**
 * Writes the files below `toFolder`, which is made if it is not there; files of the same names are replaced. Nothing
 * is written outside, and no file appears under its name before it is whole and its digest is right.
 * @throws TraceletError ERR_BLOB at the first content that is wrong; ERR_ARTIFACT where a link or a file stands in
 * the place of a folder
 */
export async function downloadFiles(files: readonly ArtifactFile[], toFolder: string): Promise<Download> {
  mkdirSync(resolve(toFolder), { recursive: true })
  const root = realpathSync(toFolder)
  const known = new Set<string>()
  let count = 0
  let bytes = 0
  for (const { path, content } of files) {
    if (!content) continue
    const target = join(root, ...path.split('/'))
    makeFolders(root, path, known)
    await writeWhole(content, target)
    count++
    bytes += content.bytes
  }
  return { files: count, bytes, references: files.filter(({ content }) => !content) }
}

/** One after the other, and no link among them: it could lead anywhere. */
function makeFolders(root: string, path: string, known: Set<string>): void {
  let folder = root
  for (const part of path.split('/').slice(0, -1)) {
    folder = join(folder, part)
    if (known.has(folder)) continue
    try {
      mkdirSync(folder)
    } catch (cause) {
      const isFolder = lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false
      if (!isFolder) {
        const message = `cannot write '${path}': ${folder} is not a folder`
        throw new TraceletError('ERR_ARTIFACT', message, { cause })
      }
    }
    known.add(folder)
  }
}

async function writeWhole(content: StoredBlob, target: string): Promise<void> {
  const beside = join(dirname(target), `.${randomUUID()}.part`)
  try {
    const fd = openSync(beside, 'wx')
    try {
      for (const part of content.parts()) {
        for (let at = 0; at < part.length; ) at += writeSync(fd, part, at)
        await turn()
      }
    } finally {
      closeSync(fd)
    }
    renameSync(beside, target)
  } catch (cause) {
    rmSync(beside, { force: true })
    if (cause instanceof TraceletError) throw cause
    throw new TraceletError('ERR_ARTIFACT', `cannot write ${target}: ${(cause as Error).message}`, { cause })
  }
}

function isInside(path: string): boolean {
  if (path.includes('\0') || (process.platform === 'win32' && /[\\:]/.test(path))) return false
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TraceletError('ERR_BLOB', 'the list of files is not JSON', { cause })
  }
}
