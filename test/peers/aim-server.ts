/**
 * A real `aim server` on a free loopback port: uvicorn itself, since Aim's own command leaves it behind when it is ended.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSecondsOf, freePort } from './mlflow-server.ts'
import { runPeerScript } from './python.ts'

const START_TIMEOUT_MS = 120_000
/** Aim takes a message of any size, which uvicorn's default does not. */
const MAX_MESSAGE_BYTES = 2 ** 30

export interface AimMetric {
  readonly name: string
  readonly context: Readonly<Record<string, unknown>>
  readonly steps: readonly number[]
  /** Bits in hexadecimal. */
  readonly values: readonly string[]
  readonly epochs: readonly (number | null)[]
  readonly times: readonly number[]
}
export interface AimRun {
  readonly metrics: readonly AimMetric[]
  /** Of the arrays of each series. */
  readonly lengths: readonly Readonly<Record<'val' | 'epoch' | 'time' | 'step', number>>[]
  /** `{ int: text }` and `{ float: bits }` in place of numbers. */
  readonly params: Readonly<Record<string, unknown>>
  /** The bookkeeping: context hash → name → what stands there. */
  readonly traces: unknown
  readonly name: string
  readonly experiment: string
  readonly tags: readonly string[]
  readonly description: string | null
  readonly active: boolean
  readonly endTime: number | null
  readonly texts: readonly AimSequence<string>[]
  readonly images: readonly AimSequence<
    readonly { width: number; height: number; format: string; caption: string; pixels: string }[]
  >[]
  readonly artifacts: Readonly<Record<string, { readonly uri: string; readonly content?: string }>>
  readonly figures: readonly AimSequence<{ data: readonly { type: string }[] }>[]
  readonly distributions: readonly AimSequence<{ weights: number[]; range: number[]; bins: number }>[]
}
export interface AimSequence<Value> {
  readonly name: string
  readonly steps: readonly number[]
  readonly values: readonly Value[]
}

export interface AimServerOptions {
  /** As `/tracking`. */
  readonly basePath?: string
  /** PEM files: the server then speaks TLS. */
  readonly tls?: { readonly keyFile: string; readonly certFile: string }
}

export class AimServer {
  readonly folder: string
  readonly port: number
  readonly #python: string
  readonly #options: AimServerOptions
  #process: ChildProcess | undefined

  private constructor(python: string, folder: string, port: number, options: AimServerOptions) {
    this.#python = python
    this.#options = options
    this.folder = folder
    this.port = port
  }

  static async start(python: string, options: AimServerOptions = {}): Promise<AimServer> {
    const folder = mkdtempSync(join(tmpdir(), 'tracelet-aim-'))
    const server = new AimServer(python, join(folder, 'repo'), await freePort(), options)
    mkdirSync(server.folder)
    execFileSync(python, [
      '-c',
      'import sys; from aim import Repo; Repo.from_path(sys.argv[1], init=True)',
      server.folder,
    ])
    await server.restart()
    return server
  }

  get address(): string {
    const { basePath = '', tls } = this.#options
    return `${tls ? 'aims' : 'aim'}://127.0.0.1:${this.port}${basePath}`
  }

  /** On the same port and repository. */
  async restart(): Promise<void> {
    const log = join(this.folder, 'server.log')
    const output = openSync(log, 'a')
    const { basePath = '', tls } = this.#options
    const [host, port] = ['127.0.0.1', String(this.port)]
    const child = spawn(
      this.#python,
      [
        ...['-m', 'uvicorn', 'aim.ext.transport.run:app', '--host', host, '--port', port],
        ...['--ws-max-size', String(MAX_MESSAGE_BYTES), '--log-level', 'warning'],
        ...(tls ? ['--ssl-keyfile', tls.keyFile, '--ssl-certfile', tls.certFile] : []),
      ],
      {
        stdio: ['ignore', output, output],
        env: {
          ...process.env,
          __AIM_SERVER_MOUNT_REPO_PATH__: join(this.folder, '.aim'),
          __AIM_SERVER_BASE_PATH__: basePath,
        },
      },
    )
    closeSync(output)
    this.#process = child
    process.once('exit', () => child.kill('SIGKILL'))
    const deadline = Date.now() + START_TIMEOUT_MS
    while (!(await takesConnections(this.port))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        const tail = readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n')
        throw new Error(`the Aim server does not answer:\n${tail}`)
      }
      await sleep(100)
    }
  }

  /** SIGKILL, at once. */
  async kill(): Promise<void> {
    const child = this.#process!
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }

  /** CPU seconds so far; Linux only, else 0. */
  cpuSeconds(): number {
    return cpuSecondsOf((pid) => pid === this.#process?.pid)
  }

  /** A script of this folder, by the Python that has Aim. */
  run(script: string, args: readonly string[]): Promise<unknown> {
    return runPeerScript(this.#python, script, args)
  }

  /** @param target folder that artifacts are fetched to */
  async read(runHash: string, target: readonly string[] = []): Promise<AimRun | null> {
    return (await runPeerScript(this.#python, 'read_aim.py', [
      this.folder,
      runHash,
      ...target,
    ])) as AimRun | null
  }

  /** `aim up` at the same repository, for as long as the use of it lasts. */
  async withUi<Result>(use: (url: string) => Promise<Result>): Promise<Result> {
    const port = String(await freePort())
    const child = spawn(
      join(dirname(this.#python), 'aim'),
      ['up', '--host', '127.0.0.1', '--port', port, '--workers', '1', '--repo', this.folder, '--yes'],
      // a group of its own: the command leaves its server behind
      { stdio: 'ignore', detached: true, env: { ...process.env, AIM_UI_TELEMETRY_ENABLED: '0' } },
    )
    const kill = () => {
      try {
        process.kill(-child.pid!, 'SIGKILL')
      } catch {
        // ended
      }
    }
    process.once('exit', kill)
    try {
      return await use(`http://127.0.0.1:${port}`)
    } finally {
      kill()
      process.off('exit', kill)
    }
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(join(this.folder, '..'), { recursive: true, force: true, maxRetries: 3 })
  }
}

/** uvicorn listens when the application is ready. */
function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
