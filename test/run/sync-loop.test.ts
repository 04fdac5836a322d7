/** Training is one synchronous loop: nothing after startLogging() may need main's event loop. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Stats } from '../../src/core/types.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { readJournal } from './journaled.ts'
import { runProgram, temporaryFolder } from './program.ts'

interface Look {
  readonly ms: number
  readonly journalBytes: number
  readonly eventBytes: number
  readonly delivered: Readonly<Record<string, number>>
}

test('while main is in a synchronous loop for 3 s, points reach the journal, the event file and the server', async (context) => {
  const folder = temporaryFolder(context)
  const server = await FakeMlflow.start()
  context.after(() => server.stop())
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const { readdirSync, statSync } = await import('node:fs')
      const run = startLogging({
        runId: 'r',
        backend: { local: {}, tensorboard: {}, mlflow: { uri: args[0]! } },
      })
      const sizeOf = (ending: RegExp) =>
        readdirSync(run.info.folder, { recursive: true, encoding: 'utf8' })
          .filter((path) => ending.test(path))
          .reduce((sum, path) => sum + statSync(`${run.info.folder}/${path}`).size, 0)
      const looks: Look[] = []
      const since = performance.now()
      let step = 0
      for (let next = 500; performance.now() - since < 3000; step++) {
        run.log({ loss: 1 / (step + 1), acc: step / 7 }, { step })
        // the forward and backward pass of a small network
        const until = performance.now() + 0.2
        while (performance.now() < until);
        if (performance.now() - since < next) continue
        next += 500
        looks.push({
          ms: performance.now() - since,
          journalBytes: sizeOf(/\.tlj$/),
          eventBytes: sizeOf(/tfevents/),
          delivered: Object.fromEntries(
            Object.entries(run.stats().destinations).map(([name, { delivered }]) => [name, delivered]),
          ),
        })
      }
      const atEnd = run.stats()
      process.stdout.write(JSON.stringify({ looks, steps: step, atEnd, stats: await run.finish() }))
    },
    [server.uri],
  )
  assert.equal(ended.code, 0, ended.stderr)
  assert.equal(ended.stderr, '')
  const { looks, steps, atEnd, stats } = JSON.parse(ended.stdout) as {
    looks: Look[]
    steps: number
    atEnd: Stats
    stats: Stats
  }
  for (const look of looks) context.diagnostic(JSON.stringify(look))
  assert.ok(looks.length >= 5)
  for (const [i, look] of looks.entries()) {
    const before = looks[i - 1] ?? { journalBytes: 0, eventBytes: 0, delivered: {} as Record<string, number> }
    assert.ok(look.journalBytes > before.journalBytes, `the journal at ${look.ms} ms`)
    // the threads of delivery are still starting
    if (i < 2) continue
    assert.ok(look.eventBytes > before.eventBytes, `the event file at ${look.ms} ms`)
    for (const name of ['local', 'tensorboard', 'mlflow'])
      assert.ok(look.delivered[name]! > (before.delivered[name] ?? 0), `${name} at ${look.ms} ms`)
  }
  assert.ok(
    atEnd.journaled > 0.8 * atEnd.accepted,
    `${atEnd.journaled} of ${atEnd.accepted} journaled meanwhile`,
  )
  assert.equal(stats.accepted, 2 * steps)
  assert.equal(stats.journaled, 2 * steps)
  for (const name of ['local', 'tensorboard', 'mlflow'])
    assert.deepEqual([stats.destinations[name]!.delivered, stats.destinations[name]!.pending], [2 * steps, 0])
  assert.equal(server.store.points, 2 * steps)
  const { points } = readJournal(join(folder, 'default', 'r'))
  assert.equal(points.get('loss')!.length, steps)
  assert.ok(points.get('loss')!.every(({ step, value }, i) => step === i && value === 1 / (i + 1)))
})
