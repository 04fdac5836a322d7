/**
 * Trains on a disk that fails in the midst of it, and is the judge of what came of it. argv: the root folder, what
 * happens to the disk. Prints what the test looks at, as JSON.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Issue, startLogging } from '../../src/index.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import { IdentityServer } from '../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { readJournal } from './journaled.ts'

export interface Report {
  readonly lost: number
  readonly lostRecords: number
  readonly journaled: number
  readonly issues: readonly { readonly code: string; readonly severity: string; readonly message: string }[]
}

type Trouble = 'filled' | 'limited' | 'deleted' | 'bounded' | 'readonly'

const PIECE = Buffer.alloc(64 * 1024, 1)

/** Takes every byte that is left. */
function fill(path: string): void {
  const fd = openSync(path, 'a')
  try {
    for (;;) writeSync(fd, PIECE)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
  try {
    for (;;) writeSync(fd, PIECE, 0, 512)
  } catch {
    closeSync(fd)
  }
}

/** Files may be made in it while it is emptied, oftener than `rmSync` tries again. */
function removeWhileWritten(folder: string): void {
  for (let tries = 1; ; tries++) {
    try {
      return rmSync(folder, { recursive: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY' || tries === 1000) throw error
    }
  }
}

function command(name: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(name, args, { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

async function main(root: string, trouble: Trouble): Promise<Report> {
  // a file that may not grow is told by an error, not by the end of the process
  process.on('SIGXFSZ', () => {})
  const identity = await IdentityServer.start()
  const offset = await OffsetServer.start()
  const module = (name: string) => fileURLToPath(workerUrl(`../sinks/fakes/${name}-sink`, import.meta.url))
  const issues: Issue[] = []
  const dir = join(root, 'runs')
  const run = startLogging({
    dir,
    runId: 'run',
    backend: {
      identity: { module: module('identity'), url: identity.url },
      offset: { module: module('offset'), url: offset.url },
    },
    ...(trouble === 'bounded' && { maxJournalBytes: 65_536 }),
    // segments of half a megabyte
    ...(trouble === 'readonly' && { maxJournalBytes: 4 * 1024 * 1024 }),
    onIssue: (issue) => issues.push(issue),
  })
  const { folder } = run.info
  let step = 0
  const train = async (ms: number) => {
    for (const until = performance.now() + ms; performance.now() < until; await sleep(1)) {
      for (let i = 0; i < 10; i++, step++) run.log({ loss: step, acc: -step }, { step })
      if (step % 500 === 0) run.setTags({ [`t${step}`]: 'x' })
    }
  }
  const untilLost = async () => {
    while (run.stats().lost.disk === 0) await train(20)
  }
  await train(200)
  if (trouble === 'filled') {
    fill(join(root, 'ballast'))
    await untilLost()
    // a copy that does not fit either costs itself
    run.logText('notes', 'x'.repeat(200_000), { step })
    await train(300)
    rmSync(join(root, 'ballast'))
  } else if (trouble === 'readonly') {
    // what is open can be written on, but nothing is made, replaced or opened any more
    command('mount', '--bind', dir, dir)
    command('mount', '-o', 'remount,ro,bind', dir)
    await untilLost()
    run.logText('notes', 'x'.repeat(200_000), { step })
    await train(300)
    command('umount', '-l', dir)
  } else if (trouble === 'deleted') {
    removeWhileWritten(dir)
    // content that is kept while the folder is not there
    run.logText('notes', 'x'.repeat(200_000), { step })
    while (statSync(join(folder, 'run.json'), { throwIfNoEntry: false }) === undefined) await train(20)
  } else await untilLost()
  await train(200)
  // a disk that has failed is asked again within a second
  const before = run.stats().journaled
  if (trouble !== 'bounded')
    for (
      const until = performance.now() + 5000;
      run.stats().journaled === before && performance.now() < until;
    )
      await train(50)
  run.log({ last: 1 }, { step })
  const stats = await run.finish('finished', { deadlineMs: 30_000 })
  const { accepted, coalesced, inRing, journaled, lost, records } = stats
  const why = JSON.stringify({ stats, issues })
  assert.equal(accepted, journaled + coalesced + lost.disk + lost.laneFull + inRing, why)
  assert.equal(records.accepted, records.journaled + records.lost, why)
  const back = readJournal(folder)
  assert.equal(back.count, journaled, `the journal holds what was counted; ${why}`)
  assert.equal(back.records.length, records.journaled, why)
  for (const [name, sums] of Object.entries(stats.destinations)) {
    const { delivered, filtered, rejected, corrupt, pending } = sums
    assert.deepEqual([delivered + filtered + rejected + corrupt, pending], [journaled, 0], `${name}: ${why}`)
    assert.deepEqual([rejected, corrupt], [0, 0], `${name}: ${why}`)
  }
  const wanted = [...(back.points.get('loss') ?? [])].map(({ value }) => value)
  const stored = {
    identity: [...identity.runs.values()].flatMap(({ points }) => [...points.values()]),
    offset: offset.points('run'),
  }
  for (const [name, points] of Object.entries(stored)) {
    const found = points.filter(({ key }) => key.includes('loss')).map(({ value }) => Number(value))
    assert.deepEqual(
      found.sort((a, b) => a - b),
      wanted,
      `${name} has what the journal has`,
    )
  }
  return {
    lost: lost.disk,
    lostRecords: records.lost,
    journaled,
    issues: issues.map(({ code, severity, message }) => ({ code, severity, message })),
  }
}

mkdirSync(process.argv[2]!, { recursive: true })
const report = await main(process.argv[2]!, process.argv[3] as Trouble)
writeSync(1, `\n${JSON.stringify(report)}\n`)
process.exit(0)
