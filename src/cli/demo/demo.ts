/**
 * `tracelet demo`: trains a small network on handwritten digits and logs every step, as a user's program would, then
 * shows what that cost and where every point went.
 */
import { dirname, join, resolve } from 'node:path'
import type { Run, Stats } from '../../index.ts'
import { startLogging } from '../../index.ts'
import { RUN_OPTIONS } from '../../run/options.ts'
import { EXIT } from '../command.ts'
import { DeliveryProgress } from '../delivery-progress.ts'
import { Ending, exitPrinted } from '../ending.ts'
import { ProgressBar } from '../progress.ts'
import { formatReport, isDelivered, lawHolds } from '../report.ts'
import { StatusLine } from '../status-line.ts'
import { CallTimer } from './call-timer.ts'
import { loadDigits } from './data.ts'
import { describeDemo, logFindings, logLayers } from './log-findings.ts'
import { type DemoServer, startDemoServer } from './mlflow-server.ts'
import { DEFAULT_TRAINING, train } from './train.ts'

export interface DemoOptions {
  /** Words of backends; undefined: the embedded default. */
  readonly backends: readonly string[] | undefined
  readonly steps: number
  /** A server that is there already; without it and `MLFLOW_TRACKING_URI`, one is started for `mlflow`. */
  readonly mlflowUri: string | undefined
  readonly keepServer: boolean
}
export const DEMO_STEPS = DEFAULT_TRAINING.steps

/** Time for MLflow to take what the loop has logged: its server is slower than the loop. */
const FINISH_DEADLINE_MS = 120_000

/** @returns the exit code: whether the sums hold and everything was delivered, or a signal's */
export async function runDemo(options: DemoOptions): Promise<number> {
  const root = resolve(process.env.TRACELET_DIR || RUN_OPTIONS.dir.default)
  const status = new StatusLine()
  let server: DemoServer | undefined
  try {
    if (needsServer(options)) {
      server = await startDemoServer(join(root, '.cache'), options.keepServer, (text) => status.show(text))
      status.clear()
      print(`MLflow: ${server.uri}`)
    }
    const { run, stats, timer, accuracy, signalCode } = await trainAndLog(
      options,
      server?.uri ?? options.mlflowUri,
      status,
    )
    print(`\nreads ${(accuracy * 100).toFixed(1)} % of the digits it has not seen\n`)
    const places = placesOf(run, stats, root, options, server)
    print(formatReport({ runId: run.id, stats, cost: timer.cost(), places }))
    if (signalCode !== undefined) {
      if (!options.keepServer) await server?.stop()
      return exitPrinted(signalCode)
    }
    return lawHolds(stats) && Object.values(stats.destinations).every(isDelivered) ? EXIT.ok : EXIT.failed
  } finally {
    if (server && !options.keepServer) {
      status.show('stopping MLflow')
      await server.stop()
    }
    status.clear()
  }
}

async function trainAndLog(options: DemoOptions, uri: string | undefined, status: StatusLine) {
  status.show('loading 10,000 handwritten digits')
  const training = { ...DEFAULT_TRAINING, steps: options.steps }
  const data = loadDigits(training.seed)
  status.clear()
  const { steps, seed, batchSize, hidden, learningRate, momentum } = training
  const run = startLogging({
    ...(options.backends && { backend: backendOf(options.backends, uri) }),
    project: 'demo',
    expName: 'digits',
    finishDeadlineMs: FINISH_DEADLINE_MS,
    // told at the end, with what else there is to look at
    quiet: true,
    params: { steps, seed, batchSize, hidden: hidden.join('-'), learningRate, momentum },
    tags: ['demo'],
  })
  describeDemo(run, data)
  const timer = new CallTimer(steps * 2)
  const bar = new ProgressBar('training', steps, 'steps')
  const trained = timer.loop(() =>
    train(data, training, {
      row: (step, values) => timer.call(() => run.log(values, { step })),
      layers: (step, layers) => logLayers(run, step, layers),
      progress: (step) => bar.update(step),
    }),
  )
  bar.clear()
  await logFindings(run, data, trained, steps - 1)
  return { run, timer, accuracy: trained.accuracy, ...(await finish(run)) }
}

/**
 * Ends the run, showing what is still on its way. Only here a signal is listened for: the training is one synchronous
 * loop, which ends at once by itself.
 */
async function finish(
  run: Run,
): Promise<{ readonly stats: Stats; readonly signalCode?: number | undefined }> {
  const ending = new Ending('what is not delivered stays in the journal')
  const progress = new DeliveryProgress(process.stdout)
  progress.start(() => run.stats().destinations)
  try {
    const stats = await ending.within(run.finish(), 0)
    return stats ? { stats } : { stats: run.stats(), signalCode: ending.exitCode }
  } finally {
    progress.stop()
    ending.stop()
  }
}

function needsServer({ backends, mlflowUri }: DemoOptions): boolean {
  return !mlflowUri && !process.env.MLFLOW_TRACKING_URI && (backends ?? []).some(isMlflow)
}

function isMlflow(backend: string): boolean {
  return backend.split(':', 1)[0] === 'mlflow'
}

function backendOf(backends: readonly string[], uri: string | undefined) {
  return Object.fromEntries(
    backends.map((backend) => [backend, isMlflow(backend) && uri !== undefined ? { uri } : {}]),
  )
}

function placesOf(
  run: Run,
  stats: Stats,
  root: string,
  { keepServer }: DemoOptions,
  server: DemoServer | undefined,
) {
  return Object.entries(stats.destinations).flatMap(([name, { url }]) => {
    const kind = name.split(':', 1)[0]
    if (kind === 'local') return [{ name, look: run.info.folder }]
    if (kind === 'tensorboard') {
      const logDir = url === run.info.folder ? root : dirname(url)
      return [{ name, look: `tensorboard --logdir ${logDir}` }]
    }
    if (!isMlflow(name) || !server) return [{ name, look: url }]
    if (keepServer) return [{ name, look: `${url} (the server stays; process ${server.pid})` }]
    return [
      { name, look: `${url}, once its server runs again:` },
      { name: '', look: server.command },
    ]
  })
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
