/** A run with one of everything: the demo's training, shortened, with what else the API takes. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadDigits } from '../../src/cli/demo/data.ts'
import { describeDemo, logFindings, logLayers } from '../../src/cli/demo/log-findings.ts'
import { DEFAULT_TRAINING, train } from '../../src/cli/demo/train.ts'
import { type Stats, SummaryWriter, startLogging } from '../../src/index.ts'

export interface Logged {
  readonly runId: string
  readonly stats: Stats
}

const STEPS = 800
/** MLflow's server takes some thousand points a second. */
const FINISH_DEADLINE_MS = 120_000

/**
 * @param folder empty; event files stand in its `events`
 * @param mlflowUri of a running server
 */
export async function logEverything(folder: string, mlflowUri: string): Promise<Logged> {
  const training = { ...DEFAULT_TRAINING, steps: STEPS }
  const { steps, seed, hidden, learningRate } = training
  const run = startLogging({
    backend: { tensorboard: { logDir: join(folder, 'events') }, mlflow: { uri: mlflowUri } },
    dir: join(folder, 'runs'),
    project: 'screenshots',
    expName: 'digits',
    name: 'one of everything',
    finishDeadlineMs: FINISH_DEADLINE_MS,
    // few: the HParams table shows metrics to the right of them
    params: { hidden: hidden.join('-'), learningRate },
    tags: { task: 'classification', data: 'mnist' },
  })
  const data = loadDigits(seed)
  describeDemo(run, data)
  const trained = train(data, training, {
    row: (step, values) => run.log(values, { step }),
    layers: (step, layers) => logLayers(run, step, layers),
  })
  const writer = new SummaryWriter(run)
  writer.addHparams(
    { hidden: hidden.join('-'), learningRate },
    {
      'hparam/accuracy': trained.accuracy,
      'hparam/loss': trained.loss,
    },
  )
  await logFindings(run, data, trained, steps - 1)
  await run.logArtifact(writeNotes(folder), { name: 'notes', type: 'document' })
  return { runId: run.info.id, stats: await run.finish() }
}

function writeNotes(folder: string): string {
  const notes = join(folder, 'notes')
  mkdirSync(join(notes, 'more'), { recursive: true })
  writeFileSync(join(notes, 'readme.md'), '# Digits\n\nWhat was tried, and what came of it.\n')
  writeFileSync(join(notes, 'more', 'ideas.txt'), 'wider layers\nmore data\n')
  return notes
}
