/**
 * What one run logs, told once: `log_wandb.py` plays it through the wandb SDK, `playStory` through tracelet.
 */
import { readFileSync } from 'node:fs'
import type { Run } from '../../src/index.ts'
import { encodePng } from '../../src/pipeline/parking/png.ts'
import { Random } from '../random.ts'

export interface Story {
  readonly project: string
  readonly id: string
  readonly name: string
  readonly group: string
  readonly jobType: string
  readonly notes: string
  readonly tags: readonly string[]
  readonly config: Readonly<Record<string, unknown>>
  readonly metrics: readonly StoryMetric[]
  readonly turns: readonly Turn[]
  /** The SDK takes a sample of the system this often. */
  readonly systemEveryS: number
  readonly exitCode: number
}

export interface StoryMetric {
  readonly name: string
  readonly axis?: string
  readonly hidden?: true
  readonly summary?: readonly ('min' | 'max' | 'mean' | 'last')[]
}

/** A turn of the loop; without a step nothing is logged. */
export interface Turn {
  readonly config?: Readonly<Record<string, unknown>>
  readonly stdout?: readonly string[]
  readonly stderr?: readonly string[]
  readonly step?: number
  readonly values?: Readonly<Record<string, number>>
  readonly histograms?: Readonly<Record<string, Bins>>
  readonly images?: Readonly<Record<string, { readonly path: string; readonly caption: string }>>
  readonly tables?: Readonly<Record<string, StoryTable>>
  /** Paths of files that are kept with the run, below its folder. */
  readonly files?: readonly string[]
}
/** Numbers that are whole are integers in Python as well, and all others floats. */
interface StoryTable {
  readonly columns: readonly string[]
  readonly data: readonly (readonly unknown[])[]
}
interface Bins {
  readonly edges: readonly number[]
  readonly counts: readonly number[]
}

/** The axis that tracelet defines by itself for every metric. */
export const STEP_KEY = 'global_step'
const FIRST_STEP = 40
const ROWS = 260

export const IMAGE: Uint8Array = encodePng({
  width: 24,
  height: 16,
  channels: 3,
  isPlanar: false,
  data: Uint8Array.from({ length: 24 * 16 * 3 }, (_, index) => (index * 37) % 256),
})

/** @param image path of a file that holds IMAGE */
export function makeStory(image: string): Omit<Story, 'project' | 'id'> {
  return {
    name: 'Probelauf 漢字 😀 "1"',
    group: 'ensemble/7',
    jobType: 'fine-tune',
    notes: '# Why\n\nA *first* look: ü, 漢字, <b>.',
    tags: ['baseline', 'réseau', 'with space'],
    config: {
      lr: 0.001,
      epochs: 20,
      seed: 2 ** 53 - 1,
      on: true,
      off: false,
      none: null,
      name: 'Größe "quoted" \\ 漢字',
      optimizer: { name: 'adam', betas: { first: 0.9, second: 0.999 } },
    },
    metrics: [
      { name: STEP_KEY, hidden: true },
      { name: '*', axis: STEP_KEY },
      { name: 'val/loss', axis: 'epoch', summary: ['min', 'last'] },
      { name: 'val/acc', axis: STEP_KEY, summary: ['max'] },
      { name: 'train/loss', axis: STEP_KEY, summary: ['min', 'max', 'mean', 'last'] },
      { name: 'odd', axis: STEP_KEY, summary: ['min', 'max', 'mean'] },
    ],
    turns: [...rows(image)],
    systemEveryS: 0.5,
    exitCode: 0,
  }
}

