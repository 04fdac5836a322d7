/** However a process ends, and whatever happens to its threads: what was parked is kept or counted as lost. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { type Stats, startLogging } from '../../../src/index.ts'
import { onlyRun, readJournal, valuesOf } from '../journaled.ts'
import { codesOf, runProgram, startProgram, temporaryFolder } from '../program.ts'
import { bytesOf, contentsOf, recordsOf, unaccounted, unfinishedIn } from './kept.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30

/** A run whose issues are kept as lines. */
function startTelling(folder: string) {
  const told: string[] = []
  const run = startLogging({
    backend: 'local',
    dir: join(folder, 'runs'),
    onIssue: ({ code, message }) => told.push(`${code}: ${message}`),
  })
  return { run, told }
}

/** A file that takes long to copy and nothing to make. */
function large(folder: string, bytes: number, name = 'large.bin'): string {
  const path = join(folder, name)
  writeFileSync(path, '')
  truncateSync(path, bytes)
  return path
}

/** Every blob is what its name says. */
function assertWhole(runFolder: string): void {
  const entries = readdirSync(join(runFolder, 'blobs'), { recursive: true, withFileTypes: true })
  for (const entry of entries) {
    if (!entry.isFile() || entry.name.startsWith('tmp-')) continue
    const bytes = readFileSync(join(entry.parentPath, entry.name))
    assert.equal(createHash('sha256').update(bytes).digest('hex'), entry.name)
  }
}

/** What was said beside the backends' own backlog, which `process.exit` leaves. */
function said(stderr: string): string {
  return stderr
    .split('\n')
    .filter((line) => !line.includes(': pending: '))
    .join('\n')
}

function kinds(runFolder: string): string[] {
  return readJournal(runFolder).records.map(({ kind }) => kind)
}

test('process.exit right after the first image: it is kept, the state comes last', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    const run = startLogging()
    run.log({ loss: 1 })
    run.logImage('i', { data: new Uint8Array(300), shape: [10, 10, 3] })
    process.exit(3)
  })
  assert.deepEqual([ended.code, ended.stdout, said(ended.stderr)], [3, '', ''])
  const run = onlyRun(folder)
  assert.deepEqual(kinds(run), ['state', 'images', 'state'])
  assert.equal(bytesOf(run, recordsOf(run, 'images')[0]!.images[0]!.image).length > 0, true)
})

test('the natural end waits for an artifact that nobody awaits', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }, { folder }) => {
    const { writeFileSync } = await import('node:fs')
    writeFileSync(`${folder}/file`, Buffer.alloc(20 * 2 ** 20, 'x'))
    void startLogging().logArtifact(`${folder}/file`)
  })
  assert.deepEqual([ended.code, ended.stdout, ended.stderr], [0, '', ''])
  const run = onlyRun(folder)
  assert.deepEqual(kinds(run), ['state', 'artifact', 'state'])
  assert.equal(contentsOf(run, recordsOf(run, 'artifact')[0]!.files).file!.length, 20 * MIB)
})

test('awaiting an artifact alone at the top level ends with code 0, not as an unsettled await', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }, { folder }) => {
    const { writeFileSync } = await import('node:fs')
    writeFileSync(`${folder}/file`, Buffer.alloc(20 * 2 ** 20, 'x'))
    const run = startLogging()
    const [one, two] = await Promise.all([
      run.logArtifact(`${folder}/file`),
      run.logArtifact(`${folder}/file`),
    ])
    if (one.status !== 'taken' || two.status !== 'taken') process.exit(20)
    // a natural end would have finished it
    if (run.isFinished) process.exit(22)
    if ((await run.logArtifact(`${folder}/file`)).status !== 'taken') process.exit(21)
  })
  assert.deepEqual([ended.code, ended.stdout, ended.stderr], [0, '', ''])
  assert.equal(recordsOf(onlyRun(folder), 'artifact').length, 3)
})

