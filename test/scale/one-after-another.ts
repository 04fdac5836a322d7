/**
 * A program with one run after another, which tells what they leave behind. argv: its orders as JSON; one line of
 * JSON on stdout for each look.
 */
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLogging } from '../../src/index.ts'
import type { OneAfterAnother, OneAfterAnotherLook } from './orders.ts'

/** What the drain thread is told of runs nobody holds is looked at once a second. */
const SETTLE_MS = 1500

const { dir, backend, looks } = JSON.parse(process.argv[2]!) as OneAfterAnother
let runs = 0
for (const count of looks) {
  for (; runs < count; runs++) await play(runs)
  await settle()
  process.stdout.write(`${JSON.stringify(look())}\n`)
}

async function play(number: number): Promise<void> {
  const run = startLogging({ dir, backend, runId: `run-${number}`, params: { number } })
  const loss = run.metric('loss')
  for (let step = 0; step < 20; step++) {
    loss.log(step, step)
    run.log({ [`of run ${number}`]: step, accuracy: step / 20 }, { step })
  }
  run.logText('sample', 'text', { step: 1 })
  run.logImage('square', { shape: [2, 2], data: new Uint8Array(4) }, { step: 1 })
  const stats = await run.finish()
  if (stats.accepted !== 60 || Object.values(stats.destinations).some(({ pending }) => pending > 0))
    throw new Error(`run ${number}: ${JSON.stringify(stats)}`)
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    globalThis.gc?.()
    await sleep(SETTLE_MS)
  }
}

function look(): OneAfterAnotherLook {
  const listeners = Object.fromEntries(
    process.eventNames().map((event) => [String(event), process.listenerCount(event)]),
  )
  return {
    runs,
    rssBytes: process.memoryUsage.rss(),
    heapBytes: process.memoryUsage().heapUsed,
    bufferBytes: process.memoryUsage().arrayBuffers,
    descriptors: entries('/proc/self/fd'),
    threads: entries('/proc/self/task'),
    listeners,
    resources: process.getActiveResourcesInfo(),
  }
}

function entries(folder: string): number {
  try {
    return readdirSync(folder).length
  } catch {
    return 0
  }
}
