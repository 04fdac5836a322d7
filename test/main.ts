/**
 * The test command: `node dist/test/main.js [--unit] [part of a path …]`.
 *
 * Makes the Python environment of the peers while the first tests run, then runs what needs it, then, one at a
 * time, what measures time or ends processes. Ends with the sums in the lines that Node's runner closes with.
 * `--unit` leaves out what needs real servers or measures.
 */
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'
import { prepareAimPython, preparePython } from './peers/python.ts'

const FILE_TIMEOUT_MS = process.env.TRACELET_TEST_LONG === '1' ? 3_600_000 : 300_000
/** Each runs alone, after the others: a busy neighbour would decide the verdict. */
const ALONE =
  /^(?:run\/(?:exit|drain-restart|sync-loop|threads)|pipeline\/(?:store\/syncer|delivery\/scheduler)|cli\/demo\b.*)\.|^(?:bench|faults|scale)\//
const PEERS = /^peers\//
const NOT_UNIT = /^(?:peers|bench|faults|scale)\//

const COUNTS = ['tests', 'suites', 'pass', 'fail', 'cancelled', 'skipped', 'todo'] as const
type Count = (typeof COUNTS)[number]

const folder = dirname(fileURLToPath(import.meta.url))
const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const sums = new Map<Count, number>(COUNTS.map((count) => [count, 0]))
const since = performance.now()
let failures = 0

async function main(args: readonly string[]): Promise<void> {
  const isUnit = args.includes('--unit')
  const parts = args.filter((arg) => !arg.startsWith('--'))
  const files = testFiles().filter(
    (file) =>
      (parts.length === 0 || parts.some((part) => file.includes(part))) && !(isUnit && NOT_UNIT.test(file)),
  )
  const peers = files.filter((file) => PEERS.test(file))
  const alone = files.filter((file) => ALONE.test(file))
  const rest = files.filter((file) => !peers.includes(file) && !alone.includes(file))

  const python = peers.length > 0 ? preparePython().catch((error: Error) => error) : undefined
  await runFiles(rest, Math.min(2, availableParallelism()))
  const found = await python
  if (typeof found === 'string') {
    process.env.TRACELET_TEST_PYTHON = found
    // once for all of them; each says itself why there is none
    if (peers.some((file) => file.startsWith('peers/aim'))) {
      const aim = await prepareAimPython().catch(() => undefined)
      if (aim !== undefined) process.env.TRACELET_TEST_AIM_PYTHON = aim
    }
    await runFiles(peers, 1)
  } else if (found !== undefined) withoutPeers(peers, found)
  await runFiles(alone, 1)
  close()
}

/** Below this folder, with slashes, in the order of their paths. */
function testFiles(): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => path.split(sep).join('/'))
    .filter((path) => path.endsWith(`.test${ending}`))
    .sort()
}

async function runFiles(files: readonly string[], concurrency: number): Promise<void> {
  if (files.length === 0) return
  const events = run({
    files: files.map((file) => join(folder, file)),
    concurrency,
    timeout: FILE_TIMEOUT_MS,
  })
  events.on('test:fail', ({ todo }) => {
    if (todo === undefined || todo === false) failures++
  })
  // the sums of this part are added up and left out
  const lines = events
    .filter((event: { type: string; data?: { nesting?: number; message?: string } }) => {
      const sum = event.type === 'test:diagnostic' ? /^(\w+) ([\d.]+)$/.exec(event.data?.message ?? '') : null
      if (!sum || event.data?.nesting !== 0) return true
      const count = sum[1] as Count
      if (sums.has(count)) sums.set(count, sums.get(count)! + Number(sum[2]))
      return !sums.has(count) && sum[1] !== 'duration_ms'
    })
    .compose(new spec())
  for await (const line of lines) process.stdout.write(line)
}

function withoutPeers(peers: readonly string[], reason: Error): void {
  const isFailure = process.env.CI === 'true'
  for (const file of peers) process.stdout.write(`${isFailure ? '✖' : '﹣'} ${file}: ${reason.message}\n`)
  const count = isFailure ? 'fail' : 'skipped'
  sums.set('tests', sums.get('tests')! + peers.length)
  sums.set(count, sums.get(count)! + peers.length)
  if (isFailure) failures += peers.length
}

function close(): void {
  // a file that fails outside of its tests is told by an event and stands in no sum
  if (failures > 0 && sums.get('fail') === 0) sums.set('fail', failures)
  for (const count of COUNTS) process.stdout.write(`# ${count} ${sums.get(count)}\n`)
  process.stdout.write(`# duration_ms ${(performance.now() - since).toFixed(3)}\n`)
  const isGood =
    failures === 0 && sums.get('fail') === 0 && sums.get('cancelled') === 0 && sums.get('tests')! > 0
  process.exitCode = isGood ? 0 : 1
}

await main(process.argv.slice(2))