test('process.exit in the middle of a long copy: bounded, and the loss is said', async (context) => {
  const folder = temporaryFolder(context)
  const path = large(folder, 64 * GIB)
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const run = startLogging()
      void run.logArtifact(args[0]!)
      run.logText('t', 'x'.repeat(100_000))
      await run.flush({ timeoutMs: 200 })
      process.exit(0)
    },
    [path],
  )
  assert.equal(ended.code, 0)
  assert.ok(ended.ms < 20_000, `${ended.ms} ms`)
  assert.deepEqual(codesOf(said(ended.stderr)), { ERR_DEADLINE: 1 }, ended.stderr)
  assert.match(ended.stderr, /artifact 'large.bin' is lost/)
  const run = onlyRun(folder)
  assert.deepEqual(kinds(run), ['state', 'text', 'state'])
  assert.deepEqual(unfinishedIn(run), [])
})

test('the state is the last record of every run that ends with an image under way', async (context) => {
  const folder = temporaryFolder(context)
  for (let round = 0; round < 30; round++) {
    const run = startLogging({ backend: 'local', dir: folder })
    for (let i = 0; i < 5; i++) run.logImage('i', { data: new Uint8Array(12), shape: [2, 2, 3] })
    await run.finish()
    assert.deepEqual(kinds(run.info.folder), ['state', ...new Array(5).fill('images'), 'state'])
  }
})

test('finish() with a deadline gives a long copy up: snapshot, sums and message agree', async (context) => {
  const folder = temporaryFolder(context)
  const { run, told } = startTelling(folder)
  const snapshot = run.logArtifact(large(folder, 64 * GIB))
  run.logImage('i', { data: new Uint8Array(12), shape: [2, 2, 3] })
  const since = performance.now()
  const stats = await run.finish('finished', { deadlineMs: 0 })
  assert.ok(performance.now() - since < 4000)
  assert.deepEqual(stats.records, { accepted: 4, parked: 0, journaled: 3, lost: 1 })
  assert.equal(unaccounted(stats), 0)
  assert.deepEqual(await snapshot, {
    status: 'failed',
    code: 'ERR_DEADLINE',
    reason: 'the run ended before it was copied',
  })
  assert.deepEqual(told, ["ERR_DEADLINE: artifact 'large.bin' is lost: the run ended before it was copied"])
  assert.deepEqual(kinds(run.info.folder), ['state', 'images', 'state'])
})

test('a kill in the middle of a copy leaves no half blob; the next start clears up and goes on', async (context) => {
  const folder = temporaryFolder(context)
  const path = large(folder, 64 * GIB)
  const program = startProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const run = startLogging({ runId: 'r' })
      for (let i = 0; i < 20; i++)
        run.logImage('i', { data: new Uint8Array(3000).fill(i), shape: [10, 100, 3] })
      void run.logArtifact(args[0]!)
      const { readdirSync } = await import('node:fs')
      const isCopying = () => readdirSync(`${run.info.folder}/blobs`).some((name) => name.startsWith('tmp-'))
      // the images and the state stand in the journal, the copy has begun
      while (run.stats().records.journaled < 21 || !isCopying())
        await new Promise((resolve) => setTimeout(resolve, 10))
      process.stderr.write('copying\n')
      setInterval(() => undefined, 1000)
    },
    [path],
  )
  await program.said('copying')
  program.child.kill('SIGKILL')
  await program.ended
  const run = join(folder, 'default', 'r')
  assert.equal(unfinishedIn(run).length, 1)
  assertWhole(run)
  const images = recordsOf(run, 'images')
  assert.equal(images.length, 20)
  for (const {
    images: [image],
  } of images)
    bytesOf(run, image!.image)
  const again = await runProgram(folder, async ({ startLogging }) => {
    const run = startLogging({ runId: 'r' })
    run.logImage('i', { data: new Uint8Array(3), shape: [1, 1, 3] })
    await run.finish()
  })
  assert.deepEqual([again.code, again.stderr], [0, ''])
  assert.deepEqual(unfinishedIn(run), [])
  assert.equal(recordsOf(run, 'images').length, 21)
})

