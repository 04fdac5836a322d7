import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { after, type TestContext, test } from 'node:test'
import { width } from '../../../src/cli/text.ts'
import { startLogging } from '../../../src/index.ts'
import { FakeMlflow } from '../../sinks/mlflow/fake-server.ts'
import { readEvents } from '../../sinks/tensorboard/read-events.ts'
import { tracelet } from '../run-cli.ts'
import { CTRL_C, ESC, inTerminal } from '../terminal.ts'

const root = mkdtempSync(join(tmpdir(), 'tracelet-sync-'))
after(() => rmSync(root, { recursive: true, force: true }))

test('what a blocked backend did not take is sent by sync, once, when the obstacle is gone', async () => {
  const obstacle = join(root, 'obstacle')
  writeFileSync(obstacle, '')
  const logDir = join(obstacle, 'logs')
  const run = startLogging({ dir: root, runId: 'left', backend: { local: {}, tensorboard: { logDir } } })
  for (let step = 0; step < 500; step++) run.log({ loss: step / 4 }, { step })
  const stats = await run.finish('finished', { deadlineMs: 300 })
  assert.equal(stats.destinations.tensorboard!.pending, 500)

  const blocked = await tracelet(root, 'sync', 'left', '--deadline', '1')
  assert.equal(blocked.code, 1)
  assert.match(blocked.stdout, /tensorboard +500 +0 .* 500 +✓/)
  assert.match(blocked.stdout, /tensorboard has not got everything: .*ENOTDIR/)

  rmSync(obstacle)
  const sent = await tracelet(root, 'sync', run.info.folder)
  assert.equal(sent.code, 0, sent.stdout + sent.stderr)
  assert.match(sent.stdout, /tensorboard +500 +500 +0 .* 0 +✓/)
  assert.match(sent.stdout, /^502 new: everything is delivered$/m)
  const again = await tracelet(root, 'sync', run.info.folder)
  assert.equal(again.code, 0)
  assert.match(again.stdout, /tensorboard +500 +0 +500 .* 0 +✓/)
  assert.match(again.stdout, /^0 new: everything is delivered$/m)
  const values = readEvents(join(logDir, 'left')).filter(({ value }) => value !== undefined)
  assert.deepEqual(
    values.map(({ value }) => value),
    Array.from({ length: 500 }, (_, step) => step / 4),
  )
})

