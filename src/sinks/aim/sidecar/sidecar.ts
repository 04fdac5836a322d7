/**
 * Aim's server for a repository that is a folder: found, or started, and held by a lease (program.ts). All runs, threads
 * and processes of this machine that write to a repository share one, since only one process may have a run's storage open.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Refusal } from '../../http.ts'
import { PROGRAM } from './program.ts'
import { findPython } from './python.ts'

/** Importing Aim alone takes three seconds, on a busy machine many. */
const START_MS = 90_000
const POLL_MS = 100
const GREETING_MS = 5_000
/** Of the server's own words, where it does not start. */
const MAX_REASON_CHARS = 300
/** Another one has the repository, or had it. One that somebody killed is started again, too. */
const EXIT_AGAIN = 3

type Unready = Exclude<Refusal, { readonly status: 'split' }>

interface Told {
  readonly port: number
  readonly lease: number
}

export class Sidecar {
  readonly origin: string
  readonly #lease: Socket

  private constructor(port: number, lease: Socket) {
    this.origin = `http://127.0.0.1:${port}`
    this.#lease = lease
  }

  /** @param folder the repository's: it holds `.aim`, or will */
  static async acquire(
    folder: string,
    python: string | undefined,
    signal: AbortSignal,
  ): Promise<Sidecar | Unready> {
    const until = performance.now() + START_MS
    let starting: Starting | undefined
    while (!signal.aborted && performance.now() < until) {
      const told = readTold(folder)
      const lease = told && (await takeLease(told, folder))
      if (lease) return new Sidecar(told.port, lease)
      if (starting === undefined || starting.exitCode === EXIT_AGAIN) {
        const found = await findPython(python)
        if (typeof found !== 'string') return blocked(found.missing)
        const begun = start(found, folder, told?.port ?? 0)
        if (begun instanceof Error) return blocked(`Aim's server cannot be started: ${begun.message}`)
        starting = begun
      } else if (starting.exitCode !== undefined) return blocked(whyEnded(folder))
      await sleep(POLL_MS)
    }
    const reason = signal.aborted ? 'given up' : `no answer in ${START_MS / 1000} s`
    return { status: 'retry', code: 'ERR_UNREACHABLE', reason: `Aim's server for ${folder}: ${reason}` }
  }

  /** False once the server is gone. */
  get isThere(): boolean {
    return !this.#lease.destroyed
  }

  /** The server ends when nobody holds it any more. */
  release(): void {
    this.#lease.destroy()
  }
}

interface Starting {
  exitCode: number | undefined
}

/** It must outlive this thread, and may outlive this process: others hold it, too. */
function start(python: string, folder: string, port: number): Starting | Error {
  const starting: Starting = { exitCode: undefined }
  try {
    const place = join(folder, '.aim', 'tracelet-server')
    mkdirSync(place, { recursive: true })
    const log = openSync(join(place, 'server.log'), 'w')
    try {
      const child = spawn(python, ['-c', PROGRAM, folder, String(port)], {
        detached: true,
        stdio: ['ignore', log, log],
      })
      child.once('exit', (code) => (starting.exitCode = code ?? EXIT_AGAIN))
      child.once('error', () => (starting.exitCode = 1))
      child.unref()
    } finally {
      closeSync(log)
    }
    return starting
  } catch (error) {
    return error as Error
  }
}

function readTold(folder: string): Told | undefined {
  try {
    const told = JSON.parse(
      readFileSync(join(folder, '.aim', 'tracelet-server', 'server.json'), 'utf8'),
    ) as Told
    return Number.isInteger(told.port) && Number.isInteger(told.lease) ? told : undefined
  } catch {
    // not there, or just being written
    return undefined
  }
}

/** Undefined where nobody answers, or another who has got the port since. */
function takeLease({ lease }: Told, folder: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(lease, '127.0.0.1')
    let greeting = ''
    const giveUp = () => {
      socket.destroy()
      resolve(undefined)
    }
    socket.setTimeout(GREETING_MS, giveUp)
    socket.on('error', giveUp)
    socket.on('close', () => resolve(undefined))
    socket.on('data', (bytes: Buffer) => {
      greeting += bytes.toString()
      if (!greeting.endsWith('\n')) return
      socket.setTimeout(0)
      if (greeting !== `${JSON.stringify(folder)}\n`) return giveUp()
      // a run that ended must not be kept waiting by it
      socket.unref()
      resolve(socket)
    })
  })
}

function whyEnded(folder: string): string {
  let text = ''
  try {
    text = readFileSync(join(folder, '.aim', 'tracelet-server', 'server.log'), 'utf8')
  } catch {
    // told without it
  }
  const last = text.trim().split('\n').at(-1)?.trim() ?? ''
  return `Aim's server for ${folder} ended at once${last ? `: ${last.slice(0, MAX_REASON_CHARS)}` : ''}`
}

function blocked(reason: string): Unready {
  return { status: 'blocked', scope: 'account', code: 'ERR_SERVER', reason }
}