test('while main is in a synchronous loop, images and files reach the journal', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }, { folder }) => {
    const { writeFileSync } = await import('node:fs')
    writeFileSync(`${folder}/file`, Buffer.alloc(5 * 2 ** 20, 'x'))
    const run = startLogging()
    void run.logArtifact(`${folder}/file`)
    const journaled: number[] = []
    const since = performance.now()
    for (let step = 0, next = 500; performance.now() - since < 2000; step++) {
      run.logImage('i', { data: new Uint8Array(3000).fill(step), shape: [10, 100, 3] }, { step })
      const until = performance.now() + 5
      while (performance.now() < until);
      if (performance.now() - since < next) continue
      next += 500
      journaled.push(run.stats().records.journaled)
    }
    run.logArtifact(`${folder}/gone`)
    process.stdout.write(JSON.stringify({ journaled, stats: run.stats() }))
    process.exit(0)
  })
  assert.equal(ended.code, 0)
  assert.deepEqual(codesOf(said(ended.stderr)), { ERR_ARTIFACT: 1 })
  const { journaled } = JSON.parse(ended.stdout) as { journaled: number[] }
  context.diagnostic(`journaled: ${journaled.join(' ')}`)
  assert.ok(journaled.length >= 3)
  for (const [i, count] of journaled.entries())
    if (i > 0) assert.ok(count > journaled[i - 1]!, `${journaled}`)
  const run = onlyRun(folder)
  const steps = recordsOf(run, 'images').map(({ step }) => step)
  assert.deepEqual(steps, [...steps.keys()], 'in order, none missing')
  assert.equal(recordsOf(run, 'artifact').length, 1)
})

test('what the parking thread has to say is said although main is busy', async (context) => {
  const folder = temporaryFolder(context)
  const program = startProgram(folder, async ({ startLogging }, { folder }) => {
    const { writeFileSync, rmSync } = await import('node:fs')
    writeFileSync(`${folder}/file`, Buffer.alloc(5 * 2 ** 20, 'x'))
    const run = startLogging()
    void run.logArtifact(`${folder}/file`)
    rmSync(`${folder}/file`)
    process.stdout.write('busy\n')
    for (;;);
  })
  await program.said("ERR_ARTIFACT: artifact 'file' is lost")
  program.child.kill('SIGKILL')
  const { stderr } = await program.ended
  assert.deepEqual(codesOf(stderr), { ERR_ARTIFACT: 1 })
})

test('an attached thread logs images; they are kept when it ends and when it flushes', async (context) => {
  const folder = temporaryFolder(context)
  const run = startLogging({ backend: 'local', dir: folder })
  const code = `
    const { workerData } = require('node:worker_threads')
    import(${JSON.stringify(new URL('../../../src/index.js', import.meta.url).href)}).then(async ({ attachRun }) => {
      const run = attachRun(workerData.handle)
      run.logImage('first', { data: new Uint8Array(12).fill(workerData.number), shape: [2, 2, 3] })
      if (workerData.number === 0 && !(await run.flush())) throw new Error('not flushed')
      run.logText('second', 'long '.repeat(50000))
      if (workerData.number === 1) process.exit(0)
    })`
  await Promise.all(
    [0, 1, 2].map(
      (number) =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(code, { eval: true, workerData: { handle: run.handle(), number } })
          worker.on('error', reject)
          worker.on('exit', () => resolve())
        }),
    ),
  )
  const stats = await run.finish()
  assert.equal(unaccounted(stats), 0)
  assert.deepEqual(stats.records, { accepted: 8, parked: 0, journaled: 8, lost: 0 })
  const found = kinds(run.info.folder)
  assert.deepEqual([found[0], found.at(-1)], ['state', 'state'])
  for (const { images } of recordsOf(run.info.folder, 'images')) bytesOf(run.info.folder, images[0]!.image)
})

