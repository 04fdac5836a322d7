/**
 * `npm run bench [-- --quick] [--reports <folder>] [question…]`: answers the questions, or those named; `soak` only
 * by its name, `--minutes <n>` is how long it takes;
 * `npm run bench -- compare <commit> [<commit>]`: the first two of them, of two builds.
 */
import { parseArgs } from 'node:util'
import { aim } from './aim.ts'
import { compare } from './compare.ts'
import { durability } from './durability.ts'
import { answer, OUTCOME, type Question } from './harness.ts'
import { mlflow } from './mlflow.ts'
import { pipeline } from './pipeline.ts'
import { ringPush } from './ring-push.ts'
import { soak } from './soak.ts'
import { wandb } from './wandb.ts'

const QUESTIONS: readonly Question[] = [ringPush, pipeline, mlflow, wandb, aim, soak, durability]

const { values, positionals } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    // quick figures must not replace those of a full run
    reports: { type: 'string' },
    minutes: { type: 'string' },
  },
  allowPositionals: true,
})

const { quick } = values
const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
const reportsFolder = values.reports ?? (quick ? '.cache/bench' : 'reports')
if (positionals[0] === 'compare') process.exit(await compare(positionals.slice(1), { quick, reportsFolder }))

const names = QUESTIONS.map(({ name }) => name)
const unknown = positionals.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`unknown question ${unknown.join(', ')}; there are ${names.join(', ')}\n`)
  process.exit(OUTCOME.void)
}
let worst: number = OUTCOME.answered
for (const question of QUESTIONS) {
  if (positionals.length > 0 ? !positionals.includes(question.name) : question.onlyNamed) continue
  worst = Math.max(worst, await answer(question, { quick, reportsFolder, minutes }))
}
// runs of a bench leave threads behind that wait for nothing
process.exit(worst)
