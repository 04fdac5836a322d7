/** `tracelet pipe` as users run it: what other programs print becomes the run that the API would have made. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type History, openRun, type StoredAlert, type StoredRun, startLogging } from '../../../src/index.ts'
import { RUN_OPTIONS } from '../../../src/run/options.ts'
import { barePython } from '../../peers/python.ts'
import { temporaryFolder } from '../../run/program.ts'
import { cliEnvironment, tracelet } from '../run-cli.ts'
import { CTRL_C, inTerminal } from '../terminal.ts'
import { pipeLines, startPipe, theRun } from './piped.ts'

const run = promisify(execFile)
const CTRL_D = '\x04'

const PYTHON = `
import json, math
say = lambda **line: print(json.dumps(line))
say(type="params", params={"lr": 1e-3, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}})
say(type="tags", tags={"team": "a"})
say(type="notes", notes="# ü")
say(type="metric", name="loss", summary=["min"], goal="minimize")
values = [0.1, 1/3, math.pi, 5e-324, 1.7976931348623157e308, -0.0, float("nan"), float("inf"), -float("inf"), 1e22, 3]
for step, value in enumerate(values):
    say(step=step, time=1000 + step, loss=value, **{"acc/ü": -value})
    say(step=step, time=2000 + step, loss=value, context="val")
say(step=2**53 - 1, time=5, loss=1)
say(type="text", name="sample", text="line\\nNaN \\"Infinity\\"", step=3, time=7)
say(type="histogram", name="w", edges=[0, 1, 2], counts=[5, 6], step=1, time=8)
say(type="table", name="t", columns=["a", "b"], data=[[1, float("nan")], ["NaN", None]], step=0, time=9)
say(type="dataset", name="d", digest="1", source="/data", source_type="local")
`
const VALUES = [
  ...[0.1, 1 / 3, Math.PI, 5e-324, 1.7976931348623157e308],
  ...[-0, Number.NaN, Infinity, -Infinity, 1e22, 3],
]

/** What Python says, by the API. */
async function byApi(dir: string): Promise<StoredRun> {
  const run = startLogging({ dir, backend: 'local' })
  run.logParams({ lr: 1e-3, optimizer: { name: 'adam', betas: [0.9, 0.999] } })
  run.setTags({ team: 'a' })
  run.setNotes('# ü')
  run.defineMetric('loss', { summary: ['min'], goal: 'minimize' })
  for (const [step, value] of VALUES.entries()) {
    // a NaN's sign is nothing that is printed
    run.log({ loss: value, 'acc/ü': Number.isNaN(value) ? value : -value }, { step, time: 1000 + step })
    run.log({ loss: value }, { step, time: 2000 + step, context: 'val' })
  }
  run.log({ loss: 1 }, { step: 2 ** 53 - 1, time: 5 })
  run.logText('sample', 'line\nNaN "Infinity"', { step: 3, time: 7 })
  run.logHistogram('w', { edges: [0, 1, 2], counts: [5, 6] }, { step: 1, time: 8 })
  const data = [
    [1, Number.NaN],
    ['NaN', null],
  ]
  run.logTable('t', { columns: ['a', 'b'], data }, { step: 0, time: 9 })
  run.logDataset({ name: 'd', digest: '1', source: '/data', sourceType: 'local' })
  await run.finish()
  return openRun(run.info.folder)
}

/** All that a reader can tell but ids and the times of its start and end; numbers as their bytes. */
function contentOf(stored: StoredRun): object {
  const bytes = ({ step, time, value }: History) =>
    [step, time, value].map((column) => Buffer.from(column.buffer).toString('hex'))
  return {
    series: stored
      .series()
      .map(({ name, context, points }) => [name, context, points, bytes(stored.history(name, context))]),
    ...{ params: stored.params(), tags: stored.tags(), notes: stored.notes() },
    ...{ definitions: stored.metricDefinitions(), datasets: stored.datasets() },
    texts: stored.texts().map((text) => [text.name, text.step, text.time, text.text()]),
    histograms: stored.histograms(),
    tables: stored.tables().map((table) => [table.name, table.step, table.time, table.read()]),
    state: stored.state().state,
  }
}

test('what Python prints becomes the run that the API makes, bit for bit', async (context) => {
  const python = await barePython(context)
  if (python === undefined) return
  const [dir, root] = [temporaryFolder(context), temporaryFolder(context)]
  const expected = contentOf(await byApi(dir))
  // through a shell, as users do it
  const { stderr } = await run('sh', ['-c', `"$PYTHON" -c "$PROGRAM" | "$NODE" "$MAIN" pipe`], {
    env: {
      ...cliEnvironment(root),
      ...{ TRACELET_BACKEND: 'local', PYTHON: python, PROGRAM: PYTHON, NODE: process.execPath },
      MAIN: new URL(import.meta.url.replace(/test\/cli\/pipe\/pipe\.test/, 'src/cli/main')).pathname,
    },
  })
  assert.match(stderr, /^tracelet: run \S+\n$/)
  assert.deepEqual(contentOf(theRun(root)), expected)
})

