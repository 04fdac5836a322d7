/**
 * Files below a run's directory: hard links to what the run keeps, copies where the disk is another. `wandb sync`
 * removes the files of artifacts when it has sent them, so none of those may be the run's own, nor stand for two.
 */
import { constants } from 'node:fs'
import { copyFile, link, lstat, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { BlobError } from '../../run-blobs.ts'
import { FILE_MODE, makeFolder } from './directory.ts'

export type FileSource =
  | { readonly location: string; readonly bytes: number }
  | { readonly chunks: () => AsyncIterable<Uint8Array> }

/** A hard link is not to be had: another disk, too many of them, a system without or one that forbids it. */
const COPIED = new Set(['EXDEV', 'EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])
/** Of a path that this disk cannot have, or where something else is in its way. */
const NO_PATH = new Set(['ERR_AUTH', 'EISDIR', 'ENOTDIR', 'ENAMETOOLONG', 'EINVAL', 'ENOTEMPTY'])

/**
 * @param path below `directory`: parts between slashes
 * @throws BlobError where the source is not what it should be or the path cannot be; errors of node:fs that may pass
 */
export async function placeFile(directory: string, path: string, source: FileSource): Promise<string> {
  const parts = path.split('/')
  if (parts.some((part) => /^\.{0,2}$/.test(part) || part.includes('\0'))) {
    throw new BlobError(`'${path}' is no path below a folder`)
  }
  const name = parts.pop()!
  try {
    const to = join(await makeFolder(directory, parts), name)
    await ('chunks' in source ? fill(to, source.chunks()) : linkOrCopy(source, to))
    return to
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    throw NO_PATH.has(code) ? new BlobError(message) : error
  }
}

async function linkOrCopy(
  { location, bytes }: { readonly location: string; readonly bytes: number },
  to: string,
) {
  const source = await lstat(location).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new BlobError(error.message) : error
  })
  // a link to a link would bring whatever that leads to
  if (!source.isFile() || source.size !== bytes)
    throw new BlobError(`${location} is not a file of ${bytes} bytes`)
  try {
    await replace(to, () => link(location, to))
  } catch (error) {
    if (!COPIED.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    await beside(to, (part) => copyFile(location, part, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE))
  }
}

/** A later file of the same path takes the place of the one before. */
async function replace(to: string, make: () => Promise<void>): Promise<void> {
  try {
    await make()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    await rm(to)
    await make()
  }
}

async function fill(to: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  await beside(to, async (part) => {
    const handle = await open(part, 'wx', FILE_MODE)
    try {
      for await (const chunk of chunks) await handle.writeFile(chunk)
    } finally {
      await handle.close()
    }
  })
}

/** Whole under its name, or not there. */
async function beside(to: string, make: (part: string) => Promise<void>): Promise<void> {
  const part = join(dirname(to), `.${basename(to).slice(0, 100)}.tracelet-part`)
  await rm(part, { force: true })
  try {
    await make(part)
    await rename(part, to)
  } catch (error) {
    await rm(part, { force: true }).catch(() => {})
    throw error
  }
}
