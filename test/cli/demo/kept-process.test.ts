import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasEnded, launchKept, stopLaunched } from '../../../src/cli/demo/kept-process.ts'

const MODULE = new URL(`../../../src/cli/demo/kept-process${extname(import.meta.url)}`, import.meta.url).href
const hasPython = spawnSync('python3', ['--version']).status === 0
/** A command with a child of its own; both pids are printed. */
const FAMILY = ['sh', '-c', 'sleep 600 & echo $$ $!; wait']

test('stopping ends the command and its children', { skip: !hasPython && 'no python3' }, async (context) => {
  const { log, output } = outputOf(context)
  const child = launchKept(FAMILY, { python: 'python3', output, env: process.env })
  const pids = await printedPids(log)
  await stopLaunched(child)
  assert.ok(hasEnded(child))
  await gone(pids)
  await stopLaunched(child)
})

test('a process that is killed takes its command along', {
  skip: !hasPython && 'no python3',
}, async (context) => {
  const { log } = outputOf(context)
  const program = `
    import { openSync } from 'node:fs'
    import { launchKept } from ${JSON.stringify(MODULE)}
    launchKept(${JSON.stringify(FAMILY)}, { python: 'python3', output: openSync(${JSON.stringify(log)}, 'a'), env: process.env })
  `
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' })
  const pids = await printedPids(log)
  const ended = once(parent, 'exit')
  parent.kill('SIGKILL')
  await ended
  await gone(pids)
})

function outputOf(context: { after(done: () => void): void }) {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-kept-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const log = join(folder, 'log')
  return { log, output: openSync(log, 'a') }
}

async function printedPids(log: string): Promise<number[]> {
  return until(() => {
    const pids = readFileSync(log, 'utf8').trim().split(' ').map(Number)
    return pids.length === 2 ? pids : undefined
  })
}

async function gone(pids: readonly number[]): Promise<void> {
  await until(() => (pids.some(isAlive) ? undefined : true))
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function until<Value>(look: () => Value | undefined): Promise<Value> {
  for (let tries = 0; tries < 400; tries++) {
    const value = look()
    if (value !== undefined) return value
    await sleep(25)
  }
  throw new Error('waited 10 s in vain')
}
