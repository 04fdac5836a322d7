/** A real MLflow server from PyPI on a free loopback port, for as long as the demo runs. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandError } from '../command.ts'
import { hasEnded, launchFree, launchKept, stopLaunched } from './kept-process.ts'
import { pythonEnvironment } from './python-environment.ts'

const MLFLOW_VERSION = '3.17.2'
const START_TIMEOUT_MS = 120_000

export interface DemoServer {
  readonly uri: string
  /** What shows the same runs again after the server has been stopped. */
  readonly command: string
  readonly pid: number
  /** Twice is harmless. */
  stop(): Promise<void>
}

/**
 * @param cacheFolder for the virtual environment and the server's store; kept from demo to demo
 * @param keep whether the server stays when the demo ends
 * @param say short words about what is being waited for
 */
export async function startDemoServer(
  cacheFolder: string,
  keep: boolean,
  say: (text: string) => void,
): Promise<DemoServer> {
  say('looking for Python')
  const environment = join(cacheFolder, `mlflow-${MLFLOW_VERSION}`)
  const python = await pythonEnvironment(environment, `mlflow==${MLFLOW_VERSION}`, (packages) =>
    say(`installing MLflow ${MLFLOW_VERSION} from PyPI, ${packages} packages`),
  )
  const store = join(cacheFolder, 'mlflow-store')
  mkdirSync(store, { recursive: true, mode: 0o700 })
  const port = await freePort()
  const command = [
    ...[python, '-m', 'mlflow', 'server', '--host', '127.0.0.1', '--port', String(port), '--workers', '1'],
    ...['--backend-store-uri', `sqlite:///${join(store, 'mlflow.db')}`],
    ...['--artifacts-destination', join(store, 'artifacts')],
  ]
  const log = join(store, 'server.log')
  const child = launch(command, python, keep, log)
  const uri = `http://127.0.0.1:${port}`
  const stop = () => stopLaunched(child)
  try {
    say('waiting for MLflow')
    await untilHealthy(uri, child, log)
  } catch (error) {
    await stop()
    throw error
  }
  return { uri, command: command.join(' '), pid: child.pid!, stop }
}

function launch(command: readonly string[], python: string, keep: boolean, log: string): ChildProcess {
  const output = openSync(log, 'a', 0o600)
  const env = {
    ...process.env,
    MLFLOW_DISABLE_TELEMETRY: 'true',
    // Its job runners cost seconds of start-up and serve nothing here.
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
  }
  try {
    return (keep ? launchFree : launchKept)(command, { python, output, env })
  } finally {
    closeSync(output)
  }
}

async function untilHealthy(uri: string, child: ChildProcess, log: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!(await isHealthy(uri))) {
    const ended = hasEnded(child)
    if (ended || performance.now() > deadline) {
      const tail = readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n')
      throw new CommandError(
        `the MLflow server ${ended ? 'ended' : 'does not answer'}; ${log} ends with:\n${tail}`,
      )
    }
    await sleep(150)
  }
}

async function isHealthy(uri: string): Promise<boolean> {
  try {
    const response = await fetch(`${uri}/health`, {
      signal: AbortSignal.timeout(2000),
      headers: { connection: 'close' },
    })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new CommandError('no loopback port')
  return address.port
}
