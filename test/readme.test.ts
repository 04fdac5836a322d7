/** The README's tables are the code's: TRACELET_UPDATE_README=1 writes them, without it they are compared. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { COMMANDS } from '../src/cli/commands.ts'
import { DESTINATION_OPTIONS } from '../src/core/destination-options.ts'
import { ERROR_CODES } from '../src/core/errors.ts'
import type { OptionRow, OptionTable } from '../src/core/options.ts'
import type { RecordKind, SinkCapabilities } from '../src/core/types.ts'
import { RUN_OPTIONS } from '../src/run/options.ts'
import { SINKS } from '../src/sinks/index.ts'

const README = new URL('../../README.md', import.meta.url)

const TABLES: Record<string, () => string> = {
  'options startLogging': () => optionTable(RUN_OPTIONS),
  ...Object.fromEntries(SINKS.map((sink) => [`options ${sink.kind}`, () => optionTable(sink.options)])),
  'options every backend': () => optionTable(DESTINATION_OPTIONS),
  commands: () =>
    table(
      ['command', 'what it does'],
      COMMANDS.map(({ usage, summary }) => [
        `\`tracelet ${nameAndRun(usage)}\``,
        summary.replaceAll('|', '\\|'),
      ]),
    ),
  errors: () =>
    table(
      ['code', 'what happened'],
      Object.entries(ERROR_CODES).map(([code, what]) => [`\`${code}\``, what]),
    ),
  backends: () =>
    table(
      ['', ...SINKS.map((sink) => sink.title)],
      [
        ['metrics', ...SINKS.map(() => '✅')],
        ...Object.entries(KIND_WORDS).map(([kind, word]) => [
          word,
          ...SINKS.map((sink) => place(sink.capabilities, kind as RecordKind)),
        ]),
        ['NaN', ...SINKS.map((sink) => sink.capabilities.values.nan)],
        ['±Infinity', ...SINKS.map((sink) => sink.capabilities.values.infinity)],
        ['−0', ...SINKS.map((sink) => sink.capabilities.values.negativeZero)],
        ['precision', ...SINKS.map((sink) => sink.capabilities.values.precision)],
        ['longest name', ...SINKS.map((sink) => `${sink.capabilities.maxNameLength}`)],
        ['sending twice is harmless by', ...SINKS.map((sink) => sink.capabilities.rewrite)],
        ['going back to a step', ...SINKS.map((sink) => sink.capabilities.rewind ?? 'none')],
      ],
    ),
}

/** Every kind of record in the users' words: a kind that is not here does not compile. */
const KIND_WORDS: Readonly<Record<Exclude<RecordKind, 'rewind'>, string>> = {
  params: 'hyperparameters',
  tags: 'tags',
  notes: 'notes',
  state: 'state at the end',
  metric: 'axes and summaries of metrics',
  dataset: 'datasets',
  console: 'console output',
  text: 'texts',
  histogram: 'histograms',
  images: 'images',
  table: 'tables',
  figure: 'figures',
  prCurve: 'PR curves',
  artifact: 'artifacts',
  model: 'models',
  files: 'files of the run',
  input: 'artifacts it reads',
  alert: 'alerts',
}

function place({ records, uploads }: SinkCapabilities, kind: RecordKind): string {
  if (records.includes(kind)) return '✅'
  return uploads?.includes(kind) ? '✅ uploaded' : '❌'
}

/** `show RUN [--metric …]` → `show RUN` */
function nameAndRun(usage: string): string {
  return usage.split(/ [[|<]/, 1)[0]!
}

function optionTable(options: OptionTable): string {
  return table(
    ['option', 'type', 'default', 'environment', ''],
    Object.entries(options).map(([name, row]) => [
      `\`${name}\``,
      type(row),
      row.default === undefined ? '' : `\`${row.default}\`${row.unit ? ` ${row.unit}` : ''}`,
      (row.env ?? []).map((variable) => `\`${variable}\``).join(', '),
      row.doc + (row.secret ? ' Secret: never written down.' : ''),
    ]),
  )
}

function type(row: OptionRow): string {
  if (row.values) {
    const values = row.values.map((value) => `\`${value}\``).join(' \\| ')
    return row.type === 'strings' ? `strings: ${values}` : values
  }
  const bounds = row.min === undefined && row.max === undefined ? '' : ` ${row.min ?? ''}…${row.max ?? ''}`
  return `${row.type}${bounds}`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

test('every table of the README is what the code says', () => {
  const readme = readFileSync(README, 'utf8')
  const seen = new Set<string>()
  const written = readme.replace(/<!-- table: (.+?) -->[\s\S]*?<!-- \/table -->/g, (_, name: string) => {
    const make = TABLES[name]
    assert.ok(make, `the README asks for a table '${name}' that nobody makes`)
    seen.add(name)
    return `<!-- table: ${name} -->\n${make()}\n<!-- /table -->`
  })
  for (const sink of SINKS) {
    const isShown = Object.keys(sink.options).length === 0 || seen.has(`options ${sink.kind}`)
    assert.ok(isShown, `the README lacks the options of ${sink.kind}`)
  }
  if (process.env.TRACELET_UPDATE_README) writeFileSync(README, written)
  else assert.equal(readme, written, 'run TRACELET_UPDATE_README=1 npm test to write them')
})
