/**
 * One script, played through the wandb SDK and through tracelet, both at the stand-in: what the server holds of the two
 * runs is the same. What differs stands here, each with its reason, and nothing else may.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { temporaryFolder } from '../run/program.ts'
import { type StandInRun, WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { peerPython } from './python.ts'
import { madeUpKey, runWandbScript } from './wandb-sdk.ts'
import { IMAGE, makeStory, playStory, STEP_KEY, type Story, storyText } from './wandb-story.ts'

type Row = Record<string, unknown>
/** Differ from run to run: when it was, and since when. */
const TIMES = ['_timestamp', '_runtime']
/**
 * The SDK names the file of an image after the step it was at before: where steps have gaps, or are given, that is
 * another one than the row's. tracelet names it after the row's.
 */
const STEP_IN_PATH = /_\d+(_[0-9a-f]{20}\.(?:png|table\.json))$/
/** Ids of artifacts are random at the SDK's. */
const CLIENT_ID = /\b[0-9a-z]{128}\b/g

interface Both {
  readonly standIn: WandbStandIn
  readonly theirs: StandInRun
  readonly ours: StandInRun
  readonly story: Omit<Story, 'project' | 'id'>
}

async function play(test: TestContext, python: string, change: Partial<Story> = {}): Promise<Both> {
  const standIn = await WandbStandIn.start()
  test.after(() => standIn.stop())
  const folder = temporaryFolder(test)
  const image = join(folder, 'image.png')
  writeFileSync(image, IMAGE)
  const story = { ...makeStory(image), ...change }
  const key = madeUpKey()
  const file = join(folder, 'story.json')
  writeFileSync(file, storyText({ ...story, project: 'theirs', id: 'theirs-1' }))
  await runWandbScript(python, { url: standIn.url, key }, 'log_wandb.py', [file])
  const theirs = runOf(standIn, 'theirs')
  const run = startLogging({
    dir: folder,
    project: 'ours',
    ...{ name: story.name, group: story.group },
    backend: { wandb: { baseUrl: standIn.url, apiKey: key, jobType: story.jobType, intervalMs: 0 } },
  })
  await playStory(run, { ...story, project: 'ours', id: run.id }, systemNames(theirs))
  const stats = await run.finish(story.exitCode === 0 ? 'finished' : 'failed')
  const { pending, rejected, records } = stats.destinations.wandb!
  assert.deepEqual(
    [pending, rejected, records.pending, records.rejected],
    [0, 0, 0, 0],
    JSON.stringify(stats),
  )
  const ours = runOf(standIn, 'ours')
  assert.deepEqual([theirs.problems, ours.problems], [[], []])
  return { standIn, theirs, ours, story }
}

function runOf(standIn: WandbStandIn, project: string): StandInRun {
  const found = [...standIn.runs].filter(([path]) => path.split('/')[1] === project)
  assert.equal(found.length, 1, `${project} of ${[...standIn.runs.keys()].join(', ')}`)
  return found[0]![1]
}

/** Without the `system.` that the backend puts before them. */
function systemNames(run: StandInRun): string[] {
  return [...new Set(systemKeys(run).flat())].map((name) => name.replace(/^system\./, ''))
}
function systemKeys(run: StandInRun): string[][] {
  return run.events.map((line) => Object.keys(JSON.parse(line) as Row).filter((key) => !key.startsWith('_')))
}

/** What has to be the same. */
function comparable(row: Row): Row {
  const entries = Object.entries(without(row, ...TIMES)).map(([key, value]) => {
    const [path] = pathOf(value)
    if (path === undefined) return [key, value]
    const plain = JSON.parse(JSON.stringify(value).replace(CLIENT_ID, 'id')) as Row
    return [key, { ...plain, path: withoutStep(path) }]
  })
  return Object.fromEntries(entries)
}
function withoutStep(path: string): string {
  return path.replace(STEP_IN_PATH, '$1')
}
function pathOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null && 'path' in value ? [String(value.path)] : []
}

