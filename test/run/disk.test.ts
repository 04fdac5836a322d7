/** Training goes on whatever becomes of the disk; what is lost is counted, and all else lands in every backend. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import type { Report } from './disk-program.ts'
import { temporaryFolder } from './program.ts'

const PROGRAM = fileURLToPath(workerUrl('./disk-program', import.meta.url))

/** Ways to a file system of a few megabytes, the first that works here: in a name space of its own, as root. */
const MOUNTS = ['unshare -rm sh -c', 'unshare -m sh -c']

function mounted(folder: string): string | undefined {
  const mount = `mount -t tmpfs -o size=3m tmpfs "${folder}"`
  return MOUNTS.find((way) => spawnSync('sh', ['-c', `${way} '${mount}'`]).status === 0)
}

/** @param prefix of the shell's command line, in which PROGRAM stands for the program */
async function trainOn(script: string): Promise<Report> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const child = spawn('bash', ['-c', script], { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 90_000 })
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    child.exitCode === null ? once(child, 'close') : undefined,
  ])
  assert.equal(child.exitCode, 0, stderr + stdout)
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Report
}

const commandFor = (folder: string, trouble: string) =>
  `"${process.execPath}" "${PROGRAM}" "${folder}" ${trouble}`

function assertToldOnce({ issues }: Report): void {
  const disk = issues.filter(({ code }) => code === 'ERR_JOURNAL_WRITE')
  const failures = disk.filter(({ severity }) => severity === 'error')
  assert.ok(failures.length >= 1 && failures.length <= 3, JSON.stringify(issues))
  assert.ok(!issues.some(({ code }) => code === 'ERR_LAW' || code === 'ERR_SINK_BUG'), JSON.stringify(issues))
}

test('a disk that is full for a while costs what could not be journaled, exactly, and nothing after it', async (t) => {
  const folder = temporaryFolder(t)
  const way = mounted(folder)
  if (way === undefined) return t.skip('no small file system can be mounted here')
  const mount = `mount -t tmpfs -o size=3m tmpfs "${folder}"`
  const report = await trainOn(`${way} '${mount} && exec ${commandFor(folder, 'filled')}'`)
  assert.ok(report.lost > 0)
  assertToldOnce(report)
  const recovered = report.issues.filter(({ severity }) => severity === 'recovered')
  assert.ok(
    recovered.some(({ message }) => /written again; \d+ points/.test(message)),
    JSON.stringify(report),
  )
})

test('a file system that is read-only for a while costs what needed more than was open, and nothing after it', async (t) => {
  const folder = temporaryFolder(t)
  const readOnly = `mount --bind "${folder}" "${folder}" && mount -o remount,ro,bind "${folder}"`
  const way = MOUNTS.find((one) => spawnSync('sh', ['-c', `${one} '${readOnly}'`]).status === 0)
  if (way === undefined) return t.skip('nothing can be mounted read-only here')
  const report = await trainOn(`${way} '${commandFor(folder, 'readonly')}'`)
  assert.ok(report.lost > 0)
  assertToldOnce(report)
  assert.ok(report.issues.some(({ message }) => /EROFS/.test(message)))
  assert.ok(report.issues.some(({ severity }) => severity === 'recovered'))
})

test('files that may not grow beyond a size are followed by others', async (t) => {
  const folder = temporaryFolder(t)
  const report = await trainOn(`ulimit -f 256 && exec ${commandFor(folder, 'limited')}`)
  assert.ok(report.lost > 0)
  assertToldOnce(report)
})

test('a root folder that is deleted is made again, and nothing is lost', async (t) => {
  const report = await trainOn(`exec ${commandFor(temporaryFolder(t), 'deleted')}`)
  assert.equal(report.lost, 0)
  assert.ok(report.issues.some(({ message }) => message.includes('was deleted; it was made again')))
})

test('a journal that is as large as it may be takes no more points, and still the end of the run', async (t) => {
  const report = await trainOn(`exec ${commandFor(temporaryFolder(t), 'bounded')}`)
  assert.ok(report.lost > 0)
  assertToldOnce(report)
  assert.ok(report.issues.some(({ message }) => message.includes('maxJournalBytes')))
})
