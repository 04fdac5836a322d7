/** Starts a program of this folder and reads the lines that it tells. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../../src/pipeline/worker-url.ts'

const ENDS_WITHIN_MS = 140_000
/** So that what is measured is what is held, not what nobody has collected yet. */
const FRUGAL = ['--expose-gc', '--max-semi-space-size=1']

export interface Told<Line> {
  readonly lines: readonly Line[]
  readonly code: number | null
  readonly stderr: string
  readonly ms: number
}

/**
 * @param limit most descriptors of the process, both hard and soft; the shell's own by default
 * @param withinMs it is killed after so long
 */
export async function tellOf<Line>(
  program: string,
  orders: object,
  limit?: number,
  withinMs = ENDS_WITHIN_MS,
): Promise<Told<Line>> {
  const file = fileURLToPath(workerUrl(`./${program}`, import.meta.url))
  const command = [process.execPath, ...FRUGAL, file, JSON.stringify(orders)]
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const since = performance.now()
  const [word, ...args] =
    limit === undefined ? command : ['sh', '-c', `ulimit -n ${limit} && exec "$0" "$@"`, ...command]
  const child = spawn(word!, args, { env, timeout: withinMs, killSignal: 'SIGKILL' })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text: Buffer) => {
    stdout += text
  })
  child.stderr.on('data', (text: Buffer) => {
    stderr += text
  })
  const [code] = (await once(child, 'close')) as [number | null]
  const lines = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
  return { lines, code, stderr, ms: performance.now() - since }
}
