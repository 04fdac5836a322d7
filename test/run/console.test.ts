/** What a program printed, as a run keeps it. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { attachRun, type Issue, openRun, startLogging } from '../../src/index.ts'
import { pipeLines, theRun } from '../cli/pipe/piped.ts'
import { tracelet } from '../cli/run-cli.ts'
import { Random, SEED } from '../random.ts'
import { temporaryFolder } from './program.ts'

function newRun(context: TestContext, more: { readonly laneSlots?: number } = {}) {
  const issues: Issue[] = []
  const run = startLogging({
    dir: temporaryFolder(context),
    backend: 'local',
    onIssue: (issue) => issues.push(issue),
    ...more,
  })
  context.after(() => run.finish())
  const stored = () => openRun(run.info.folder).console()
  return { run, issues, stored }
}

test('each call is whole lines, of its stream and its time, in the order of the calls', async (context) => {
  const { run, issues, stored } = newRun(context)
  const before = Date.now()
  run.logConsole('one\ntwo\n')
  run.logConsole('three', { stream: 'stderr', time: 5.25 })
  run.logConsole('\n', { time: 6 })
  run.logConsole('')
  run.logConsole('\u001b[1mfour\u001b[0m\r\n\n', { time: 7 })
  await run.flush()
  const [first, ...rest] = stored()
  assert.deepEqual({ ...first, time: 0 }, { stream: 'stdout', text: 'one\ntwo', time: 0 })
  assert.ok(first!.time >= before && first!.time <= Date.now())
  assert.deepEqual(rest, [
    { stream: 'stderr', text: 'three', time: 5.25 },
    { stream: 'stdout', text: '', time: 6 },
    { stream: 'stdout', text: '\u001b[1mfour\u001b[0m\r\n', time: 7 },
  ])
  assert.deepEqual(issues, [])
})

test('what is no text, no stream or no time costs itself only', async (context) => {
  const { run, issues, stored } = newRun(context)
  run.logConsole(7 as never)
  run.logConsole('a', { stream: 'stdin' as never })
  run.logConsole('b', { time: Number.NaN })
  run.logConsole('c', null as never)
  run.logConsole('kept')
  await run.flush()
  assert.deepEqual(
    issues.map(({ code }) => code),
    ['ERR_VALUE', 'ERR_VALUE', 'ERR_TIME', 'ERR_VALUE'],
  )
  assert.deepEqual(
    stored().map(({ text }) => text),
    ['kept'],
  )
})

test('long texts are cut at line breaks, and no line is lost or cut in two', async (context) => {
  const random = new Random()
  for (const laneSlots of [256, 65_536]) {
    const { run, issues, stored } = newRun(context, { laneSlots })
    const letters = ['x', 'ü', '漢', '😀', '\t', '\u0000', '"']
    const lines = Array.from({ length: 400 }, (_, number) =>
      [number, ...Array.from({ length: random.below(200) }, () => random.pick(letters))].join(''),
    )
    run.logConsole(lines.join('\n'))
    await run.flush()
    const records = stored()
    assert.deepEqual(
      records.flatMap(({ text }) => text.split('\n')),
      lines,
      `seed ${SEED}`,
    )
    assert.ok(records.length > 2 && records.every(({ text }) => text.length <= 16_384))
    assert.deepEqual(issues, [])
  }
})

test('a line without end becomes several, of whole characters', async (context) => {
  const { run, stored } = newRun(context, { laneSlots: 256 })
  const line = `a${'😀'.repeat(30_000)}`
  run.logConsole(`before\n${line}\nafter`)
  await run.flush()
  const lines = stored().flatMap(({ text }) => text.split('\n'))
  assert.equal(lines[0], 'before')
  assert.equal(lines.at(-1), 'after')
  assert.equal(lines.slice(1, -1).join(''), line)
  assert.ok(lines.every((part) => part.isWellFormed()))
})

test('secrets are hidden, also where a text is cut', async (context) => {
  const { run, stored } = newRun(context)
  const key = `AKIA${'A'.repeat(16)}`
  run.logConsole(`${'x '.repeat(8_187)}${key} behind`)
  run.logConsole(`https://ann:secret@host/ ${key}\n`)
  await run.flush()
  const text = stored()
    .map((record) => record.text)
    .join('')
  assert.doesNotMatch(text, /AAAA|secret/)
  assert.equal(text.match(/\[REDACTED:aws-key\]/g)?.length, 2)
})

test('other threads of the run and a disabled run take it too', async (context) => {
  const { run, stored } = newRun(context)
  const attached = attachRun(run.handle())
  attached.logConsole('from a worker', { stream: 'stderr', time: 1 })
  assert.equal(await attached.flush(), true)
  await run.flush()
  assert.deepEqual(stored(), [{ stream: 'stderr', text: 'from a worker', time: 1 }])
  startLogging({ mode: 'disabled' }).logConsole('nowhere')
})

test('lines of other programs become it, and show and tail tell it', async (context) => {
  const root = temporaryFolder(context)
  const lines = [
    { type: 'console', text: 'epoch 1\nepoch \u001b[31m2\u001b[0m\n', time: 5 },
    { type: 'console', text: 'oh no', stream: 'stderr', time: 6 },
    { type: 'console', stream: 'stdout' },
    { type: 'console', text: 'x', stream: 'screen' },
  ]
  const { code, stderr } = await pipeLines(root, lines)
  assert.equal(code, 1)
  assert.match(stderr, /line 3: ERR_VALUE: 'console' needs 'text'/)
  assert.match(stderr, /line 4: ERR_VALUE: .*stdout and stderr/)
  const run = theRun(root)
  assert.deepEqual(run.console(), [
    { stream: 'stdout', text: 'epoch 1\nepoch \u001b[31m2\u001b[0m', time: 5 },
    { stream: 'stderr', text: 'oh no', time: 6 },
  ])
  const { stdout } = await tracelet(root, 'tail', run.info.id, '--from-start')
  assert.match(stdout, /^stdout {2}epoch 1\nstdout {2}epoch 2\nstderr {2}oh no$/m)
  const json = await tracelet(root, 'tail', run.info.id, '--from-start', '--json')
  const events = json.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'console')
  assert.deepEqual(events, [
    { type: 'console', stream: 'stdout', text: 'epoch 1', time: 5 },
    { type: 'console', stream: 'stdout', text: 'epoch \u001b[31m2\u001b[0m', time: 5 },
    { type: 'console', stream: 'stderr', text: 'oh no', time: 6 },
  ])
  const shown = await tracelet(root, 'show', run.info.id)
  assert.match(shown.stdout, /console +stdout +epoch 2 +24 B/)
  assert.match(shown.stdout, /console +stderr +oh no +5 B/)
})
