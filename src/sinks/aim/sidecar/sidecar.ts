/**
 * Aim's server for a repository that is a folder of this machine. Whoever needs one takes a lease of the one that
 * runs, or starts it; it ends soon after the last lease, however its holder ended.
 *
 * S1 One server for a folder, user and machine, whatever number of threads and processes asks at once.
 * S2 A server that was killed comes back at the same port, unless somebody else has taken that.
 */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Refusal } from '../../http.ts'
import { Lease, takeLease } from './lease.ts'
import { madeFolder, makePython, pythonIn } from './make-python.ts'
import { canHaveAim, findAimPython } from './pythons.ts'
import { startServer } from './start-server.ts'

export interface SidecarOptions {
  /** Absolute. */
  readonly folder: string
  readonly python?: string | undefined
  readonly makePython?: boolean | undefined
  /** So long the server waits for another lease. */
  readonly graceMs?: number
}

export type Acquired =
  | { readonly origin: string; readonly version: string; readonly isAnother: boolean }
  | { readonly refusal: Unready }

/** Nothing of what is logged is to blame. */
type Unready = Exclude<Refusal, { readonly status: 'split' }>

/** A sweep's next run finds it still there. */
const GRACE_MS = 2_000
const BUSY_POLL_MS = 200
/** Cold start of Aim on a loaded machine: 3 to 20 s. */
const START_TIMEOUT_MS = 90_000

export class Sidecar {
  readonly #options: SidecarOptions
  #lease: Lease | undefined
  #origin: string | undefined

  constructor(options: SidecarOptions) {
    this.#options = options
  }

  /** False when the server is gone or was never asked for: `acquire` then finds or starts another. */
  get isHeld(): boolean {
    return this.#lease?.isHeld === true
  }

  /** At once when a lease is held. `isAnother`: not where it was before. Never throws. */
  async acquire(signal: AbortSignal): Promise<Acquired> {
    if (!this.isHeld) {
      this.release()
      const lease = await this.#find(signal).catch((error: unknown) => ({
        refusal: later(error instanceof Error ? error.message : String(error)),
      }))
      if (!(lease instanceof Lease)) return lease
      if (signal.aborted) {
        lease.release()
        return { refusal: later('the time for it is over') }
      }
      this.#lease = lease
    }
    const { port, aim } = this.#lease!.server
    const origin = `http://127.0.0.1:${port}`
    const isAnother = this.#origin !== undefined && this.#origin !== origin
    this.#origin = origin
    return { origin, version: aim, isAnother }
  }

  release(): void {
    this.#lease?.release()
    this.#lease = undefined
  }

  async #find(signal: AbortSignal): Promise<Lease | { readonly refusal: Unready }> {
    const folder = realFolder(this.#options.folder)
    const place = join(ownFolder(), createHash('sha256').update(folder).digest('hex').slice(0, 16))
    const giveUpAt = performance.now() + START_TIMEOUT_MS
    let python: string | undefined
    while (!signal.aborted && performance.now() < giveUpAt) {
      const lease = await takeLease(`${place}.json`, folder, signal)
      if (lease !== undefined) return lease
      if (python === undefined) {
        const found = await this.#python(signal)
        if (typeof found !== 'string') return found
        python = found
      }
      const grace = (this.#options.graceMs ?? GRACE_MS) / 1000
      const started = await startServer(python, [folder, place, String(grace)], signal)
      if ('failed' in started) {
        return {
          refusal: later(`the server of the Aim repository ${folder} did not start: ${started.failed}`),
        }
      }
      if ('busy' in started) await sleep(BUSY_POLL_MS)
      else {
        const own = await takeLease(`${place}.json`, folder, signal)
        // it lives on this until the lease is there
        started.letGo()
        if (own !== undefined) return own
      }
    }
    return {
      refusal: later(`the server of the Aim repository ${folder} does not start: the time for it is over`),
    }
  }

  async #python(signal: AbortSignal): Promise<string | { readonly refusal: Unready }> {
    const made = madeFolder()
    const { python, makePython: mayMake, folder } = this.#options
    const { found, others } = await findAimPython(python, pythonIn(made), signal)
    if (found !== undefined) return found.command
    if (signal.aborted) return { refusal: later('the time for it is over') }
    const base = others.find(canHaveAim)
    if (python === undefined && mayMake === true && base !== undefined) {
      const waited = await Promise.race([makePython(base.command, made), aborted(signal)])
      if (waited === undefined) return pythonIn(made)
      return {
        refusal: later(
          waited === STILL ? `a Python with aim is being made in ${made}` : `no Python with aim: ${waited}`,
        ),
      }
    }
    return { refusal: noPython(folder, python, others.length > 0 && base === undefined) }
  }
}

const STILL = Symbol('still being made')

function aborted(signal: AbortSignal): Promise<typeof STILL> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(STILL)
    signal.addEventListener('abort', () => resolve(STILL), { once: true })
  })
}

/** Nothing that waiting changes. */
function noPython(folder: string, given: string | undefined, isWrongVersion: boolean): Unready {
  const who =
    given === undefined
      ? 'no Python with the package aim is found'
      : `'${given}' is no Python with the package aim`
  const version = isWrongVersion ? ' (it needs Python 3.10 to 3.12)' : ''
  return {
    status: 'blocked',
    scope: 'account',
    code: 'ERR_UNSUPPORTED',
    reason:
      `the Aim repository ${folder} is a folder, which only Aim's own server writes to, and ${who}${version}: ` +
      "run `pip install aim 'filelock<3.29'`, name its interpreter by the option 'python' (TRACELET_AIM_PYTHON), " +
      "have one made by 'makePython', or give the address of an `aim server`",
  }
}

function later(reason: string): Unready {
  return { status: 'retry', code: 'ERR_UNREACHABLE', reason, unsent: true }
}

/** Of this machine and user alone: a port and a lock mean nothing elsewhere, and nobody else may put a file there. */
function ownFolder(): string {
  const user = process.getuid?.() ?? 0
  const folder = join(tmpdir(), `tracelet-aim-${user}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const stat = lstatSync(folder)
  if (!stat.isDirectory() || stat.uid !== user || (stat.mode & 0o022) !== 0) {
    throw new Error(`${folder} is not a folder that is yours alone`)
  }
  return folder
}

/** One folder has one name, also before it is there. */
function realFolder(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(realFolder(parent), basename(path))
  }
}
