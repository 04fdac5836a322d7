import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openRun, startLogging } from '../../src/index.ts'
import { readEvents } from '../sinks/tensorboard/read-events.ts'
import { cliCommand, cliEnvironment, tracelet, traceletWith } from './run-cli.ts'

const root = mkdtempSync(join(tmpdir(), 'tracelet-cli-'))
after(() => rmSync(root, { recursive: true, force: true }))

test('no command shows the help and exits with 2', async () => {
  const { code, stderr } = await tracelet(root)
  assert.equal(code, 2)
  assert.match(stderr, /usage: tracelet <command>/)
})

test('help and version go to stdout and exit with 0', async () => {
  for (const args of [['--help'], ['help'], ['demo', '--help'], ['help', 'demo'], ['--version']]) {
    const { code, stdout, stderr } = await tracelet(root, ...args)
    assert.equal(code, 0)
    assert.equal(stderr, '')
    assert.match(stdout, args[0] === '--version' ? /^\d+\.\d+\.\d+\n$/ : /usage: tracelet/)
  }
})

test('every command has help with its options and exit codes', async () => {
  const { stdout } = await tracelet(root, '--help')
  const commands = [...stdout.matchAll(/^ {2}(\w+) +\S/gm)].map(([, name]) => name!)
  assert.deepEqual(commands, ['demo', 'doctor', 'export', 'ls', 'pipe', 'prune', 'show', 'sync', 'tail'])
  assert.match(
    stdout,
    /Exit codes: 0 done, 1 failed or undelivered, 2 wrong command line, 130 ended by Ctrl-C/,
  )
  for (const command of commands) {
    const help = await tracelet(root, command, '--help')
    assert.equal(help.code, 0)
    assert.match(help.stdout, new RegExp(`^usage: tracelet ${command}`))
    assert.match(help.stdout, /^ {2}--help /m)
    assert.match(help.stdout, /^exit codes: 0 .*, 1 .*, 2 wrong command line, 130 /m)
    if (command !== 'demo') assert.match(help.stdout, /^ {2}--json /m)
  }
})

test('a wrong command line exits with 2 and says what was meant', async () => {
  const wrong: [string[], RegExp][] = [
    [['dmo'], /unknown command 'dmo'; did you mean 'demo'\?/],
    [['frobnicate'], /unknown command 'frobnicate'; tracelet --help/],
    [['demo', '--step', '4'], /unknown option '--step'; did you mean '--steps'\?/],
    [['demo', '--frobnicate'], /unknown option '--frobnicate'; see tracelet demo --help/],
    [['demo', '--steps', 'ten'], /--steps must be a whole number from 1 to 1000000, but is 'ten'/],
    [['demo', '--steps', '0'], /--steps must be/],
    [['demo', '--steps'], /demo: .*steps/],
    [['demo', '--backend', ' , '], /--backend names no backend/],
    [['demo', 'quickly'], /'quickly' is one word too many/],
  ]
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await tracelet(root, ...args)
    assert.equal(code, 2, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, message)
    assert.equal(stderr.trim().split('\n').length, 1)
  }
})

test('an error of the library exits with 1 and its code, without a stack', async () => {
  const { code, stderr } = await tracelet(root, 'demo', '--backend', 'tensorbord', '--steps', '1')
  assert.equal(code, 1)
  assert.match(stderr, /^tracelet: ERR_BACKEND_UNKNOWN: .*did you mean 'tensorboard'\?$/m)
  assert.doesNotMatch(stderr, / at /)
})

test('the demo trains, accounts for every point and tells where it is', async () => {
  const { code, stdout, stderr } = await tracelet(root, 'demo', '--steps', '60')
  assert.equal(code, 0, stderr)
  assert.match(stdout, /every point is accounted for/)
  assert.match(stdout, /reads \d+\.\d % of the digits/)
  assert.match(stdout, /log\(\) {2}61 calls/)
  const [, runId] = /^run (\S+)$/m.exec(stdout)!
  const [, points] = /61 calls, ([\d,]+) points/.exec(stdout)!
  const run = openRun(runId!, { dir: root })
  const journaled = run.series().reduce((sum, series) => sum + series.points, 0)
  assert.equal(journaled, Number(points!.replaceAll(',', '')))
  const events = readEvents(run.info.folder).filter(({ value }) => value !== undefined)
  assert.equal(events.length, journaled)
  for (const { name } of run.series()) {
    const { step, value } = run.history(name)
    const found = events.filter(({ tag }) => tag === name)
    assert.deepEqual(
      found.map((event) => [Number(event.step), event.value]),
      Array.from(step, (at, index) => [at, Math.fround(value[index]!)]),
    )
  }
})

test('what stands after -- is no option', async () => {
  const { code, stderr } = await tracelet(root, 'show', '--', '--odd')
  assert.equal(code, 1)
  assert.match(stderr, /^tracelet: ERR_RUN_UNKNOWN: no run '--odd'/)
})

test('what the file system refuses is said without a stack, and keeps no other run from being sent', async () => {
  const dir = join(root, 'refused')
  for (const runId of ['bad', 'good']) {
    const run = startLogging({ dir, runId, backend: 'tensorboard' })
    run.log({ loss: 1 })
    await run.finish()
  }
  const journal = join(dir, 'default', 'bad', 'journal-00000001.tlj')
  rmSync(journal)
  // not readable as a file, for root neither
  mkdirSync(journal)
  for (const args of [
    ['show', 'bad'],
    ['tail', 'bad'],
    ['sync', 'bad'],
  ]) {
    const { code, stderr } = await tracelet(dir, ...args)
    assert.equal(code, 1)
    assert.match(stderr, /EISDIR/)
    assert.doesNotMatch(stderr, /^ +at /m)
  }
  for (const args of [
    ['sync', '--all'],
    ['sync', 'bad', 'good'],
  ]) {
    const { code, stdout, stderr } = await tracelet(dir, ...args)
    assert.equal(code, 1)
    assert.match(stderr, /bad: ERR_JOURNAL_FORMAT: .*EISDIR/)
    assert.match(stdout, /^run good$/m)
  }
})

test('a demo without Python says what it looked for, without a stack', async () => {
  const { code, stderr } = await traceletWith(root, { PATH: '/nowhere' }, 'demo', '--backend', 'mlflow')
  assert.equal(code, 1)
  assert.match(stderr, /^tracelet: no Python 3\.10 or later .*--mlflow-uri/m)
  assert.doesNotMatch(stderr, /^ +at /m)
})

test('an output that is full is told without a stack, and what a pipe brings is logged all the same', {
  skip: !existsSync('/dev/full') && 'no /dev/full',
}, () => {
  const into = (line: string, ...args: string[]) =>
    spawnSync('sh', ['-c', '"$0" "$@" > /dev/full', ...cliCommand(...args)], {
      input: line,
      encoding: 'utf8',
      env: cliEnvironment(root),
    })
  const listed = into('', 'ls', '--json')
  const piped = into('{"loss": 1}\n', 'pipe', '--run-id', 'full-output', '--backend', 'local')
  for (const { status, stderr } of [listed, piped]) {
    assert.equal(status, 1)
    assert.match(stderr, /^tracelet: the output cannot be written: .*ENOSPC/m)
    assert.doesNotMatch(stderr, /^ +at /m)
  }
  assert.equal(openRun('full-output', { dir: root }).state().state, 'finished')
})
