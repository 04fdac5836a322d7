import { type Command, UsageError, wholeNumber, words } from '../command.ts'
import { DEMO_STEPS, runDemo } from './demo.ts'

export const demoCommand: Command = {
  name: 'demo',
  outlivesReader: true,
  summary: 'train a small network on real data, log every step, show the cost and the sums',
  usage: 'demo [--backend local,tensorboard,mlflow,wandb] [--steps N] [--mlflow-uri URI] [--keep-server]',
  options: {
    backend: {
      type: 'string',
      multiple: true,
      doc: 'where the run lands (default: local,tensorboard)',
    },
    steps: { type: 'string', doc: `training steps (default: ${DEMO_STEPS})` },
    'mlflow-uri': {
      type: 'string',
      doc: 'an MLflow server; without it (and MLFLOW_TRACKING_URI) a real one from PyPI is started',
    },
    'keep-server': { type: 'boolean', doc: 'leave that server running when the demo ends' },
  },
  async run(values) {
    const backends = values.backend === undefined ? undefined : words(values.backend as string[])
    if (backends?.length === 0) throw new UsageError('--backend names no backend')
    return runDemo({
      backends,
      steps: wholeNumber((values.steps as string | undefined) ?? String(DEMO_STEPS), 'steps', 1, 1_000_000),
      mlflowUri: values['mlflow-uri'] as string | undefined,
      keepServer: values['keep-server'] === true,
    })
  },
}