function without(row: Row, ...keys: readonly string[]): Row {
  return Object.fromEntries(Object.entries(row).filter(([key]) => !keys.includes(key)))
}

test('a script through the wandb SDK and through tracelet makes the same run', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const { standIn, theirs, ours, story } = await play(context, python)

  await context.test('every row of the history, with its step, value by value', () => {
    const rows = theirs.rows() as Row[]
    assert.ok(rows.length >= 200, `${rows.length} rows`)
    for (const [n, row] of (ours.rows() as Row[]).entries())
      assert.deepEqual(comparable(row), comparable(rows[n] ?? {}), `row ${n}`)
    assert.equal(ours.history.length, rows.length)
    for (const key of TIMES) assertRising([ours.rows() as Row[], rows], key)
  })

  await context.test('histogram and image in the row of their step, and the bytes of the image', () => {
    const rich = (ours.rows() as Row[]).filter((row) => 'weights/hist' in row)
    assert.equal(rich.length, 2)
    for (const row of rich) assert.ok('loss' in row && 'samples/first' in row, JSON.stringify(row))
    const images = (run: StandInRun) => [...run.files].filter(([path]) => path.startsWith('media/images/'))
    const names = (run: StandInRun) =>
      images(run)
        .map(([path]) => withoutStep(path))
        .sort()
    assert.deepEqual(names(ours), names(theirs))
    assert.equal(names(ours).length, 2)
    for (const [path, bytes] of [...images(ours), ...images(theirs)]) assert.ok(bytes.equals(IMAGE), path)
    for (const run of [ours, theirs]) {
      const named: string[] = (run.rows() as Row[]).flatMap((row) => pathOf(row['samples/first']))
      assert.deepEqual(
        named,
        images(run)
          .map(([path]) => path)
          .sort(),
      )
      assert.deepEqual(run.unreported, [])
    }
  })

  await context.test('tables byte by byte, as files of the run and as artifacts', () => {
    const tables = (run: StandInRun) =>
      [...run.files]
        .filter(([path]) => path.startsWith('media/table/'))
        .map(([path, bytes]) => [withoutStep(path), bytes.toString()])
        .sort()
    assert.deepEqual(tables(ours), tables(theirs))
    assert.equal(tables(ours).length, 2)
    const artifacts = (run: StandInRun) =>
      [...standIn.artifacts.values()]
        .filter(({ project }) => project === run.path.split('/')[1])
        .flatMap(({ name, type, versions }) =>
          versions.map(({ digest, manifest, state, version }) => ({
            ...{ type, digest, state, version },
            name: name.replace(/^run-.*-(?=evalworst)/, '').replace(/-[\w-]{6}$/, ''),
            contents: Object.entries(manifest!.contents).map(([path, entry]) => [
              path,
              entry.digest,
              entry.size,
            ]),
          })),
        )
    assert.deepEqual(artifacts(ours), artifacts(theirs))
    assert.deepEqual(
      artifacts(ours).map(({ type, name }) => [type, name]),
      [
        ['run_table', 'evalworst'],
        ['run_table', 'evalworst'],
      ],
    )
  })

  await context.test('a file that is kept with the run', () => {
    for (const run of [ours, theirs]) assert.ok(run.files.get('image.png')?.equals(IMAGE))
  })

  await context.test('configuration, also what came late', () => {
    assert.deepEqual(ours.config, theirs.config)
  })

  await context.test('the summary with what define_metric asked for', () => {
    const plain = (run: StandInRun) => without(comparable(run.summary as Row), '_wandb')
    assert.deepEqual(plain(ours), plain(theirs))
    assert.deepEqual(Object.keys(ours.summary).sort(), Object.keys(theirs.summary).sort())
    assert.deepEqual(Object.keys(plain(ours)['train/loss'] as Row).sort(), ['last', 'max', 'mean', 'min'])
  })

  await context.test('name, group, job type, notes, tags and the end', () => {
    const identity = ({ displayName, group, jobType, notes, tags, state, exitCode }: StandInRun) => ({
      ...{ displayName, group, jobType, notes, state, exitCode },
      tags: [...tags].sort(),
    })
    assert.deepEqual(identity(ours), identity(theirs))
    assert.deepEqual(
      [ours.displayName, ours.notes, ours.jobType, ours.exitCode],
      [story.name, story.notes, story.jobType, 0],
    )
  })

  await context.test('how each metric is to be drawn and summed up', () => {
    const keys = new Set((ours.rows() as Row[]).flatMap((row) => Object.keys(row)))
    for (const key of [...keys].filter((one) => !one.startsWith('_')))
      assert.deepEqual(definitionOf(ours, key), definitionOf(theirs, key), key)
    assert.equal(definitionOf(ours, 'loss').axis, STEP_KEY)
    assert.equal(definitionOf(ours, STEP_KEY).isHidden, true)
  })

  await context.test("the system's metrics under the same names", () => {
    const [line, ...others] = systemKeys(ours)
    assert.deepEqual(others, [])
    assert.ok(line!.length >= 3)
    assert.deepEqual(line!.sort(), [...new Set(systemKeys(theirs).flat())].sort())
    const marks = (run: StandInRun) =>
      Object.keys(JSON.parse(run.events[0]!) as Row)
        .filter((key) => key.startsWith('_'))
        .sort()
    assert.deepEqual(marks(ours), marks(theirs))
  })

  await context.test('what was printed, line by line', () => {
    // the SDK has remarks of its own, such as how it keeps a file
    const isOwn = (line: string) => /^(?:ERROR )?wandb: /.test(line)
    const said = (run: StandInRun) =>
      run.output
        .map(textOf)
        .filter((line) => !isOwn(line))
        .sort()
    assert.deepEqual(said(ours), said(theirs))
    assert.ok(said(ours).length >= 8)
  })
})

