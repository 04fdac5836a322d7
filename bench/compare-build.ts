/** Builds of two commits side by side, below the work tree so that both find its `node_modules`. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Build {
  /** Commit, as the report names it. */
  readonly label: string
  /** Holds `bench/` and `src/`, compiled. */
  readonly dist: string
  readonly remove: () => void
}

const ROOT = rootFrom(dirname(fileURLToPath(import.meta.url)))
const FOLDER = join(ROOT, '.cache', 'compare')
const SOURCES = ['src', 'bench', 'test', 'package.json', 'tsconfig.json']

/**
 * A commit, exported and compiled; kept for the next time.
 * @throws Error when there is no such commit, or it does not compile with the packages installed now
 */
export function buildOfCommit(revision: string): Build {
  const commit = git('rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`)
    .toString()
    .trim()
  const label = commit.slice(0, 7)
  const folder = join(FOLDER, commit)
  const build = { label, dist: join(folder, 'dist'), remove: () => {} }
  if (existsSync(folder)) return build
  // made beside its place and moved there when it is whole: an interrupted one is never taken for ready
  const unfinished = join(FOLDER, `.${commit}-${process.pid}`)
  mkdirSync(unfinished, { recursive: true })
  try {
    const archive = git('archive', '--format=tar', commit, '--', ...SOURCES)
    execFileSync('tar', ['-x', '-C', unfinished], { input: archive })
    compile(unfinished, label)
    if (!existsSync(folder)) renameSync(unfinished, folder)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return build
}

/** A copy of what is compiled in the work tree: compiling again while it is measured changes nothing of it. */
export function buildOfWorkTree(): Build {
  const folder = join(FOLDER, `work-tree-${process.pid}`)
  const changed = git('status', '--porcelain', '--', 'src', 'bench').length > 0
  const head = git('rev-parse', '--short=7', 'HEAD').toString().trim()
  cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  return {
    label: changed ? `${head} with changes` : head,
    dist: join(folder, 'dist'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

function compile(folder: string, label: string): void {
  const compiler = resolve(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  try {
    execFileSync(process.execPath, [compiler, '-p', '.'], { cwd: folder, encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    throw new Error(`${label} does not compile here: ${stdout?.trim().split('\n').slice(0, 3).join(' ')}`)
  }
}

function git(...args: string[]): Buffer {
  try {
    return execFileSync('git', args, { cwd: ROOT, stdio: 'pipe', maxBuffer: 2 ** 30 })
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer }
    throw new Error(`git ${args.join(' ')}: ${stderr?.toString().trim() || 'failed'}`)
  }
}

function rootFrom(folder: string): string {
  return existsSync(join(folder, 'package.json')) ? folder : rootFrom(dirname(folder))
}