test('a malformed line is told with its number and a reason, costs itself only, and the exit code says so', async (context) => {
  const root = temporaryFolder(context)
  const { code, stdout, stderr } = await pipeLines(
    root,
    [
      { step: 0, loss: 1 },
      'loss=2',
      '[1]',
      '"text"',
      '',
      { step: 1.5, loss: 1 },
      { step: 1, loss: 'high', acc: 2, none: null },
      { step: 2 },
      { type: 'imge', name: 'x' },
      { type: 'image', name: 'x' },
      { type: 'image', name: 'x', path: 'not-there.png' },
      { type: 'image', name: 'x', base64: 'bm90IGFuIGltYWdl' },
      { type: 'text', name: 'x', txt: 'y' },
      { type: 'artifact', path: 'not-there.bin' },
      { type: 'metric', name: 'm', summary: 'median' },
      `{"step": 3, "password=hunter2": NaN, "loss": NaN,}`,
      { step: 4, loss: 5, context: 7 },
      { step: 5, time: 'now', loss: 5 },
      { step: 6, loss: 7 },
    ],
    ['--json'],
  )
  assert.equal(code, 1)
  const told = JSON.parse(stdout)
  assert.deepEqual(
    told.faults.map(({ line, code }: { line: number; code: string }) => `${line} ${code}`),
    [
      ...['2 ERR_VALUE', '3 ERR_VALUE', '4 ERR_VALUE', '6 ERR_STEP', '7 ERR_VALUE', '7 ERR_VALUE'],
      ...['8 ERR_VALUE', '9 ERR_VALUE', '10 ERR_VALUE', '11 ERR_ARTIFACT', '12 ERR_VALUE', '13 ERR_VALUE'],
      ...['14 ERR_ARTIFACT', '15 ERR_VALUE', '16 ERR_VALUE', '17 ERR_NAME', '18 ERR_TIME'],
    ],
  )
  assert.deepEqual([told.lines, told.malformedLines, told.outcome], [18, 16, 'finished'])
  assert.match(stderr, /line 9: ERR_VALUE: unknown type 'imge'; did you mean 'image'\?/)
  assert.match(stderr, /line 13: ERR_VALUE: 'text' needs 'text'/)
  const stored = theRun(root)
  assert.deepEqual([...stored.history('loss').step], [0, 6])
  assert.deepEqual([...stored.history('acc').value], [2])
})

test('a flood of malformed lines is counted, and told up to the hundredth', async (context) => {
  const root = temporaryFolder(context)
  const { code, stdout, stderr } = await pipeLines(root, Array(5000).fill('x'))
  assert.equal(code, 1)
  assert.match(stdout, /5000 lines, 5000 malformed/)
  assert.equal(stderr.match(/ERR_VALUE/g)!.length, 100)
})

test('bytes that are no UTF-8 and lines above 64 MiB cost themselves; memory stays bounded', async (context) => {
  const root = temporaryFolder(context)
  const piped = startPipe(root)
  await piped.write('\ufeff{"step":1,"a":1}\r\n')
  await piped.write(Buffer.from([0x7b, 0xff, 0xfe, 0x0a]))
  const part = Buffer.alloc(1 << 20, 'x')
  await piped.write('{"type":"text","name":"long","text":"')
  for (let i = 0; i < 60; i++) await piped.write(part)
  await piped.write('"}\n{"step":2,"a":"')
  for (let i = 0; i < 600; i++) await piped.write(part)
  if (process.platform === 'linux') {
    const status = readFileSync(`/proc/${piped.child.pid}/status`, 'utf8')
    const peakMiB = Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024
    context.diagnostic(`peak memory ${Math.round(peakMiB)} MiB`)
    assert.ok(peakMiB < 600, `${peakMiB} MiB`)
  }
  await piped.write('"}\n{"step":3,"a":3}\n')
  piped.child.stdin!.end()
  const { code, stderr } = await piped.ended
  assert.equal(code, 1)
  assert.match(stderr, /line 2: ERR_VALUE: not UTF-8/)
  assert.match(stderr, /line 4: ERR_VALUE: longer than 67108864 bytes/)
  const stored = theRun(root)
  assert.deepEqual([...stored.history('a').step], [1, 3])
  assert.equal(stored.texts()[0]!.bytes, 60 << 20)
})

