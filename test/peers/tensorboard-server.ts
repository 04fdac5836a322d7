/** A real `tensorboard` on a free loopback port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './mlflow-server.ts'

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 5_000

/** 'fast' is a server of its own in Rust, the default where it is installed; 'slow' is Python. */
export type Loader = 'fast' | 'slow'

export interface TensorBoardServer {
  readonly url: string
  /** What a path below `/data/` answers, parsed; `body` makes it a POST of JSON. */
  ask(path: string, body?: object): Promise<unknown>
  /** The bytes that a path below `/data/` answers. */
  bytes(path: string): Promise<Buffer>
  stop(): Promise<void>
}

export async function startTensorBoard(
  python: string,
  logDir: string,
  loader: Loader,
): Promise<TensorBoardServer> {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-tensorboard-server-'))
  const log = join(folder, 'log')
  const output = openSync(log, 'a')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = spawn(
    python,
    [
      ...['-m', 'tensorboard.main', '--logdir', logDir, '--host', '127.0.0.1', '--port', String(port)],
      ...['--load_fast', loader === 'fast' ? 'true' : 'false', '--reload_interval', '1'],
    ],
    // A group of its own, so that its data server stops with it.
    { cwd: folder, detached: true, stdio: ['ignore', output, output] },
  )
  closeSync(output)
  const killAll = () => kill(child.pid!, 'SIGKILL')
  process.once('exit', killAll)
  const stop = async () => {
    kill(child.pid!, 'SIGTERM')
    if (!hasEnded(child))
      await Promise.race([once(child, 'exit'), sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
    killAll()
    process.off('exit', killAll)
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  const get = async (path: string, body?: object): Promise<Response> => {
    const response = await fetch(
      `${url}/data/${path}`,
      body && { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } },
    )
    if (!response.ok) throw new Error(`${response.status} ${path}: ${(await response.text()).slice(0, 500)}`)
    return response
  }
  const server: TensorBoardServer = {
    url,
    ask: async (path, body) => (await get(path, body)).json(),
    bytes: async (path) => Buffer.from(await (await get(path)).arrayBuffer()),
    stop,
  }
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!(await answers(server))) {
    if (hasEnded(child) || Date.now() > deadline) {
      const tail = readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n')
      await stop()
      throw new Error(`tensorboard ${hasEnded(child) ? 'ended' : 'does not answer'}:\n${tail}`)
    }
    await sleep(100)
  }
  return server
}

async function answers(server: TensorBoardServer): Promise<boolean> {
  try {
    await server.ask('runs')
    return true
  } catch {
    return false
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function kill(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // Gone already.
  }
}
