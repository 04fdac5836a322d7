/** A delivery thread dies of what a sink does: another takes over within the process, and nothing is lost or doubled. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Stats } from '../../src/core/types.ts'
import { fakeModule } from '../pipeline/delivery/run-folder.ts'
import { IdentityServer } from '../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { codesOf, runProgram, temporaryFolder } from './program.ts'

/** The identity fake, which ends its thread in its first `deaths` writes, before the write or after it. */
function deadlyModule(folder: string, deaths: number, how: string): { module: string; died: () => number } {
  const count = join(folder, 'deaths')
  const module = join(folder, 'deadly-sink.mjs')
  writeFileSync(
    module,
    `import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import fake from ${JSON.stringify(fakeModule('identity'))}
const dead = () => (existsSync(${JSON.stringify(count)}) ? readFileSync(${JSON.stringify(count)}).length : 0)
let writes = 0
let isDying = false
// once a thread, though several writes may be under way
function die() {
  if (isDying) return
  isDying = true
  appendFileSync(${JSON.stringify(count)}, 'x')
  ${how}
}
export default {
  ...fake,
  kind: 'deadly',
  create(context) {
    const sink = fake.create(context)
    const write = sink.write.bind(sink)
    sink.write = async (batch, signal) => {
      if (dead() >= ${deaths}) return write(batch, signal)
      writes++
      // by turns before and after the server has it
      if (writes > 1 && dead() % 2 === 0) die()
      const answer = await write(batch, signal)
      if (writes > 1) {
        die()
        await new Promise(() => {})
      }
      return answer
    }
    return sink
  },
}
`,
  )
  return { module, died: () => (existsSync(count) ? readFileSync(count).length : 0) }
}

const UNCAUGHT = `setImmediate(() => { throw new Error('a defect of this sink') })`

async function servers(context: TestContext) {
  const identity = await IdentityServer.start()
  const offset = await OffsetServer.start()
  context.after(() => Promise.all([identity.stop(), offset.stop()]))
  return { identity, offset }
}

/** Logs for a second or so beside a sibling, then finishes. */
async function train(
  context: TestContext,
  folder: string,
  module: string,
  urls: { identity: string; offset: string },
  deadlineMs: number,
): Promise<{ readonly stats: Stats; readonly finishMs: number; readonly stderr: string }> {
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const [module, identityUrl, offsetModule, offsetUrl, deadlineMs] = args as readonly [
        string,
        string,
        string,
        string,
        string,
      ]
      const run = startLogging({
        runId: 'r',
        backend: {
          deadly: { module, url: identityUrl },
          offset: { module: offsetModule, url: offsetUrl },
        },
      })
      for (let step = 0; step < 6000; step++) {
        run.log({ loss: step / 3, acc: -step }, { step })
        if (step % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 10))
      }
      const begin = performance.now()
      const stats = await run.finish('finished', { deadlineMs: Number(deadlineMs) })
      console.log(JSON.stringify({ stats, finishMs: performance.now() - begin }))
    },
    [module, urls.identity, fakeModule('offset'), urls.offset, String(deadlineMs)],
  )
  assert.equal(ended.code, 0, ended.stderr)
  context.diagnostic(ended.stderr.trim())
  return { ...JSON.parse(ended.stdout), stderr: ended.stderr }
}

for (const [what, how] of [
  ['an uncaught error', UNCAUGHT],
  ['process.exit()', 'process.exit(3)'],
] as const) {
  test(`a thread that dies of ${what} is replaced: everything arrives once, within the process`, async (context) => {
    const folder = temporaryFolder(context)
    const { identity, offset } = await servers(context)
    const { module, died } = deadlyModule(folder, 3, how)
    const urls = { identity: identity.url, offset: offset.url }
    const { stats, stderr } = await train(context, folder, module, urls, 30_000)
    assert.equal(died(), 3)
    for (const name of ['deadly', 'offset']) {
      const { delivered, pending, records, state } = stats.destinations[name]!
      assert.deepEqual(
        [name, delivered, pending, records.delivered, records.pending, state],
        [name, 12_000, 0, 2, 0, 'closed'],
      )
    }
    assert.equal(identity.runs.get('r')!.points.size, 12_000)
    const steps = offset.points('r').map(({ key, step }) => `${key} ${step}`)
    assert.deepEqual([steps.length, new Set(steps).size], [12_000, 12_000])
    assert.deepEqual([offset.gaps, offset.conflicts, identity.runs.get('r')!.outcome], [0, 0, 'finished'])
    assert.equal(codesOf(stderr).ERR_DELIVERY_RESTARTED, 1, `told, once a minute: ${stderr}`)
  })
}

test('a thread that dies again and again is given up: finish() does not wait, and says what is pending', async (context) => {
  const folder = temporaryFolder(context)
  const { identity, offset } = await servers(context)
  const { module, died } = deadlyModule(folder, 1_000, UNCAUGHT)
  const urls = { identity: identity.url, offset: offset.url }
  const { stats, finishMs, stderr } = await train(context, folder, module, urls, 120_000)
  assert.ok(died() <= 8, `${died()} deaths`)
  assert.ok(finishMs < 60_000, `${finishMs} ms`)
  const { delivered, pending, reason } = stats.destinations.deadly!
  assert.equal(delivered + pending, 12_000)
  assert.ok(pending > 0)
  assert.match(reason, /a defect of this sink/)
  assert.match(stderr, /this process delivers nothing more/)
  assert.match(stderr, /points .*for deadly .*npx tracelet sync/)
})

test('a sink that never comes back from a call is told of, and finish() is in time beside it', {
  skip: process.env.TRACELET_TEST_LONG !== '1',
}, async (context) => {
  const folder = temporaryFolder(context)
  const module = join(folder, 'endless-sink.mjs')
  writeFileSync(
    module,
    `import fake from ${JSON.stringify(fakeModule('identity'))}
const settled = async () => ({ status: 'accepted' })
export default {
  ...fake,
  kind: 'endless',
  create: () => ({
    open: async () => ({ status: 'ready' }),
    write: () => { for (;;); },
    writeRecord: settled,
    upload: settled,
    close: async () => {},
  }),
}
`,
  )
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args: [module] }) => {
      const run = startLogging({ backend: { endless: { module, url: 'http://x' } } as never })
      for (let step = 0; step < 10; step++) run.log({ loss: step }, { step })
      await new Promise((resolve) => setTimeout(resolve, 43_000))
      const from = performance.now()
      await run.finish('finished', { deadlineMs: 500 })
      console.log(performance.now() - from)
    },
    [module],
  )
  assert.ok(Number(ended.stdout) < 3_000, ended.stdout)
  const [still, pending] = ended.stderr.trim().split('\n')
  assert.match(still!, /stood still for 30 s.* nothing is sent to endless; the journal keeps everything/)
  assert.match(pending!, /10 points and \d records for endless .*npx tracelet sync/)
})
