import { closeSync, fsyncSync, openSync } from 'node:fs'

/** Makes the names in a folder survive the machine. @throws Error of the system */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return // Folders cannot be opened there, and need not be synced.
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
