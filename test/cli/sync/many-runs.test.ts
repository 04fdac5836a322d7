import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { openRun } from '../../../src/index.ts'
import { takeGuard } from '../../../src/pipeline/store/guard.ts'
import { manyRuns, POINTS_PER_RUN, RECORDS_PER_RUN } from '../../pipeline/delivery/many-runs.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../../sinks/fakes/offset-server.ts'
import { cliCommand, cliEnvironment, tracelet } from '../run-cli.ts'
import { inTerminal } from '../terminal.ts'
import { rootAndServer } from './root-and-server.ts'

/** With TRACELET_TEST_LONG=1 as many as a year leaves behind. */
const RUNS = process.env.TRACELET_TEST_LONG === '1' ? 2_000 : 300
const FEW = 100
/** Connections, journals and cursors of 64 open runs, and what Node itself has open. */
const MAX_DESCRIPTORS = 400

/** Every point of every run once, each with its value. */
function assertStored(server: IdentityServer, folders: readonly string[]): void {
  for (const folder of folders) {
    const id = basename(folder)
    const index = Number(id.slice(-5))
    const stored = [...server.runs.get(id)!.points.values()]
    assert.deepEqual(
      stored.map(({ key, step, value }) => [step, key === 'loss', value]).sort((a, b) => +a[0]! - +b[0]!),
      Array.from({ length: POINTS_PER_RUN }, (_, at) => {
        const step = index + (at >> 1)
        return [step, at % 2 === 0, at % 2 === 0 ? step / 3 : -step]
      }),
      id,
    )
    assert.equal(server.runs.get(id)!.outcome, 'finished')
  }
}

test(`${RUNS} pending runs are sent within bounds of memory and descriptors, once`, async (context) => {
  const { root, server } = await rootAndServer(context)
  const folders = manyRuns(root, RUNS, { identity: server.url })
  const few = await watched(root, ['sync', ...folders.slice(0, FEW)])
  assert.equal(few.code, 0, few.stderr)
  const rest = await watched(root, ['sync', '--all'])
  assert.equal(rest.code, 0, rest.stderr)
  context.diagnostic(
    `${FEW} runs: ${few.peakMiB} MiB, ${few.descriptors} descriptors; ${RUNS}: ${rest.peakMiB} MiB, ${rest.descriptors}; ${Math.round(rest.ms)} ms`,
  )
  assertStored(server, folders)
  const points = (RUNS - FEW) * POINTS_PER_RUN
  assert.match(rest.stdout, line('identity', RUNS * POINTS_PER_RUN, points, FEW * POINTS_PER_RUN))
  const records = (RUNS - FEW) * RECORDS_PER_RUN
  assert.match(rest.stdout, line('identity', RUNS * RECORDS_PER_RUN, records, FEW * RECORDS_PER_RUN))
  assert.match(rest.stdout, line('local', RUNS * POINTS_PER_RUN, 0, RUNS * POINTS_PER_RUN))
  const closing = `${(points + records).toLocaleString('en')} new: everything is delivered`
  assert.ok(rest.stdout.endsWith(`${closing}\n`), rest.stdout.slice(-200))
  if (rest.descriptors > 0) {
    assert.ok(rest.descriptors < MAX_DESCRIPTORS, `${rest.descriptors} descriptors`)
    // of a run that has ended no more than its sums is kept
    assert.ok(rest.peakMiB < few.peakMiB * 2 + 64, `${rest.peakMiB} MiB, with ${FEW} runs ${few.peakMiB}`)
  }
  const { requests } = server
  for (const folder of folders) rmSync(join(folder, 'guards'), { recursive: true })
  const again = await tracelet(root, 'sync', '--all')
  assert.equal(again.code, 0)
  assert.match(again.stdout, /^0 new: everything is delivered$/m)
  assert.equal(server.requests, requests, 'nothing is asked')
  assert.deepEqual(
    folders.filter((folder) => existsSync(join(folder, 'guards'))),
    [],
    'no guard is taken',
  )
})