test('a run that fails, failed in the same way', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const turns = Array.from({ length: 5 }, (_, step) => ({
    step,
    values: { global_step: step, loss: step / 3 },
  }))
  const { theirs, ours } = await play(context, python, { turns, exitCode: 1 })
  assert.deepEqual([ours.state, ours.exitCode], [theirs.state, theirs.exitCode])
  assert.equal(ours.exitCode, 1)
})

/** As MetricRecord numbers its fields, in `_wandb.m`. */
interface Definition {
  readonly 1?: string
  readonly 2?: string
  readonly 5?: number
  readonly 6?: readonly number[]
  readonly 7?: readonly number[]
}
const HIDDEN = 2

/** What holds for a key: its own definition, else the pattern's. */
function definitionOf(run: StandInRun, key: string): { axis: string; isHidden: boolean; summary: number[] } {
  const all = run.wandb.m as readonly Definition[]
  const found =
    all.find((one) => one[1] === key) ??
    all.find((one) => one[2] !== undefined && key.startsWith(one[2].replace(/\*$/, '')))
  return {
    axis: all[(found?.[5] ?? 0) - 1]?.[1] ?? '',
    isHidden: found?.[6]?.includes(HIDDEN) ?? false,
    summary: [...(found?.[7] ?? [])].sort(),
  }
}

/** A line without its time. */
function textOf(line: string): string {
  const match = /^(ERROR )?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)? (.*)$/s.exec(line)
  assert.ok(match, `a line of the console: ${line}`)
  return `${match[1] ?? ''}${match[2]}`
}

function assertRising(runs: readonly Row[][], key: string): void {
  for (const rows of runs) {
    const values = rows.map((row) => row[key] as number)
    assert.ok(
      values.every(
        (value, index) => typeof value === 'number' && (index === 0 || value >= values[index - 1]!),
      ),
      `${key}: ${values.slice(0, 10).join(', ')}`,
    )
  }
}