test('a producer faster than the journal waits: nothing is lost in the smallest ring', async (context) => {
  const root = temporaryFolder(context)
  const piped = startPipe(root, ['--lane-slots', '256', '--json'])
  const rows = 50_000
  for (let step = 0; step < rows; step += 1000) {
    const lines = Array.from({ length: 1000 }, (_, i) => `{"step":${step + i},"a":${step + i},"b":0.5}\n`)
    await piped.write(lines.join(''))
  }
  piped.child.stdin!.end()
  const { code, stdout, stderr } = await piped.ended
  assert.equal(code, 0, stderr)
  const { stats } = JSON.parse(stdout)
  assert.deepEqual([stats.journaled, stats.lost.laneFull], [2 * rows, 0])
  assert.equal(theRun(root).history('a').value.at(-1), rows - 1)
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} closes the run as killed, with every line so far`, async (context) => {
    const root = temporaryFolder(context)
    const piped = startPipe(root)
    await piped.said('run ')
    await piped.write('{"step":0,"loss":1}\n{"step":1,"loss":2}\n')
    piped.child.kill(signal)
    assert.equal((await piped.ended).code, code)
    const stored = theRun(root)
    assert.equal(stored.state().state, 'killed')
    assert.deepEqual([...stored.history('loss').value], [1, 2])
  })
}

test('an input that breaks off within a line leaves what was whole, and a failed run', async (context) => {
  const root = temporaryFolder(context)
  const piped = startPipe(root)
  await piped.write('{"step":0,"loss":1}\n{"step":1,"lo')
  piped.child.stdin!.end()
  const { code, stderr } = await piped.ended
  assert.equal(code, 1)
  assert.match(stderr, /line 2: .*the input ended within this line/)
  assert.deepEqual([...theRun(root).history('loss').value], [1])
  assert.equal(theRun(root).state().state, 'failed')
})

test('a last line without its newline counts, and the end of the input finishes the run', async (context) => {
  const root = temporaryFolder(context)
  const piped = startPipe(root)
  await piped.write('{"step":0,"loss":1}')
  piped.child.stdin!.end()
  assert.equal((await piped.ended).code, 0)
  assert.equal(theRun(root).state().state, 'finished')
  assert.equal(theRun(root).history('loss').step.length, 1)
})

test('what was to be sent later leaves nothing undelivered, and the words say how it is sent', async (context) => {
  const root = temporaryFolder(context)
  const environment = { WANDB_MODE: 'offline', WANDB_BASE_URL: 'http://127.0.0.1:1', WANDB_DIR: root }
  const args = ['--backend', 'local,wandb', '--run-id', 'r']
  const { code, stdout, stderr } = await pipeLines(root, [{ loss: 1 }], args, environment)
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^wandb is offline; send it later with: tracelet sync r$/m)
  assert.doesNotMatch(stdout, /has not got everything/)
})

test('a finish line gives the outcome; what comes after it is told', async (context) => {
  const root = temporaryFolder(context)
  const { code, stderr } = await pipeLines(root, [
    { loss: 1 },
    { type: 'finish', outcome: 'exploded' },
    { type: 'finish', outcome: 'failed' },
    { loss: 2 },
  ])
  assert.equal(code, 1)
  assert.match(stderr, /line 2: .*one of finished, failed, killed/)
  assert.match(stderr, /line 4: .*finished by line 3/)
  assert.equal(theRun(root).state().state, 'failed')
  assert.deepEqual([...theRun(root).history('loss').value], [1])
})

test('files are taken from where the command runs; images also from the line itself', async (context) => {
  const root = temporaryFolder(context)
  const png =
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg=='
  writeFileSync(join(root, 'x.png'), Buffer.from(png, 'base64'))
  const { code, stderr } = await pipeLines(root, [
    { type: 'image', name: 'file', path: 'x.png', caption: 'c', step: 4 },
    { type: 'image', name: 'inline', base64: png },
    { type: 'figure', name: 'plotly', figure: { data: [{ y: [1] }] } },
    { type: 'figure', name: 'picture', path: 'x.png' },
    { type: 'pr_curve', name: 'pr', labels: [1, 0], predictions: [0.9, 0.1], thresholds: 3 },
    { type: 'artifact', path: 'x.png', artifact_type: 'picture', metadata: { a: 1 }, description: null },
    { type: 'artifact', path: 'x.png', name: 'aliased', alias: 'best' },
    { type: 'file', path: 'x.png', as: 'pictures/x.png' },
    { type: 'code', path: '.', include: ['*.png'], name: 'source' },
    { type: 'input', name: 'data:v2', artifact_type: 'dataset' },
    { type: 'alert', title: 'done', text: 'all of it', level: 'warn', wait_ms: 5 },
    { type: 'model', path: 'x.png', name: 'm', register: 'r', alias: ['a', 'b'] },
  ])
  assert.equal(code, 0, stderr)
  const stored = theRun(root)
  assert.deepEqual(
    stored.images().map(({ name, step, caption }) => [name, step, caption]),
    [
      ['file', 4, 'c'],
      ['inline', 0, undefined],
    ],
  )
  assert.deepEqual(stored.images('inline')[0]!.content.read().toString('base64'), png)
  assert.deepEqual(stored.figures('plotly')[0]!.plotly()!.data, [{ y: [1] }])
  assert.equal(stored.figures('picture')[0]!.content.type, 'image/png')
  assert.equal(stored.prCurves()[0]!.truePositives.length, 3)
  assert.deepEqual(stored.artifacts('aliased')[0]!.aliases, ['best'])
  assert.deepEqual(
    stored.artifacts('source').map(({ type, files }) => [type, files().map(({ path }) => path)]),
    [['code', ['x.png']]],
  )
  assert.deepEqual(
    stored.files().map(({ path, bytes }) => [path, bytes]),
    [['pictures/x.png', 70]],
  )
  const [input] = stored.inputs()
  assert.deepEqual([input!.artifact, input!.type], ['data:v2', 'dataset'])
  const [{ time: _, ...alert }] = stored.alerts() as [StoredAlert]
  assert.deepEqual(alert, { title: 'done', text: 'all of it', level: 'warn', waitMs: 5 })
  const artifact = stored.artifacts().find(({ name }) => name === 'x.png')
  assert.deepEqual([artifact!.name, artifact!.type, artifact!.metadata], ['x.png', 'picture', { a: 1 }])
  assert.deepEqual(stored.models()[0]!.aliases, ['a', 'b'])
})

test('the flags are the options of startLogging; wrong ones make no run', async (context) => {
  const root = temporaryFolder(context)
  const { stdout } = await tracelet(root, 'pipe', '--help')
  for (const name of Object.keys(RUN_OPTIONS)) {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} `
    assert.equal(stdout.includes(flag), name !== 'signals', flag)
  }
  for (const [args, said] of [
    [['--exp-nam', 'x'], /did you mean '--exp-name'/],
    [['--lane-slots', 'many'], /--lane-slots must be a number/],
    [['--durability', 'eternal'], /one of process, power/],
    [['--backend', 'mlfow'], /did you mean 'mlflow'/],
    [['--backend', '{"mlflow'], /must be JSON/],
    [['--param', 'lr'], /NAME=VALUE/],
  ] as const) {
    const { code, stderr } = await pipeLines(root, [], args)
    assert.equal(code, 2, stderr)
    assert.match(stderr, said)
  }
  assert.equal(existsSync(join(root, 'default')), false)
  const args = [
    '--exp-name',
    'e',
    '--name',
    'n',
    '--backend',
    '{"local":{}}',
    '--group',
    'g',
    '--run-id',
    'r',
  ]
  await pipeLines(
    root,
    [{ loss: 1 }],
    [...args, '--param', 'lr=0.1', '--param', 's=x=y', '--tag', 'a', '--tag', 'b=c'],
  )
  const stored = theRun(root)
  const { id, experiment, name, group } = stored.info
  assert.deepEqual([id, experiment, name, group], ['r', 'e', 'n', 'g'])
  assert.deepEqual(
    [stored.params(), stored.tags()],
    [
      { lr: 0.1, s: 'x=y' },
      { a: '', b: 'c' },
    ],
  )
})

test('in a terminal lines are typed; Ctrl-D ends the run, Ctrl-C kills it', async (context) => {
  const environment = { TRACELET_BACKEND: 'local' }
  for (const [key, code, state] of [
    [CTRL_D, 0, 'finished'],
    [CTRL_C, 130, 'killed'],
  ] as const) {
    const root = temporaryFolder(context)
    const steps = [
      ['tracelet: run', '{"loss": 1}\nnonsense\n'],
      // a terminal forgets what was typed and not read yet when Ctrl-C comes
      ['line 2:', '{"loss": 2}\nnonsense\n'],
      ['line 4:', key],
    ] as const
    const shown = await inTerminal(context, root, ['pipe'], { steps, environment })
    if (shown === undefined) return
    assert.equal(shown.code, key === CTRL_D ? 1 : code, shown.screen)
    assert.match(shown.screen, /line 2: ERR_VALUE: not JSON/)
    assert.deepEqual([...theRun(root).history('loss').value], [1, 2])
    assert.equal(theRun(root).state().state, state)
  }
})
