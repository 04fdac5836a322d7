/** What a user is told, on stderr or by `onIssue`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Issue, startLogging } from '../../src/index.ts'
import { readJournal } from './journaled.ts'
import { runProgram, temporaryFolder } from './program.ts'

test('onIssue gets each issue of its run, with its code, and stderr nothing', async (context) => {
  const ended = await runProgram(temporaryFolder(context), async ({ startLogging }) => {
    const issues: Issue[] = []
    const run = startLogging({ onIssue: (issue) => issues.push(issue) })
    for (let i = 0; i < 3; i++) run.log({ bad: 'text' as never, good: 1 }, { step: i })
    run.log({ a: 1 }, { step: 0.5 })
    run.metric('m').log(Number.NaN, 1)
    run.defineMetric('')
    const stats = await run.finish()
    process.stdout.write(JSON.stringify({ issues, accepted: stats.accepted, refused: stats.refused }))
  })
  assert.equal(ended.stderr, '')
  const { issues, accepted, refused } = JSON.parse(ended.stdout)
  assert.deepEqual(
    issues.map(({ code, severity }: Issue) => `${code} ${severity}`),
    [...Array(3).fill('ERR_VALUE error'), ...['ERR_STEP error', 'ERR_STEP error', 'ERR_NAME error']],
  )
  assert.deepEqual([accepted, refused], [3, 5])
  assert.match(issues[0].message, /'bad' was given the text 'text'/)
})

test('a destination in trouble is named, and what is pending at the end is a warning', async (context) => {
  const ended = await runProgram(temporaryFolder(context), async ({ startLogging }) => {
    const issues: Issue[] = []
    const run = startLogging({
      backend: { local: {}, 'mlflow:team': { uri: 'http://127.0.0.1:1' } },
      onIssue: (issue) => issues.push(issue),
    })
    run.log({ loss: 1 })
    while (issues.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    await run.finish('finished', { deadlineMs: 100 })
    process.stdout.write(JSON.stringify(issues))
  })
  assert.equal(ended.stderr, '')
  const issues = JSON.parse(ended.stdout) as Issue[]
  const [first] = issues
  assert.deepEqual([first!.destination, first!.severity], ['mlflow:team', 'warning'])
  const last = issues.find(({ code }) => code === 'ERR_DEADLINE')!
  assert.equal(last.severity, 'warning')
  assert.match(last.message, /npx tracelet sync/)
})

test('a handler that throws, rejects or logs nonsense itself harms nothing', async (context) => {
  for (const kind of ['throws', 'rejects', 'logs']) {
    const ended = await runProgram(
      temporaryFolder(context),
      async ({ startLogging }, { args }) => {
        let calls = 0
        const run = startLogging({
          onIssue: () => {
            calls++
            if (args[0] === 'throws') throw new Error('broken handler')
            if (args[0] === 'rejects') return Promise.reject(new Error('broken handler'))
            run.log({ nonsense: 'again' as never })
          },
        })
        run.log({ bad: 'x' as never, good: 1 })
        run.log({ good: 2 })
        const stats = await run.finish()
        process.stdout.write(JSON.stringify({ calls, stats }))
      },
      [kind],
    )
    assert.equal(ended.code, 0, ended.stderr)
    const { calls, stats } = JSON.parse(ended.stdout)
    assert.deepEqual([calls, stats.accepted, stats.journaled], [1, 2, 2], kind)
    assert.match(ended.stderr, /ERR_VALUE: .*'(?:bad|nonsense)' was given/, kind)
    if (kind !== 'logs') assert.match(ended.stderr, /onIssue failed: broken handler/)
  }
})

test('a handler hears of its own run only, and secrets are hidden from it', async (context) => {
  const heard: string[][] = [[], []]
  const [first, second] = heard.map((list) =>
    startLogging({
      dir: temporaryFolder(context),
      backend: 'local',
      onIssue: ({ message }) => list.push(message),
    }),
  )
  first!.log({ a: 1 }, { step: 'https://user:pass@host/' as never })
  second!.log({ b: 1, wrong: null as never }, { step: 1 })
  await Promise.all([first!.finish(), second!.finish()])
  assert.equal(heard[0]!.length, 1)
  assert.match(heard[0]![0]!, /\[REDACTED:url\]/)
  assert.deepEqual(heard[1], ["'wrong' was given null; only numbers can be logged as a metric"])
  assert.equal(readJournal(second!.info.folder).count, 1)
})

test('onIssue must be a function', () => {
  assert.throws(() => startLogging({ onIssue: 'say' as never }), { code: 'ERR_OPTION' })
})
