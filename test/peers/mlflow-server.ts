/** A real `mlflow server` on a free loopback port, its store in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface ServerOptions {
  /** Processes that answer; MLflow's own default is 4. */
  readonly workers?: number
  readonly port?: number
  /** Where an earlier server kept its store; absent: a new folder, removed at `stop()`. */
  readonly folder?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** PEM files: the server then speaks https. */
  readonly tls?: { readonly keyFile: string; readonly certFile: string }
}

export interface MlflowServer {
  readonly uri: string
  readonly port: number
  readonly folder: string
  /** CPU seconds of all its processes so far; Linux only, else 0. */
  cpuSeconds(): number
  /** SIGTERM, then SIGKILL, to all its processes. */
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 120_000
const STOP_TIMEOUT_MS = 8_000

export async function startMlflowServer(python: string, options: ServerOptions = {}): Promise<MlflowServer> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'tracelet-mlflow-'))
  const port = options.port ?? (await freePort())
  const { tls } = options
  const uri = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`
  const log = join(folder, 'server.log')
  const output = openSync(log, 'a')
  const child = spawn(
    python,
    [
      ...['-m', 'mlflow', 'server', '--host', '127.0.0.1', '--port', String(port)],
      ...['--workers', String(options.workers ?? 1)],
      ...['--backend-store-uri', `sqlite:///${join(folder, 'mlflow.db')}`],
      ...['--artifacts-destination', join(folder, 'artifacts')],
      ...(tls ? ['--uvicorn-opts', `--ssl-keyfile ${tls.keyFile} --ssl-certfile ${tls.certFile}`] : []),
      ...(options.args ?? []),
    ],
    {
      cwd: folder,
      // A group of its own, so that its workers stop with it.
      detached: true,
      stdio: ['ignore', output, output],
      env: {
        ...process.env,
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
        MLFLOW_DISABLE_TELEMETRY: 'true',
        ...options.env,
      },
    },
  )
  closeSync(output)
  const group = child.pid!
  const killAll = () => kill(group, 'SIGKILL')
  process.once('exit', killAll)
  const stop = async () => {
    kill(group, 'SIGTERM')
    if (child.exitCode === null && child.signalCode === null) {
      await Promise.race([once(child, 'exit'), sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
    }
    killAll()
    process.off('exit', killAll)
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  try {
    await untilHealthy(uri, child, log)
  } catch (error) {
    await stop()
    throw error
  }
  return { uri, port, folder, cpuSeconds: () => cpuSecondsOf((_, ofGroup) => ofGroup === group), stop }
}

async function untilHealthy(uri: string, child: ChildProcess, log: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!(await isHealthy(`${uri}/health`))) {
    const ended = child.exitCode !== null || child.signalCode !== null
    if (ended || Date.now() > deadline) {
      const tail = readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n')
      throw new Error(`mlflow server ${ended ? 'ended' : 'is not healthy'}:\n${tail}`)
    }
    await sleep(100)
  }
}

/** Whether it answers 200; certificates are not what is asked here. */
function isHealthy(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const send = url.startsWith('https') ? httpsRequest : httpRequest
    const request = send(url, { rejectUnauthorized: false, agent: false, timeout: 2_000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('error', () => resolve(false))
    request.on('timeout', () => request.destroy())
    request.end()
  })
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function kill(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // Gone already.
  }
}

const TICKS_PER_SECOND = 100

/** Of all processes that are counted. */
export function cpuSecondsOf(isCounted: (pid: number, group: number) => boolean): number {
  if (process.platform !== 'linux') return 0
  let ticks = 0
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      // Fields after the name, which may hold anything: state, ppid, pgrp, …, utime is the 12th, stime the 13th.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (isCounted(Number(pid), Number(fields[2]))) ticks += Number(fields[11]) + Number(fields[12])
    } catch {
      // Ended meanwhile.
    }
  }
  return ticks / TICKS_PER_SECOND
}
