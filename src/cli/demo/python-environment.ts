/** A Python virtual environment with one package from PyPI, made once and found again by its folder. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { CommandError } from '../command.ts'

const CANDIDATES = ['python3.11', 'python3.12', 'python3.10', 'python3', 'python']
const OLDEST_MINOR = 10
const run = promisify(execFile)

/**
 * @param folder where it is, or shall be made
 * @param requirement as pip takes it: `mlflow==3.17.2`
 * @param onProgress packages found so far
 * @returns path of its interpreter
 * @throws CommandError when there is no usable Python, or pip fails
 */
export async function pythonEnvironment(
  folder: string,
  requirement: string,
  onProgress: (packages: number) => void,
): Promise<string> {
  const interpreter = join(folder, 'bin', 'python')
  if (existsSync(interpreter)) return interpreter
  const command = await findPython()
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 })
  // Made beside its place and moved there when it is whole: an interrupted one is never taken for ready. Its scripts
  // would name the wrong folder after that, hence everything is run by `python -m`.
  const unfinished = join(dirname(folder), `.${basename(folder)}-${process.pid}`)
  try {
    await run(command, ['-m', 'venv', unfinished])
    await install(join(unfinished, 'bin', 'python'), requirement, onProgress)
    if (existsSync(interpreter)) return interpreter
    renameSync(unfinished, folder)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return interpreter
}

async function findPython(): Promise<string> {
  const script = 'import sys, venv, ensurepip; print(sys.version_info[0] * 100 + sys.version_info[1])'
  for (const command of CANDIDATES) {
    try {
      const { stdout } = await run(command, ['-c', script])
      if (Number(stdout) >= 300 + OLDEST_MINOR) return command
    } catch {
      // Not there, or without venv: the next one.
    }
  }
  throw new CommandError(
    `no Python 3.${OLDEST_MINOR} or later with its venv module found (looked for ${CANDIDATES.join(', ')}); ` +
      'or name a server: --mlflow-uri http://…',
  )
}

async function install(
  python: string,
  requirement: string,
  onProgress: (packages: number) => void,
): Promise<void> {
  const options = ['--disable-pip-version-check', '--no-input', '--progress-bar', 'off']
  const pip = spawn(python, ['-m', 'pip', 'install', ...options, requirement], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let packages = 0
  let problems = ''
  pip.stdout.on('data', (text: Buffer) => {
    packages += text.toString().split('Collecting ').length - 1
    onProgress(packages)
  })
  pip.stderr.on('data', (text: Buffer) => (problems += text))
  const code = await new Promise((resolve, reject) => pip.on('error', reject).on('close', resolve))
  if (code === 0) return
  throw new CommandError(
    `pip could not install ${requirement}: ${problems.trim().split('\n').slice(-3).join(' ')}`,
  )
}
