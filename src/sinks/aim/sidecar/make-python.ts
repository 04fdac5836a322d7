/** A virtual environment with `aim`, made once in the user's cache folder, where its user asks for it. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const AIM = '3.29.1'
/** From 3.29 on, filelock gives a run's lock to whoever asks twice. */
export const REQUIREMENTS: readonly string[] = [`aim==${AIM}`, 'filelock<3.29']

/** Ends when its stdin does: of a process that is gone nothing goes on. One at a time, by a lock of the kernel's. */
const MAKE = `import fcntl, os, shutil, signal, subprocess, sys, threading
folder, requirements = sys.argv[1], sys.argv[2:]
def stop():
    while os.read(0, 4096): pass
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=stop, daemon=True).start()
os.makedirs(os.path.dirname(folder), exist_ok=True)
lock = os.open(folder + '.lock', os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
if not os.path.exists(os.path.join(folder, 'ready')):
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, '-m', 'venv', folder], check=True, stdout=subprocess.DEVNULL)
    pip = [os.path.join(folder, 'bin', 'python'), '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
    if requirements:
        subprocess.run(pip + requirements, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    open(os.path.join(folder, 'ready'), 'w').close()
`

/** Where it is or will be. */
export function madeFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  home: string = homedir(),
): string {
  const caches = process.platform === 'darwin' ? join(home, 'Library', 'Caches') : join(home, '.cache')
  return join(environment.XDG_CACHE_HOME || caches, 'tracelet', `aim-${AIM}`)
}

export function pythonIn(folder: string): string {
  return join(folder, 'bin', 'python')
}

const making = new Map<string, Promise<string | undefined>>()

/**
 * Goes on when nobody waits any more; who asks again waits for the same. Undefined when it is there, otherwise what
 * went wrong.
 */
export function makePython(
  base: string,
  folder: string,
  requirements: readonly string[] = REQUIREMENTS,
): Promise<string | undefined> {
  if (existsSync(join(folder, 'ready'))) return Promise.resolve(undefined)
  let made = making.get(folder)
  if (made === undefined) {
    made = make(base, folder, requirements).finally(() => making.delete(folder))
    making.set(folder, made)
  }
  return made
}

async function make(
  base: string,
  folder: string,
  requirements: readonly string[],
): Promise<string | undefined> {
  // a group of its own: all of it ends with our pipe
  const child = spawn(base, ['-c', MAKE, folder, ...requirements], {
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  let problems = ''
  child.stderr.on('data', (text: Buffer) => {
    problems = (problems + text).slice(-2000)
  })
  child.stdin.on('error', () => {})
  const code = await new Promise<number | string | null>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', resolve)
  })
  child.stdin.destroy()
  if (code === 0) return undefined
  const lines = problems.trim().split('\n')
  const said = lines.filter((line) => line.startsWith('ERROR')).at(-1) ?? lines.at(-1)
  return said || `it ended with ${code}`
}
