/**
 * A Python with the packages of `requirements.txt`, in a virtual environment that is made at the first use, under
 * the repository's `.cache/`, and kept as long as the requirements stay the same. Aim has one of its own: its wheels end
 * at Python 3.12, and it needs a filelock that is older than others'.
 *
 * `TRACELET_TEST_PYTHON` and `TRACELET_TEST_AIM_PYTHON` name a Python that has them already and is used as it is.
 */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const CANDIDATES = ['python3.11', 'python3.12', 'python3.10', 'python3', 'python']
const INSTALL_TIMEOUT_MS = 15 * 60_000
const PROGRESS_EVERY_MS = 5_000
const LOCK_POLL_MS = 300

interface Peers {
  /** In this folder. */
  readonly requirements: string
  readonly variable: string
  /** The last Python 3 that there are wheels for. */
  readonly lastMinor: number
}
const MOST: Peers = {
  requirements: 'requirements.txt',
  variable: 'TRACELET_TEST_PYTHON',
  lastMinor: Number.POSITIVE_INFINITY,
}
const AIM: Peers = {
  requirements: 'requirements-aim.txt',
  variable: 'TRACELET_TEST_AIM_PYTHON',
  lastMinor: 12,
}

const run = promisify(execFile)
const root = repositoryRoot()
/** Scripts stand beside the TypeScript source, which is not where the compiled tests run. */
export const PEERS_FOLDER = join(root, 'test', 'peers')

/**
 * Path of the interpreter. Without a usable Python the test is skipped with the reason and undefined returned;
 * where `CI=true` it fails instead.
 */
export function peerPython(test: TestContext): Promise<string | undefined> {
  return orSkip(test, preparePython)
}

/** The same with Aim. */
export function aimPython(test: TestContext): Promise<string | undefined> {
  return orSkip(test, prepareAimPython)
}

async function orSkip(test: TestContext, prepare: () => Promise<string>): Promise<string | undefined> {
  try {
    return await prepare()
  } catch (error) {
    if (process.env.CI === 'true') throw error
    test.skip(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

/** As `peerPython`, where the standard library is enough: nothing is installed. */
export async function barePython(test: TestContext): Promise<string | undefined> {
  try {
    return process.env.TRACELET_TEST_PYTHON ?? (await findPython()).command
  } catch (error) {
    if (process.env.CI === 'true') throw error
    test.skip(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

/** Path of the interpreter; the environment is made if it is not there yet. */
export function preparePython(): Promise<string> {
  return prepare(MOST)
}

export function prepareAimPython(): Promise<string> {
  return prepare(AIM)
}

const made = new Map<Peers, Promise<string>>()

function prepare(peers: Peers): Promise<string> {
  const given = process.env[peers.variable]
  const python = made.get(peers) ?? (given ? Promise.resolve(given) : makeEnvironment(peers))
  made.set(peers, python)
  return python
}

/** Runs a script of this folder and parses what it prints as JSON. */
export async function runPeerScript(
  python: string,
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const { stdout } = await run(python, [join(PEERS_FOLDER, script), ...args], {
    env: { ...process.env, MLFLOW_DISABLE_TELEMETRY: 'true', PYTHONIOENCODING: 'utf-8', ...env },
    maxBuffer: 1024 * 1024 * 1024,
  })
  return JSON.parse(stdout)
}

async function makeEnvironment(peers: Peers): Promise<string> {
  const requirements = readFileSync(join(PEERS_FOLDER, peers.requirements), 'utf8')
  const { command, version } = await findPython(peers.lastMinor)
  const hash = createHash('sha256').update(`${version}\n${requirements}`).digest('hex').slice(0, 12)
  const folder = join(root, '.cache', 'peers', `python-${hash}`)
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python')
  const ready = join(folder, 'ready')
  if (existsSync(ready)) return python
  mkdirSync(dirname(folder), { recursive: true })
  const unlock = await lock(`${folder}.lock`)
  try {
    if (existsSync(ready)) return python
    rmSync(folder, { recursive: true, force: true })
    await install(command, folder, python, peers.requirements)
    writeFileSync(ready, '')
    return python
  } finally {
    unlock()
  }
}

async function findPython(
  lastMinor = Number.POSITIVE_INFINITY,
): Promise<{ readonly command: string; readonly version: string }> {
  const script = 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])'
  for (const command of CANDIDATES) {
    try {
      const { stdout } = await run(command, ['-c', script])
      const version = stdout.trim()
      const minor = Number(version.split('.')[1])
      if (minor >= 10 && minor <= lastMinor) return { command, version }
    } catch {
      // Not there, or a launcher without the version behind it: the next one.
    }
  }
  const which = lastMinor === Number.POSITIVE_INFINITY ? 'or later' : `to 3.${lastMinor}`
  throw new Error(`no Python 3.10 ${which} with venv found (looked for ${CANDIDATES.join(', ')})`)
}

async function install(command: string, folder: string, python: string, file: string): Promise<void> {
  const since = Date.now()
  let packages = 0
  const say = (text: string) => process.stderr.write(`peers: ${text}\n`)
  say(`making a Python environment in ${folder}`)
  await run(command, ['-m', 'venv', folder])
  const requirements = join(PEERS_FOLDER, file)
  const pip = spawn(
    python,
    ['-m', 'pip', 'install', '--disable-pip-version-check', '--progress-bar', 'off', '-r', requirements],
    { stdio: ['ignore', 'pipe', 'pipe'], timeout: INSTALL_TIMEOUT_MS },
  )
  let problems = ''
  pip.stdout.on('data', (text: Buffer) => (packages += text.toString().split('Collecting ').length - 1))
  pip.stderr.on('data', (text: Buffer) => (problems += text))
  const timer = setInterval(() => {
    say(`installing, ${packages} packages found, ${Math.round((Date.now() - since) / 1000)} s`)
  }, PROGRESS_EVERY_MS)
  const [code] = await new Promise<[number | null]>((resolve, reject) => {
    pip.on('error', reject)
    pip.on('close', (exitCode) => resolve([exitCode]))
  }).finally(() => clearInterval(timer))
  if (code !== 0)
    throw new Error(`pip install failed (${code}): ${problems.trim().split('\n').slice(-3).join(' ')}`)
  say(`ready after ${Math.round((Date.now() - since) / 1000)} s`)
}

/** One process at a time; the lock of a process that is gone is taken over. */
async function lock(file: string): Promise<() => void> {
  const own = `${file}.${process.pid}`
  for (let first = true; ; first = false) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      return () => rmSync(file, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (first) process.stderr.write('peers: waiting for another process that makes the environment\n')
    const holder = holderOf(file)
    if (holder !== undefined && !isAlive(holder)) {
      // Renamed away first: of two that find it stale, one gets it and the other looks again.
      try {
        renameSync(file, own)
        if (holderOf(own) === holder) rmSync(own)
        else renameSync(own, file)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      }
    }
    await sleep(LOCK_POLL_MS)
  }
}

function holderOf(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8')) || undefined
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}