test('a thread that is terminated amid a copy: its loss is counted when the run ends', async (context) => {
  const folder = temporaryFolder(context)
  const { run, told } = startTelling(folder)
  const code = `
    const { workerData, parentPort } = require('node:worker_threads')
    import(${JSON.stringify(new URL('../../../src/index.js', import.meta.url).href)}).then(async ({ attachRun }) => {
      const run = attachRun(workerData.handle)
      void run.logArtifact(workerData.path)
      run.logText('t', 'long '.repeat(50000))
      parentPort.postMessage('copying')
      setInterval(() => undefined, 1000)
    })`
  const workerData = { handle: run.handle(), path: large(folder, 64 * GIB) }
  const worker = new Worker(code, { eval: true, workerData })
  await new Promise((resolve) => worker.once('message', resolve))
  // the text and the state stand in the journal, the copy has begun
  while (run.stats().records.journaled < 2 || unfinishedIn(run.info.folder).length === 0)
    await new Promise((resolve) => setTimeout(resolve, 10))
  await worker.terminate()
  const stats = await run.finish('finished', { deadlineMs: 500 })
  assert.deepEqual(stats.records, { accepted: 4, parked: 0, journaled: 3, lost: 1 })
  assert.equal(told.length, 1)
  assert.match(told[0]!, /^ERR_DEADLINE: .* 1 images, tables, texts or artifacts were not kept in time/)
  assert.deepEqual(kinds(run.info.folder), ['state', 'text', 'state'])
})

test('a drain thread that dies amid images loses none and doubles none', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const workers: Worker[] = []
    process.on('worker', (worker) => workers.push(worker))
    const run = startLogging()
    for (let i = 0; i < 200; i++) {
      run.logImage('i', { data: new Uint8Array(300).fill(i), shape: [10, 10, 3] }, { step: i })
      run.log({ loss: i }, { step: i })
      if (i === 100) {
        await run.flush()
        await workers[0]!.terminate()
      }
    }
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const stats = JSON.parse(ended.stdout) as Stats
  assert.deepEqual(codesOf(ended.stderr), { ERR_DRAIN_RESTARTED: 1 }, ended.stderr)
  assert.equal(stats.records.lost, 0)
  const run = onlyRun(folder)
  const steps = recordsOf(run, 'images').map(({ step }) => step)
  assert.deepEqual(steps, [...new Array(200).keys()])
  assert.equal(valuesOf(readJournal(run), 'loss').length, 200)
})

test("a run's end does not wait for the copy of another run", async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const onIssue = () => undefined
      const long = startLogging({ runId: 'long', onIssue })
      const copy = long.logArtifact(args[0]!)
      const short = startLogging({ runId: 'short', onIssue })
      const snapshots = [short.logArtifact(args[1]!), short.logArtifact(args[1]!, { name: 'again' })]
      const since = performance.now()
      const first = await short.finish()
      const ms = performance.now() - since
      const second = await long.finish('finished', { deadlineMs: 0 })
      const results = await Promise.all([...snapshots, copy])
      process.stdout.write(
        JSON.stringify({ ms, first, second, results: results.map(({ status }) => status) }),
      )
    },
    [large(folder, 64 * GIB), large(folder, 3 * 2 ** 20, 'small.bin')],
  )
  const { ms, first, second, results } = JSON.parse(ended.stdout)
  assert.deepEqual(results, ['taken', 'taken', 'failed'])
  assert.deepEqual(first.records, { accepted: 4, parked: 0, journaled: 4, lost: 0 })
  assert.deepEqual(second.records, { accepted: 3, parked: 0, journaled: 2, lost: 1 })
  assert.ok(ms < 10_000, `${ms} ms`)
})

