/** Training is one synchronous loop: nothing after startLogging() may need main's event loop. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Stats } from '../../src/core/types.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { readJournal } from './journaled.ts'
import { runProgram, temporaryFolder } from './program.ts'

/** Looks at which something of all places must have come since the one before. */
const LOOKS = 4

/** When it was, bytes of the journal and the event file, points delivered to each destination. */
type Look = Readonly<Record<string, number>>
const PLACES = ['journal', 'events', 'local', 'tensorboard', 'mlflow']

test('while main is in a synchronous loop, points reach the journal, the event file and the server', async (context) => {
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
        quiet: true,
      })
      const sizeOf = (ending: RegExp) =>
        readdirSync(run.info.folder, { recursive: true, encoding: 'utf8' })
          .filter((path) => ending.test(path))
          .reduce((sum, path) => sum + statSync(`${run.info.folder}/${path}`).size, 0)
      const looks: Look[] = []
      const since = performance.now()
      let step = 0
      // until every place has grown often enough: on a busy machine the threads of delivery take seconds to start
      const grown: Record<string, number> = {}
      const isDone = () => Object.values(grown).every((times) => times >= Number(args[1]))
      for (let next = 500; looks.length === 0 || !(isDone() || performance.now() - since > 30_000); step++) {
        run.log({ loss: 1 / (step + 1), acc: step / 7 }, { step })
        // the forward and backward pass of a small network
        const until = performance.now() + 0.2
        while (performance.now() < until);
        if (performance.now() - since < next) continue
        next += 500
        const look: Look = {
          ms: performance.now() - since,
          journal: sizeOf(/\.tlj$/),
          events: sizeOf(/tfevents/),
          ...Object.fromEntries(
            Object.entries(run.stats().destinations).map(([name, { delivered }]) => [name, delivered]),
          ),
        }
        for (const [place, size] of Object.entries(look))
          grown[place] = (grown[place] ?? 0) + (size > (looks.at(-1)?.[place] ?? 0) ? 1 : 0)
        looks.push(look)
      }
      const atEnd = run.stats()
      process.stdout.write(JSON.stringify({ looks, steps: step, atEnd, stats: await run.finish() }))
    },
    [server.uri, String(LOOKS)],
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
  for (const place of PLACES) {
    const grown = looks.filter((look, i) => look[place]! > (looks[i - 1]?.[place] ?? 0))
    assert.ok(grown.length >= LOOKS, `${place} grew between ${grown.length} looks`)
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
