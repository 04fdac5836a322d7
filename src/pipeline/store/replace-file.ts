/** Replacing a small file so that a reader, and a crash of the process, sees the old content or the new. */
import { closeSync, fdatasyncSync, openSync, renameSync, writeSync } from 'node:fs'
import { FILE_MODE } from './folder.ts'

/**
 * Writes `content` beside `path` and returns the name it has there, for the caller to rename.
 * The name is fixed: two writers of one path at once are the caller's to exclude (by a guard).
 */
export function writeBeside(path: string, content: Uint8Array, sync: boolean): string {
  const beside = `${path}.tmp`
  const fd = openSync(beside, 'w', FILE_MODE)
  try {
    let written = 0
    while (written < content.length) written += writeSync(fd, content, written)
    if (sync) fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
  return beside
}

/** @param sync also survives power loss: costs up to some tens of milliseconds */
export function replaceFile(path: string, content: Uint8Array, sync: boolean): void {
  renameSync(writeBeside(path, content, sync), path)
}
