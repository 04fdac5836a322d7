/** Which Python has `aim`: nothing of it is loaded to find out. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface AimPython {
  readonly command: string
  readonly python: string
  readonly aim: string
  readonly filelock: string
}
/** A Python without `aim`. */
export interface BarePython {
  readonly command: string
  readonly python: string
}

const LOOK = `import sys, json
from importlib.metadata import version, PackageNotFoundError
def of(name):
    try: return version(name)
    except PackageNotFoundError: return None
print(json.dumps([sys.version.split()[0], of('aim'), of('filelock')]))`
/** A cold disk takes its time over the first start of a Python. */
const LOOK_TIMEOUT_MS = 30_000
/** Aim has no wheels for others. */
const VERSIONS = ['3.12', '3.11', '3.10']

const run = promisify(execFile)
const seen = new Map<string, AimPython>()

/** Undefined when it does not run. */
export async function lookAt(
  command: string,
  signal: AbortSignal,
): Promise<AimPython | BarePython | undefined> {
  const known = seen.get(command)
  if (known !== undefined) return known
  try {
    const { stdout } = await run(command, ['-c', LOOK], { signal, timeout: LOOK_TIMEOUT_MS })
    const [python, aim, filelock] = JSON.parse(stdout) as [string, string | null, string | null]
    if (aim === null) return { command, python }
    const found: AimPython = { command, python, aim, filelock: filelock ?? '' }
    seen.set(command, found)
    return found
  } catch {
    return undefined
  }
}

export interface Looked {
  readonly found?: AimPython
  /** All that run, with or without `aim`. */
  readonly others: readonly BarePython[]
}

/** @param made where one is that we made, if we did */
export async function findAimPython(
  given: string | undefined,
  made: string,
  signal: AbortSignal,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Looked> {
  const others: BarePython[] = []
  for (const command of given === undefined ? candidates(made, environment) : [given]) {
    const python = await lookAt(command, signal)
    if (python === undefined) continue
    if ('aim' in python) return { found: python, others }
    others.push(python)
  }
  return { others }
}

/** The one that is switched on in this shell is the one its user means. */
function candidates(made: string, environment: Readonly<Record<string, string | undefined>>): string[] {
  const folders = [environment.VIRTUAL_ENV, environment.CONDA_PREFIX].filter((folder) => Boolean(folder))
  return [
    ...folders.map((folder) => join(folder!, 'bin', 'python')),
    'python3',
    'python',
    ...VERSIONS.map((version) => `python${version}`),
    ...(existsSync(made) ? [made] : []),
  ]
}

/** Those that Aim can be installed into. */
export function canHaveAim({ python }: BarePython): boolean {
  return VERSIONS.some((version) => python.startsWith(`${version}.`))
}