test('--all goes through every run, --destination leaves the others alone', async () => {
  const all = await tracelet(root, 'sync', '--all', '--destination', 'local')
  assert.equal(all.code, 0, all.stderr)
  assert.match(all.stdout, /^run left$/m)
  assert.doesNotMatch(all.stdout, /tensorboard/)
  const empty = await tracelet(join(root, 'nothing'), 'sync', '--all')
  assert.equal(empty.code, 0)
  assert.match(empty.stdout, /^no runs under \//)
})

test('a run or a destination that is not there is an error with a suggestion', async () => {
  const run = await tracelet(root, 'sync', 'lefd')
  assert.equal(run.code, 1)
  assert.match(run.stderr, /ERR_RUN_UNKNOWN.*did you mean 'left'\?/)
  const destination = await tracelet(root, 'sync', 'left', '--destination', 'lokal')
  assert.equal(destination.code, 1)
  assert.match(destination.stderr, /ERR_OPTION.*did you mean 'local'\?/)
})

test('runs and --all exclude each other, and one of them is needed', async () => {
  for (const args of [['sync'], ['sync', 'left', '--all']]) {
    const { code, stderr } = await tracelet(root, ...args)
    assert.equal(code, 2)
    assert.match(stderr, /name runs .* or --all/)
  }
})

test('--json is one document, whatever happens to one of the runs', async () => {
  const broken = join(root, 'default', 'broken')
  mkdirSync(broken)
  writeFileSync(join(broken, 'run.json'), '{}')
  const { code, stdout, stderr } = await tracelet(root, 'sync', '--all', '--json')
  rmSync(broken, { recursive: true })
  assert.equal(code, 1)
  assert.match(stderr, /broken: ERR_JOURNAL_FORMAT/)
  const { complete, runs } = JSON.parse(stdout)
  assert.equal(complete, false)
  assert.deepEqual(
    runs.map((run: { run?: string; error?: { code: string } }) => run.run ?? run.error?.code),
    ['ERR_JOURNAL_FORMAT', 'left'],
  )
  assert.equal(runs[1].destinations.tensorboard.delivered, 500)
})

test('what is being done fits a narrow terminal and goes when it is done', async (context) => {
  const shown = await inTerminal(context, root, ['sync', 'left'], { columns: 30 })
  if (shown === undefined) return
  assert.equal(shown.code, 0, shown.screen)
  const [first] = shown.screen.split('\r')[1]!.split('\n')
  assert.match(first!, /delivering /)
  assert.ok(width(first!.replace(`${ESC}[K`, '')) < 30, first)
})

test('a terminal shows how much has been sent, how fast and what is left; a pipe shows none of it', async (context) => {
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const away = await FakeMlflow.start()
  const uri = away.uri
  await away.stop()
  const run = startLogging({ dir: root, runId: 'slow', backend: { mlflow: { uri } } })
  for (let step = 0; step < 20_000; step++) run.log({ loss: step, acc: step }, { step })
  await run.finish('finished', { deadlineMs: 0 })
  await slowServer(context, fake.uri, Number(new URL(uri).port))
  const shown = await inTerminal(context, root, ['sync', 'slow'], { columns: 110 })
  if (shown !== undefined) {
    assert.equal(shown.code, 0, shown.screen)
    assert.match(
      shown.screen,
      /delivering ━*─+ +\d+ % {2}[\d,]+\/40,\d+ items {2}[\d,]+ items\/s {2}[\d.]+ s left/,
    )
    assert.match(shown.lines.join('\n'), /^ {2}mlflow +40,000 +40,000 .* ✓$/m)
    assert.doesNotMatch(shown.lines.join('\n'), /━|items\/s/, 'the bar is gone at the end')
  }
  const piped = await tracelet(root, 'sync', 'slow')
  assert.equal(piped.code, 0)
  assert.doesNotMatch(piped.stdout + piped.stderr, /━|items\/s/)
})

test('the bytes of files are shown while they go out', async (context) => {
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const away = await FakeMlflow.start()
  const { uri } = away
  await away.stop()
  const run = startLogging({ dir: root, runId: 'heavy', backend: { mlflow: { uri } } })
  const file = join(root, 'weights.bin')
  writeFileSync(file, Buffer.alloc(FILE_BYTES, 7))
  assert.equal((await run.logArtifact(file)).status, 'taken')
  await run.finish('finished', { deadlineMs: 0 })
  await slowServer(context, fake.uri, Number(new URL(uri).port))
  const shown = await inTerminal(context, root, ['sync', 'heavy'], { columns: 120 })
  if (shown === undefined) return
  assert.equal(shown.code, 0, shown.screen)
  assert.match(
    shown.screen,
    /uploading ━*─+ +\d+ % {2}[\d.]+ [KM]iB\/6\.0 MiB {2}[\d.]+ [KM]iB\/s {2}[\d.]+ s left {2}0\/1 files/,
  )
  assert.match(shown.lines.join('\n'), /^ records\n.*\n {2}mlflow +3 +3 +0 +0 +0 +0 +0 {2}✓$/m)
})

test('Ctrl-C ends it, and the next one sends the rest', async (context) => {
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const { uri } = fake
  await fake.stop()
  const run = startLogging({ dir: root, runId: 'cut', backend: { mlflow: { uri } } })
  for (let step = 0; step < 100; step++) run.log({ loss: step }, { step })
  await run.finish('finished', { deadlineMs: 0 })
  const shown = await inTerminal(context, root, ['sync', 'cut'], { steps: [['items', CTRL_C]] })
  await fake.listen()
  const { code, stdout } = await tracelet(root, 'sync', 'cut')
  assert.equal(code, 0, stdout)
  assert.match(stdout, /mlflow +100 +100 /)
  if (shown !== undefined) assert.deepEqual([shown.code, shown.signal], [130, null])
})

const FILE_BYTES = 6 * 1024 ** 2
/** Of each request, and of each piece of what it brings. */
const SLOWNESS_MS = { request: 30, piece: 8 }

/** Stands before a server on a port of its own and takes its time, so that there is something to be seen. */
async function slowServer(context: TestContext, uri: string, port: number): Promise<void> {
  const proxy = createServer((request, response) => {
    const slow = new Transform({
      transform: (piece, _, done) => setTimeout(() => done(null, piece), SLOWNESS_MS.piece),
    })
    const forward = () => {
      const on = httpRequest(uri + request.url!, { method: request.method, headers: request.headers })
      on.on('response', (answer) => {
        response.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(response)
      })
      request.pipe(slow).pipe(on)
    }
    setTimeout(forward, SLOWNESS_MS.request)
  })
  proxy.listen(port, '127.0.0.1')
  await once(proxy, 'listening')
  context.after(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
}
