/** Everything below a folder, as far as anything can be changed there. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Path → kind, size, time of the last change and content; a file that comes and goes changes its folder's time. */
export function treeOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  const look = (path: string) => {
    const stat = lstatSync(join(folder, path))
    const content = stat.isFile()
      ? createHash('sha256')
          .update(readFileSync(join(folder, path)))
          .digest('hex')
      : 'folder'
    found[path] = `${stat.size} ${stat.mtimeMs} ${content}`
    if (stat.isDirectory()) for (const name of readdirSync(join(folder, path))) look(join(path, name))
  }
  look('.')
  return found
}
