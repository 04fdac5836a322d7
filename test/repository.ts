/** The repository's own files, for tests about them: compiled tests run below dist/. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const REPOSITORY = rootFrom(dirname(fileURLToPath(import.meta.url)))

export interface SourceFile {
  /** From `src/` on, with slashes: `ring/layout.ts`. */
  readonly path: string
  readonly text: string
}

/** Every hand-written module below `src/`. */
export function sourceFiles(): SourceFile[] {
  const src = join(REPOSITORY, 'src')
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.generated.ts'))
    .map((path) => ({
      path: relative(src, join(src, path)).split(sep).join('/'),
      text: readFileSync(join(src, path), 'utf8'),
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

function rootFrom(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : rootFrom(dirname(folder))
}
