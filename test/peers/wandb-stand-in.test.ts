/** The stand-in before the official SDK, its own sender and its own reader: what every other test with it stands on. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryFolder } from '../run/program.ts'
import { readConsoleLine } from '../sinks/wandb/stand-in/reader.ts'
import { type Fault, type Matches, type StandInRun, WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { peerPython } from './python.ts'
import { madeUpKey, runWandbScript } from './wandb-sdk.ts'
import { IMAGE, makeStory, type Story, storyText } from './wandb-story.ts'

type Row = Record<string, unknown>

async function prepare(context: TestContext) {
  const python = await peerPython(context)
  if (python === undefined) return undefined
  const apiKey = madeUpKey()
  const standIn = await WandbStandIn.start({ apiKey })
  context.after(() => standIn.stop())
  const script = (name: string, args: readonly string[]) =>
    runWandbScript(python, { url: standIn.url, key: apiKey }, name, args)
  return { standIn, script }
}

test('a run of the SDK is rebuilt exactly, without a problem, and its reader reads the same', async (context) => {
  const peers = await prepare(context)
  if (!peers) return
  const { standIn, script } = peers
  const folder = temporaryFolder(context)
  const image = join(folder, 'image.png')
  writeFileSync(image, IMAGE)
  const story: Story = { ...makeStory(image), project: 'lab', id: 'story', exitCode: 3 }
  const file = join(folder, 'story.json')
  writeFileSync(file, storyText(story))
  await script('log_wandb.py', [file])
  assert.deepEqual(standIn.allProblems, [])
  assert.deepEqual([...standIn.runs.keys()], ['stander/lab/story'])
  const run = standIn.runs.get('stander/lab/story')!
  assertRebuilt(run, story)

  const seen = JSON.parse(await script('read_wandb.py', ['stander/lab/story'])) as Row
  const { history, config, summary, ...plain } = seen
  assert.deepEqual(plain, {
    name: story.name,
    state: 'failed',
    tags: story.tags,
    notes: story.notes,
    group: story.group,
    jobType: story.jobType,
    lastHistoryStep: run.steps().at(-1),
  })
  assert.deepEqual(history, run.rows().map(inWords))
  assert.deepEqual(config, run.config)
  assert.deepEqual(summary, inWords(run.summary))
  assert.deepEqual(standIn.allProblems, [])
})

test('the SDK comes back after a lost answer, and goes on with a run where it ended', async (context) => {
  const peers = await prepare(context)
  if (!peers) return
  const { standIn, script } = peers
  const faults: readonly [Fault, Matches][] = [
    [{ kind: 'lostAnswer' }, ({ body }) => body.includes('"complete":true')],
    [{ kind: 'answer', status: 503 }, ({ operation }) => operation === 'CreateRunFiles'],
  ]
  const runs: Row[] = []
  for (const [n, rows] of [20, 15].entries()) {
    standIn.failNext(...faults[n]!)
    const text = await script('resume_wandb.py', ['again', String(rows)])
    runs.push(JSON.parse(/^SEEN (.*)$/m.exec(text)![1]!) as Row)
  }
  const run = standIn.runs.get('stander/lab/again')!
  assert.deepEqual(standIn.allProblems, [])
  assert.deepEqual(
    standIn.requests.filter(({ operation }) => operation === 'RunResumeStatus').map(({ status }) => status),
    [200, 200],
  )
  assert.deepEqual([standIn.faults.count, run.historyFile.overlapSame, run.state], [2, 20, 'finished'])
  assert.deepEqual(
    run.rows().map(({ _step, loss }) => [_step, loss]),
    Array.from({ length: 35 }, (_, n) => [n, 1 / (n + 1)]),
  )
  assert.deepEqual(
    runs.map(({ first, resumed, lastStep }) => [first, resumed, lastStep]),
    [
      [0, false, 19],
      [20, true, 34],
    ],
  )
  const { files, console: said, sample, losses } = runs[1] as Record<string, Row & readonly unknown[]>
  assert.deepEqual(files, Object.fromEntries([...run.files].map(([path, bytes]) => [path, bytes.length])))
  assert.deepEqual(run.unreported, [])
  assert.deepEqual(
    sample,
    [0, 17, 34].map((n) => run.rows()[n]),
  )
  assert.deepEqual(
    losses,
    run.rows().map(({ _step, loss }) => ({ _step, loss })),
  )
  for (const line of ['rows from 0', 'rows from 20']) {
    assert.ok(
      said!.some((one) => (one as unknown[])[2] === line),
      line,
    )
  }
  assert.deepEqual(
    said!.map((one) => (one as unknown[])[0]),
    run.output.map((_line, n) => n),
  )
})

function assertRebuilt(run: StandInRun, story: Story): void {
  const { displayName, group, jobType, notes, tags, state, exitCode } = run
  assert.deepEqual(
    { displayName, group, jobType, notes, tags: [...tags].sort(), state, exitCode },
    {
      displayName: story.name,
      group: story.group,
      jobType: story.jobType,
      notes: story.notes,
      tags: [...story.tags].sort(),
      state: 'failed',
      exitCode: 3,
    },
  )
  const turns = story.turns.filter(({ step }) => step !== undefined)
  assert.deepEqual(run.config, Object.assign({}, story.config, ...story.turns.map(({ config }) => config)))
  assert.deepEqual(
    run.rows().map((row) => plainValues(row)),
    turns.map(({ step, values }) => ({ _step: step, ...values })).map((row) => plainValues(row)),
  )
  const rich = turns.flatMap((turn, n) => (turn.images ? [[turn, run.rows()[n]!] as const] : []))
  assert.ok(rich.length > 0)
  for (const [{ histograms = {}, images = {} }, row] of rich) {
    for (const [name, { edges, counts }] of Object.entries(histograms)) {
      assert.deepEqual(row[name], { _type: 'histogram', bins: edges, values: counts })
    }
    for (const [name, { caption }] of Object.entries(images)) {
      const { path, caption: seen, _type } = row[name] as Row
      assert.deepEqual([_type, seen], ['image-file', caption])
      assert.ok(run.files.has(String(path)) && run.uploaded.includes(String(path)), String(path))
    }
  }
  const metrics = run.wandb.m as readonly Row[]
  const names = new Set(metrics.map((metric) => metric['1'] ?? metric['2']))
  for (const { name } of story.metrics) assert.ok(names.has(name), name)
  const seen = run.summary['val/loss'] as Row
  const values = turns.flatMap(({ values = {} }) => values['val/loss'] ?? [])
  assert.deepEqual(seen, { min: Math.min(...values), last: values.at(-1) })
  assert.equal(run.summary._step, turns.at(-1)!.step)
  const said = run.output.map(readConsoleLine)
  for (const { stdout = [], stderr = [] } of story.turns) {
    for (const [lines, level] of [
      [stdout, null],
      [stderr, 'error'],
    ] as const) {
      for (const text of lines) {
        assert.ok(
          said.some((line) => line.line === text && line.level === level),
          text,
        )
      }
    }
  }
  assert.ok(run.eventRows().length > 0)
  assert.ok(run.eventRows().every((row) => row._wandb === true && typeof row._timestamp === 'number'))
  assert.deepEqual(run.unreported, [])
}

/** Without times and media; the SDK makes 0 of -0. */
function plainValues(row: Row): Row {
  const kept = Object.entries(row).filter(
    ([key, value]) => key !== '_timestamp' && key !== '_runtime' && typeof value === 'number',
  )
  return Object.fromEntries(kept.map(([key, value]) => [key, (value as number) + 0]))
}

/** As `read_wandb.py` prints what JSON has no number for. */
function inWords(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    return { float: Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf' }
  }
  if (Array.isArray(value)) return value.map(inWords)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, inWords(inner)]))
}