test('images without end do not keep an artifact from being copied', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }, { folder }) => {
    const { writeFileSync } = await import('node:fs')
    writeFileSync(`${folder}/file`, Buffer.alloc(20 * 2 ** 20, 'x'))
    const run = startLogging()
    const data = new Uint8Array(30_000)
    const log = () => run.logImage('i', { data, shape: [100, 100, 3] })
    for (let i = 0; i < 1000; i++) log()
    const snapshot = run.logArtifact(`${folder}/file`)
    let isTaken = false
    void snapshot.then(() => {
      isTaken = true
    })
    // always more waiting than is done
    const until = performance.now() + 15_000
    while (!isTaken && performance.now() < until) {
      while (run.stats().records.parked < 1000) log()
      await new Promise((resolve) => setImmediate(resolve))
    }
    const { parked } = run.stats().records
    process.stdout.write(JSON.stringify({ isTaken, parked }))
    await run.finish()
  })
  const { isTaken, parked } = JSON.parse(ended.stdout)
  assert.ok(isTaken, ended.stderr)
  assert.ok(parked > 100, `${parked} images were waiting`)
})

test('media for a finished run is refused, counted and said', async (context) => {
  const told: string[] = []
  const run = startLogging({
    backend: 'local',
    dir: temporaryFolder(context),
    onIssue: ({ code }) => told.push(code),
  })
  await run.finish()
  run.logImage('i', { data: new Uint8Array(12), shape: [2, 2, 3] })
  const { status } = await run.logArtifact(import.meta.filename)
  assert.equal(status, 'failed')
  assert.deepEqual(told, ['ERR_RUN_FINISHED', 'ERR_RUN_FINISHED'])
  assert.deepEqual(run.stats().records, { accepted: 4, parked: 0, journaled: 2, lost: 2 })
})

test('a parking thread that dies costs what it had, counted and said; the next call makes another', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(
    folder,
    async ({ startLogging }, { args }) => {
      const workers: Worker[] = []
      process.on('worker', (worker) => workers.push(worker))
      const run = startLogging()
      run.logImage('i', { data: new Uint8Array(12), shape: [2, 2, 3] })
      await run.flush()
      const snapshot = run.logArtifact(args[0]!)
      run.logText('t', 'x'.repeat(100_000))
      await run.flush({ timeoutMs: 200 })
      await workers.at(-1)!.terminate()
      const result = await snapshot
      run.logImage('i', { data: new Uint8Array(12), shape: [2, 2, 3] })
      process.stdout.write(JSON.stringify({ result, stats: await run.finish() }))
    },
    [large(folder, 64 * GIB)],
  )
  const { result, stats } = JSON.parse(ended.stdout)
  assert.deepEqual([result.status, result.code], ['failed', 'ERR_JOURNAL_WRITE'])
  assert.match(ended.stderr, /^tracelet: ERR_JOURNAL_WRITE: .* 1 records are lost: artifact 'large.bin'\n$/)
  assert.deepEqual(stats.records, { accepted: 6, parked: 0, journaled: 5, lost: 1 })
  assert.deepEqual(kinds(onlyRun(folder)), ['state', 'images', 'text', 'images', 'state'])
})

for (const overflow of ['drop', 'block'] as const) {
  test(`more than 256 MiB parked: ${overflow === 'drop' ? 'lost at once' : 'the call waits'}`, async (context) => {
    const folder = temporaryFolder(context)
    const ended = await runProgram(
      folder,
      async ({ startLogging }, { args }) => {
        const told: string[] = []
        const onIssue = ({ code }: { code: string }) => told.push(code)
        const run = startLogging({ overflow: args[0] as 'drop', blockMaxMs: 20_000, onIssue })
        const data = new Uint8Array(80 * 2 ** 20)
        let mostMs = 0
        for (let i = 0; i < 5; i++) {
          const since = performance.now()
          run.logImage('i', { data, shape: [2048, 10 * 1024, 4] })
          mostMs = Math.max(mostMs, performance.now() - since)
        }
        process.stdout.write(JSON.stringify({ told, mostMs, stats: await run.finish() }))
      },
      [overflow],
    )
    const { told, mostMs, stats } = JSON.parse(ended.stdout) as Overflown
    context.diagnostic(`longest call ${Math.round(mostMs)} ms, ${stats.records.lost} of 5 lost`)
    assert.equal(unaccounted(stats), 0)
    if (overflow === 'drop') assert.ok(stats.records.lost > 0, 'the burst did overflow')
    else assert.equal(stats.records.lost, 0)
    assert.deepEqual(told, new Array(stats.records.lost).fill('ERR_LANE_FULL'))
    assert.equal(recordsOf(onlyRun(folder), 'images').length, 5 - stats.records.lost)
  })
}

