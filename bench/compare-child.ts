/**
 * Asks one build one of its own questions: `fork(…, [its dist folder, question, size])` answers with its records by
 * message. Sizes: 0 is the question's quick mode, 1 its full one, between them everything is in proportion.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type * as Harness from './harness.ts'

const [dist, name, size] = process.argv.slice(2) as [string, string, string]
const share = Number(size)
// compiled modules of the other build: whatever this one runs as, they end in .js
const load = (module: string) => import(pathToFileURL(join(dist, 'bench', `${module}.js`)).href)

const { Bench } = (await load('harness')) as typeof Harness
const exported = Object.values((await load(name)) as Record<string, unknown>)
const question = exported.find((value) => (value as Harness.Question)?.name === name) as Harness.Question

class SizedBench extends Bench {
  override either(quick: number, full: number): number {
    const between = quick * (full / quick) ** share
    return Number.isInteger(quick) && Number.isInteger(full) ? Math.ceil(between) : between
  }
}

const bench = new SizedBench(share === 0)
try {
  await question.run(bench)
} finally {
  bench.removeFolders()
}
// threads of a bench wait for nothing: the end is ours
process.send!(bench.records, () => process.exit(0))