function* rows(image: string): Generator<Turn> {
  const random = new Random(7)
  yield { stdout: ['begins', 'größer 漢字'], stderr: ['a warning'] }
  for (let row = 0, step = FIRST_STEP; row < ROWS; row++, step += row % 9 === 0 ? 1 + random.below(30) : 1) {
    const values: Record<string, number> = {
      [STEP_KEY]: step,
      loss: 1 / (row + 1),
      'train/loss': Math.exp(-row / 50) + random.next() / 10,
      'train/tokens': row * 4096,
      'layer.0/weight.norm': random.double(),
      'Verlust größe 漢字 😀': -row / 7,
      count: row,
    }
    if (row % 20 === 0) {
      values.epoch = row / 20
      values['val/loss'] = 2 - row / ROWS + random.next()
      values['val/acc'] = row / ROWS
    }
    if (row % 13 === 0) values.odd = ODD[(row / 13) % ODD.length]!
    const isRich = row === 30 || row === ROWS - 5
    yield {
      step,
      values,
      ...(row === 100 && { config: { late: 'yes', schedule: { kind: 'cosine', warmup: 500 } } }),
      ...(row % 50 === 49 && { stdout: [`row ${row}: "${step}"`] }),
      ...(isRich && {
        histograms: { 'weights/hist': { edges: [-1, -0.5, 0, 0.25, 1.5], counts: [1, 0, row, 4] } },
        images: { 'samples/first': { path: image, caption: `row ${row} – ü` } },
        tables: { 'eval/worst': tableAt(row) },
        ...(row === 30 && { files: [image] }),
      }),
    }
  }
}
function tableAt(row: number): StoryTable {
  return {
    columns: ['id', 'loss', 'text', 'right', 'box', 'größe'],
    data: [
      [row, 0.25, 'ü 漢字 😀 "q"', true, { x: 1.5, label: 'a' }, [1, 2.5]],
      [2, Number.NaN, null, false, { x: 2, label: 'b' }, [3]],
      [3, Infinity, '', true, null, []],
      [4, -1e-7, 'NaN', null, { x: -0.5, label: '' }, null],
    ],
  }
}
const ODD = [
  Number.NaN,
  Infinity,
  -Infinity,
  2 ** 53 - 1,
  -(2 ** 53 - 1),
  5e-324,
  Number.MAX_VALUE,
  -0,
  1e21,
  -1e-7,
  0.1 + 0.2,
  123456789012345680000,
]

/** JSON as Python reads it: NaN and infinities bare, negative zero kept. */
export function storyText(story: Story): string {
  const marked = JSON.stringify(story, (_, value: unknown) =>
    typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))
      ? `@number ${Object.is(value, -0) ? '-0.0' : value}`
      : value,
  )
  return marked.replaceAll(/"@number ([^"]+)"/g, '$1')
}

/** @param system names of the system's metrics as the backend has them, each logged once */
export async function playStory(run: Run, story: Story, system: readonly string[]): Promise<void> {
  const print = (stream: 'stdout' | 'stderr', lines: readonly string[] = []) => {
    for (const line of lines) run.logConsole(line, { stream })
  }
  run.setTags(story.tags)
  run.setNotes(story.notes)
  run.logParams(story.config)
  for (const { name, axis, hidden, summary } of story.metrics) {
    if (!hidden) run.defineMetric(name, { axis, summary })
  }
  let isFirst = true
  for (const { config, stdout, stderr, step, values = {}, ...rich } of story.turns) {
    const { histograms = {}, images = {}, tables = {}, files = [] } = rich
    if (config) run.logParams(config)
    print('stdout', stdout)
    print('stderr', stderr)
    if (step === undefined) continue
    for (const [name, bins] of Object.entries(histograms)) run.logHistogram(name, bins, { step })
    for (const [name, { path, caption }] of Object.entries(images))
      run.logImage(name, readFileSync(path), { step, caption })
    for (const [name, table] of Object.entries(tables)) run.logTable(name, table, { step })
    for (const file of files) void run.logFile(file)
    // they take another thread's way: so they are there before the row of their step is whole
    if (Object.keys({ ...images, ...tables }).length > 0) await run.flush()
    run.log(values, { step })
    if (isFirst) {
      run.log(Object.fromEntries(system.map((name, index) => [`system/${name}`, index + 0.5])), { step })
      isFirst = false
    }
  }
}