test('who has waited for room in vain does not wait again', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const onIssue = () => undefined
    const run = startLogging({ blockMaxMs: 100, onIssue })
    const data = new Uint8Array(120 * 2 ** 20)
    const since = performance.now()
    // the first is being encoded for seconds, the second waits, no other has room
    for (let i = 0; i < 2; i++) run.logImage('i', { data, shape: [3 * 1024, 10 * 1024, 4] })
    const filledMs = performance.now() - since
    const less = new Uint8Array(20 * 2 ** 20)
    for (let i = 0; i < 20; i++) run.logImage('i', { data: less, shape: [512, 10 * 1024, 4] })
    const refusedMs = performance.now() - since - filledMs
    process.stdout.write(JSON.stringify({ refusedMs, stats: run.stats() }))
    process.kill(process.pid, 'SIGKILL')
  })
  const { refusedMs, stats } = JSON.parse(ended.stdout) as { refusedMs: number; stats: Stats }
  context.diagnostic(`${stats.records.lost} of 20 refused in ${Math.round(refusedMs)} ms`)
  assert.ok(stats.records.lost > 15)
  assert.ok(refusedMs < 100 * stats.records.lost, `${refusedMs} ms`)
})

interface Overflown {
  readonly told: string[]
  readonly mostMs: number
  readonly stats: Stats
}

test('a full disk costs the artifact, loudly; what fits is kept', {
  skip: process.platform === 'win32',
}, async (context) => {
  const folder = temporaryFolder(context)
  const { spawn } = await import('node:child_process')
  const index = new URL('../../../src/index.js', import.meta.url).href
  writeFileSync(join(folder, 'large'), Buffer.alloc(8 * MIB, 1))
  writeFileSync(
    join(folder, 'program.mjs'),
    `import { startLogging } from ${JSON.stringify(index)}
    // without a listener the signal ends the process before the write can say EFBIG
    process.on('SIGXFSZ', () => {})
    const run = startLogging({ backend: 'local', dir: ${JSON.stringify(folder)} })
    const snapshot = await run.logArtifact(${JSON.stringify(join(folder, 'large'))})
    run.logText('t', 'x'.repeat(100_000))
    for (let i = 0; i < 100; i++) run.log({ loss: i }, { step: i })
    process.stdout.write(JSON.stringify({ snapshot, stats: await run.finish() }))`,
  )
  const child = spawn('bash', ['-c', `ulimit -f 2048; exec "$0" program.mjs`, process.execPath], {
    cwd: folder,
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text) => (stdout += text))
  child.stderr.on('data', (text) => (stderr += text))
  await new Promise((resolve) => child.on('close', resolve))
  const { snapshot, stats } = JSON.parse(stdout)
  assert.equal(snapshot.status, 'failed')
  assert.equal(snapshot.code, 'ERR_JOURNAL_WRITE')
  assert.match(snapshot.reason, /EFBIG/)
  assert.deepEqual(stats.records, { accepted: 4, parked: 0, journaled: 3, lost: 1 })
  assert.match(stderr, /artifact 'large' is lost: the run's folder cannot take it: EFBIG/)
  const run = onlyRun(folder)
  assert.equal(valuesOf(readJournal(run), 'loss').length, 100)
  assert.deepEqual(unfinishedIn(run), [])
  assertWhole(run)
})
