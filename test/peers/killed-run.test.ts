/** TensorBoard's own reader on the event file of a run whose processes were killed while they logged to it. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ScalarColumns } from '../faults/event-file.ts'
import type { Orders } from '../faults/orders.ts'
import { plan } from '../faults/plan.ts'
import { sync } from '../faults/round.ts'
import { checkLaw, checkScalars, readJournal } from '../faults/verdict.ts'
import { runAndKill } from '../faults/victim.ts'
import { Random, SEED } from '../random.ts'
import { peerPython, runPeerScript } from './python.ts'

const LIVES = 3
const KILLED_AFTER_MS = 400

interface Seen {
  readonly runs: Readonly<
    Record<
      string,
      { readonly classic: Readonly<Record<string, readonly (readonly [number, number, string])[]>> }
    >
  >
}

test(`TensorBoard reads every point of a run that was killed ${LIVES} times, once (seed ${SEED})`, async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-killed-'))
  context.after(() => rmSync(dir, { recursive: true, force: true }))
  const random = new Random(SEED)
  const run = { dir, runId: 'killed', backend: 'tensorboard' } as const
  const folder = join(dir, 'default', run.runId)
  const lives: Orders[] = []
  while (lives.length < LIVES) {
    const orders = {
      ...plan(random, { ...run, life: lives.length, isThere: existsSync(join(folder, 'run.json')) }).orders,
      ...{ finishAfterMs: 0, hasWorker: true },
    }
    lives.push(orders)
    await runAndKill('trainer', JSON.stringify(orders), { after: 'logging', ms: KILLED_AFTER_MS })
  }
  const journal = readJournal(folder, lives)
  checkLaw(await sync(folder), journal, folder)
  const seen = (await runPeerScript(python, 'read_tensorboard.py', [join(dir, 'default')])) as Seen
  assert.deepEqual(Object.keys(seen.runs), [run.runId])
  const scalars = new Map(
    Object.entries(seen.runs[run.runId]!.classic).map(([tag, data]): [string, ScalarColumns] => [
      tag,
      {
        step: data.map(([step]) => step),
        wallSeconds: data.map(([, wallSeconds]) => wallSeconds),
        value: data.map(([, , bits]) => Buffer.from(bits, 'hex').readFloatBE()),
      },
    ]),
  )
  checkScalars('TensorBoard', scalars, journal)
  assert.ok(journal.some(({ step }) => step.length > 0))
})
