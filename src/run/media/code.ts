/** The program's source as an artifact of type `code`: what people wrote, never what was installed or built. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorRecord } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'
import { anyPattern } from '../../core/routing.ts'
import type { Snapshot } from '../../pipeline/parking/messages.ts'
import { describe, nameIssue } from '../producer.ts'
import type { FileChoice } from './artifact-walk.ts'
import { logFiles } from './log-files.ts'
import type { MediaLog } from './media-log.ts'

export interface CodeOptions {
  /** Of the artifact; default `code`. */
  readonly name?: string | undefined
  /**
   * Only files whose path below the folder fits one of these; `*` stands for any characters, `/` among them. Default
   * those that end in .js .mjs .cjs .jsx .ts .mts .cts .tsx .py .ipynb .sh, and `package.json`, `tsconfig.json`,
   * `pyproject.toml`, `requirements.txt`, `Dockerfile`.
   */
  readonly include?: string | readonly string[] | undefined
  /** Files whose path fits one of these are not taken, included or not. */
  readonly exclude?: string | readonly string[] | undefined
}

const DEFAULT_NAME = 'code'
const SOURCE =
  /(?:\.(?:[mc]?[jt]s|[jt]sx|py|ipynb|sh)|(?:^|\/)(?:(?:package|tsconfig)\.json|pyproject\.toml|requirements\.txt|Dockerfile))$/
/** Installed, built or cached, whatever lies in it. */
const NEVER = new Set(['node_modules', 'bower_components', 'dist', '__pycache__'])
const MAX_FILES = 10_000
const MAX_BYTES = 64 * 2 ** 20

export function logCode(log: MediaLog, folder: string | URL, options: CodeOptions): Promise<Snapshot> {
  let choice: FileChoice | undefined
  return logFiles(log, folder, {
    call: 'logCode',
    record: () => {
      const { name = DEFAULT_NAME } = options
      const issue = nameIssue(name)
      if (issue) return issue
      const made = choiceOf(options)
      if ('code' in made) return made
      choice = made
      return { kind: 'artifact', name: redactText(name), type: 'code', time: Date.now(), files: [], bytes: 0 }
    },
    choice: () => choice!,
    noReferences: 'code is kept with the run; logArtifact() takes references',
  })
}

function choiceOf({ include, exclude }: CodeOptions): FileChoice | ErrorRecord {
  const included = patternsOf('include', include)
  const excluded = patternsOf('exclude', exclude)
  if (included !== undefined && 'code' in included) return included
  if (excluded !== undefined && 'code' in excluded) return excluded
  return {
    takesFolder: (path, location) => {
      const name = path.slice(path.lastIndexOf('/') + 1)
      return !name.startsWith('.') && !NEVER.has(name) && !isPythonEnvironment(location)
    },
    takesFile: (path) => (included ?? SOURCE).test(path) && !excluded?.test(path),
    maxFiles: MAX_FILES,
    maxBytes: MAX_BYTES,
    advice: 'name a folder further down, or less by `include` and `exclude`',
    nothing: 'holds no source files; `include` says which are',
  }
}

function patternsOf(option: string, given: unknown): RegExp | ErrorRecord | undefined {
  if (given === undefined) return undefined
  const patterns: readonly unknown[] = Array.isArray(given) ? given : [given]
  const bad = patterns.find((pattern) => typeof pattern !== 'string')
  if (bad === undefined) return anyPattern(patterns as readonly string[])
  return { code: 'ERR_VALUE', message: `\`${option}\` is a text or several, but holds ${describe(bad)}` }
}

function isPythonEnvironment(location: Buffer): boolean {
  return existsSync(join(location.toString(), 'pyvenv.cfg'))
}