test('a sync that is ended by a signal says what was not begun, and nothing of everything being delivered', async (context) => {
  const { root, server } = await rootAndServer(context)
  manyRuns(root, 3, { identity: server.url })
  await server.stop()
  for (const words of [[], ['--json']]) {
    const [node, ...args] = cliCommand('sync', '--all', '--parallel', '1', ...words)
    const child = spawn(node!, args, { env: cliEnvironment(root), stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    child.stdout.on('data', (text: Buffer) => (stdout += text))
    const ended = once(child, 'close')
    let stderr = ''
    let isSignalled = false
    child.stderr.on('data', (text: Buffer) => {
      stderr += text
      if (isSignalled || !stderr.includes('does not answer')) return
      isSignalled = true // a second signal ends it at once
      child.kill('SIGINT')
    })
    assert.deepEqual(await ended, [130, null], stderr)
    if (words.length === 0) assert.match(stdout, /^0 new: 1 run is not complete, 2 runs are not begun\n$/m)
    else {
      const { complete, totals } = JSON.parse(stdout)
      assert.equal(complete, false)
      assert.deepEqual(totals.runs, { delivered: 0, incomplete: 1, notSynced: 0, notBegun: 2 })
    }
  }
})

test('a corrupt run, a busy one, one of a newer version and a wrong word do not stop the others', async (context) => {
  const { root, server } = await rootAndServer(context)
  const folders = manyRuns(root, 8, { identity: server.url })
  const [noJson, damaged, busy, newer, delivering, ...good] = folders
  writeFileSync(join(noJson!, 'run.json'), '{}')
  rmSync(join(noJson!, 'run.copy.json'))
  damageAValue(damaged!, -6)
  const file = JSON.parse(readFileSync(join(newer!, 'run.json'), 'utf8'))
  for (const name of ['run.json', 'run.copy.json'])
    writeFileSync(join(newer!, name), JSON.stringify({ ...file, version: 99 }))
  const writer = takeGuard(busy!, 'writer')
  const deliverer = takeGuard(delivering!, 'deliver-identity')
  const synced = await tracelet(root, 'sync', '--json', 'no-such-run', ...folders)
  assert.equal(synced.code, 1)
  assertStored(server, good)
  const { complete, runs, totals } = JSON.parse(synced.stdout)
  assert.equal(complete, false)
  const errorOf = (folder: string) =>
    runs.find((run: { folder: string }) => run.folder === folder).error?.code
  assert.equal(errorOf('no-such-run'), 'ERR_RUN_UNKNOWN')
  assert.equal(errorOf(noJson!), 'ERR_JOURNAL_FORMAT')
  assert.equal(errorOf(newer!), 'ERR_JOURNAL_FORMAT')
  assert.equal(errorOf(busy!), 'ERR_RUN_BUSY')
  assert.match(synced.stderr, new RegExp(`process ${process.pid} .* writes this run`))
  const damage = runs.find((run: { folder: string }) => run.folder === damaged).destinations.identity
  assert.equal(damage.corrupt, POINTS_PER_RUN)
  assert.equal(
    damage.delivered + damage.corrupt + damage.records.delivered + damage.records.corrupt,
    POINTS_PER_RUN + RECORDS_PER_RUN,
  )
  const other = runs.find((run: { folder: string }) => run.folder === delivering).destinations.identity
  assert.deepEqual([other.complete, other.code, other.pending], [false, 'ERR_RUN_BUSY', POINTS_PER_RUN])
  assert.deepEqual(totals.runs, { delivered: good.length + 1, incomplete: 1, notSynced: 4, notBegun: 0 })
  writer.release()
  deliverer.release()
  const later = await tracelet(root, 'sync', busy!, delivering!)
  assert.equal(later.code, 0, later.stdout + later.stderr)
  assertStored(server, [busy!, delivering!, ...good])
})

test('folders that were copied from elsewhere are synced, wherever they lie; a run named twice once', async (context) => {
  const { root, server } = await rootAndServer(context)
  const folders = manyRuns(join(root, 'first'), 4, { identity: server.url })
  const elsewhere = join(root, 'copied', 'from another host', '.tracelet')
  mkdirSync(elsewhere, { recursive: true })
  cpSync(join(root, 'first'), elsewhere, { recursive: true })
  mkdirSync(join(elsewhere, 'project', 'no run'))
  const copies = folders.map((folder) => join(elsewhere, 'project', basename(folder)))
  symlinkSync(join(root, 'copied'), join(root, 'link'))
  const synced = await tracelet(
    join(root, 'nothing'),
    ...['sync', '--json', join(root, 'copied'), copies[0]!, join(elsewhere, 'project'), join(root, 'link')],
  )
  assert.equal(synced.code, 0, synced.stderr)
  assertStored(server, copies)
  const { runs, totals } = JSON.parse(synced.stdout)
  assert.deepEqual(
    runs.map((run: { folder: string }) => run.folder),
    copies,
  )
  assert.equal(totals.sent.points, 4 * POINTS_PER_RUN)
  // the folders that they were copied from know nothing of it: what comes again changes nothing
  const original = await tracelet(root, 'sync', '--json', root)
  assert.equal(original.code, 0, original.stderr)
  assertStored(server, folders)
  assert.equal(JSON.parse(original.stdout).runs.length, 8, 'both folders of each run')
  const empty = await tracelet(root, 'sync', join(elsewhere, 'project', 'no run'))
  assert.equal(empty.code, 1)
  assert.match(empty.stderr, /ERR_RUN_UNKNOWN: there is no run below /)
  const project = await tracelet(join(root, 'first'), 'sync', '--all', '--project', 'another')
  assert.match(project.stdout, /^no runs under /)
})

test('of many runs at a backend that is away one says so, and the next sync sends all', async (context) => {
  const { root, server } = await rootAndServer(context)
  const { url } = server
  const folders = manyRuns(root, 30, { identity: url })
  await server.stop()
  const away = await tracelet(root, 'sync', '--all', '--deadline', '3')
  assert.equal(away.code, 1)
  assert.equal(away.stderr.match(/does not answer/g)?.length, 1, away.stderr)
  assert.match(away.stdout, line('identity', 600, 0, 0, 600))
  assert.match(away.stdout, /^0 new: 30 runs are not complete$/m)
  assert.match(away.stdout, /^run-00007 {2}identity 22 pending: .*does not answer/m)
  const back = await IdentityServer.start(undefined, Number(new URL(url).port))
  context.after(() => back.stop())
  const sent = await tracelet(root, 'sync', '--all')
  assert.equal(sent.code, 0, sent.stdout + sent.stderr)
  assertStored(back, folders)
})

test('a terminal shows how many of the runs have ended and how much was sent', async (context) => {
  const { root } = await rootAndServer(context)
  const slow = await OffsetServer.start()
  context.after(() => slow.stop())
  // long enough for the line to be drawn
  slow.answersAfterMs = () => 100
  manyRuns(root, 5, { offset: slow.url })
  const shown = await inTerminal(context, root, ['sync', '--all', '--parallel', '2'], { columns: 90 })
  if (shown === undefined) return
  assert.equal(shown.code, 0, shown.screen)
  assert.match(shown.screen, /syncing ━*─+ +\d+ % {2}[1-4]\/5 runs .*\d+ new/)
  assert.doesNotMatch(shown.lines.join('\n'), /━|runs\/s/, 'it is gone at the end')
  assert.equal(shown.lines.filter((text) => / offset 22 new$/.test(text)).length, 5)
})

test('a run whose process died is closed as killed first, and the backend hears of it', async (context) => {
  const { root, server } = await rootAndServer(context)
  const [folder] = manyRuns(root, 1, { identity: server.url }, 'dead')
  const synced = await tracelet(root, 'sync', folder!)
  assert.equal(synced.code, 0, synced.stderr)
  assert.match(synced.stdout, /^run run-00000 {2}\(its process had died: closed as killed\)$/m)
  assert.equal(server.runs.get('run-00000')?.outcome, 'killed')
  assert.equal(openRun(folder!).state().state, 'killed')
  const again = await tracelet(root, 'sync', folder!)
  assert.doesNotMatch(again.stdout, /closed as killed/)
  assert.match(again.stdout, /^0 new/m)
})

/** A row of the table of totals. */
function line(name: string, ...counts: readonly number[]): RegExp {
  const [journaled, sent, there, pending = 0] = counts.map((one) => one.toLocaleString('en'))
  return new RegExp(`^ +${name} +${journaled} +${sent} +${there} +0 +0 +0 +${pending} {2}✓$`, 'm')
}

function segments(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.tlj'))
    .map((name) => join(folder, name))
}

/** Within the frame of the run's points. */
function damageAValue(folder: string, value: number): void {
  const [segment] = segments(folder)
  const bytes = readFileSync(segment!)
  const wanted = Buffer.alloc(8)
  wanted.writeDoubleLE(value)
  const at = bytes.indexOf(wanted)
  assert.ok(at > 0)
  bytes[at] = bytes[at]! ^ 0xff
  writeFileSync(segment!, bytes)
}

interface Watched {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
  /** 0 where the system does not tell. */
  readonly descriptors: number
  readonly peakMiB: number
}

/** Runs the command line and looks at what it takes meanwhile. */
async function watched(root: string, args: readonly string[]): Promise<Watched> {
  const [node, ...rest] = cliCommand(...args)
  const since = performance.now()
  const child = spawn(node!, rest, { env: cliEnvironment(root) })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (text) => (stdout += text))
  child.stderr.on('data', (text) => (stderr += text))
  let [descriptors, peakMiB] = [0, 0]
  const timer = setInterval(() => {
    try {
      descriptors = Math.max(descriptors, readdirSync(`/proc/${child.pid}/fd`).length)
      const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]
      peakMiB = Math.max(peakMiB, Math.round(Number(peak ?? 0) / 1024))
    } catch {
      // it has ended, or this system has no such files
    }
  }, 20)
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  clearInterval(timer)
  return { code, stdout, stderr, ms: performance.now() - since, descriptors, peakMiB }
}
