/** Where modules stand and what they may import: the layers point one way, and no file grows into two jobs. */
import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { test } from 'node:test'
import { type SourceFile, sourceFiles } from './repository.ts'

/** What each folder of `src/` may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  ring: ['core'],
  sinks: ['core'],
  pipeline: ['core', 'ring', 'sinks'],
  run: ['core', 'ring', 'sinks', 'pipeline'],
  cli: ['core', 'ring', 'sinks', 'pipeline', 'run', 'index.ts'],
  'index.ts': ['core', 'run'],
}
const MAX_LINES = 400
const NOTICE_LINES = 250
const EMPTY_WORDS = /(?:^|[-/])(?:utils?|helpers?|common|managers?|base)(?:[-./]|$)/

const IMPORT = /(?:\bfrom|\bimport|\bimport\()\s*['"](\.{1,2}\/[^'"]+)['"]/g

/** Each import that breaks a rule: who, whom. */
function violations(files: readonly SourceFile[]): string[] {
  const found: string[] = []
  for (const { path, text } of files) {
    const folder = layerOf(path)
    if (!Object.hasOwn(MAY_IMPORT, folder)) found.push(`src/${path}: no such layer`)
    for (const [, specifier] of text.matchAll(IMPORT)) {
      const target = posix.join(posix.dirname(path), specifier!)
      const layer = layerOf(target)
      if (!target.endsWith('.ts')) found.push(`src/${path} imports ${specifier} without its ending`)
      if (layer !== folder && !MAY_IMPORT[folder]?.includes(layer))
        found.push(`src/${path} imports src/${target}: ${folder} must not see ${layer}`)
      const [own, other] = [backendOf(path), backendOf(target)]
      if (own !== undefined && other !== undefined && own !== other)
        found.push(`src/${path} imports src/${target}: a sink must not see a sibling`)
    }
  }
  return found
}

function layerOf(path: string): string {
  return path.split('/', 1)[0]!
}

/** `mlflow` for a file in that backend's own folder. */
function backendOf(path: string): string | undefined {
  return /^sinks\/([^/]+)\//.exec(path)?.[1]
}

test('imports point down: core ← ring, sinks ← pipeline ← run ← cli', () => {
  const files = sourceFiles()
  assert.ok(files.length > 50, 'the source was found')
  assert.deepEqual(violations(files), [])
})

test('a planted violation is found, with offender and target', () => {
  const planted = (path: string, text: string) => violations([{ path, text }])
  assert.deepEqual(planted('core/clock.ts', "import { ring } from '../ring/doorbell.ts'"), [
    'src/core/clock.ts imports src/ring/doorbell.ts: core must not see ring',
  ])
  assert.deepEqual(planted('ring/lane.ts', "import type { Sink } from '../sinks/contract.ts'"), [
    'src/ring/lane.ts imports src/sinks/contract.ts: ring must not see sinks',
  ])
  assert.deepEqual(planted('sinks/http.ts', "export { x } from '../ring/layout.ts'"), [
    'src/sinks/http.ts imports src/ring/layout.ts: sinks must not see ring',
  ])
  assert.deepEqual(planted('sinks/mlflow/sink.ts', "await import('../tensorboard/text.ts')"), [
    'src/sinks/mlflow/sink.ts imports src/sinks/tensorboard/text.ts: a sink must not see a sibling',
  ])
  assert.deepEqual(planted('pipeline/store/guard.ts', "import '../../run/options.ts'"), [
    'src/pipeline/store/guard.ts imports src/run/options.ts: pipeline must not see run',
  ])
  assert.deepEqual(planted('run/run.ts', "import { main } from '../cli/main.ts'"), [
    'src/run/run.ts imports src/cli/main.ts: run must not see cli',
  ])
  assert.deepEqual(planted('helpers/x.ts', ''), ['src/helpers/x.ts: no such layer'])
  assert.deepEqual(planted('sinks/mlflow/sink.ts', "import { post } from '../http.ts'"), [])
})

test('no file is longer than 400 lines; those above 250 are named', (context) => {
  const sizes = sourceFiles().map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
  for (const { path, lines } of sizes)
    if (lines > NOTICE_LINES) context.diagnostic(`${lines} lines: src/${path}`)
  assert.deepEqual(
    sizes.filter(({ lines }) => lines > MAX_LINES).map(({ path, lines }) => `src/${path}: ${lines}`),
    [],
  )
})

test('files are named by what they hold, in kebab-case', () => {
  const paths = sourceFiles().map(({ path }) => path)
  assert.deepEqual(
    paths.filter((path) => EMPTY_WORDS.test(path) || !/^[a-z0-9/-]+\.ts$/.test(path)),
    [],
  )
  for (const bad of [
    'core/utils.ts',
    'run/run-helper.ts',
    'sinks/base-sink.ts',
    'ring/lane-manager.ts',
    'common/x.ts',
  ])
    assert.match(bad, EMPTY_WORDS)
})

test('nothing is left to do', () => {
  const found = sourceFiles().flatMap(({ path, text }) =>
    text
      .split('\n')
      .map((line, index) => `src/${path}:${index + 1}: ${line.trim()}`)
      .filter((line) => /\b(?:TODO|FIXME|XXX|HACK)\b/.test(line)),
  )
  assert.deepEqual(found, [])
})
