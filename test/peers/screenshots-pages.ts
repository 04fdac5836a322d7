/** The pages that are looked at, and what of the run must stand on each. */
import type { Expected } from './screenshots-page.ts'

export interface Shown extends Expected {
  /** Of the picture, without its ending. */
  readonly name: string
  readonly url: string
  readonly caption: string
}

/** Where the run stands in MLflow. */
export interface MlflowPlace {
  readonly uri: string
  readonly experimentId: string
  readonly runId: string
  readonly modelId: string
}

export function tensorboardPages(uri: string): readonly Shown[] {
  const page = (plugin: string, filter = '') =>
    `${uri}/#${plugin}${filter === '' ? '' : `&tagFilter=${encodeURIComponent(filter)}`}`
  return [
    {
      name: 'tensorboard-scalars',
      url: page('scalars', '^(train|validation)/'),
      caption: 'Every step’s loss and accuracy, and those of each validation.',
      texts: ['train/accuracy', 'train/loss', 'validation/accuracy', 'validation/loss'],
      things: [['tf-scalar-card', 'vz-line-chart2', 'path']],
    },
    {
      name: 'tensorboard-histograms',
      url: page('histograms', 'weights'),
      caption: 'The weights of each layer at each validation.',
      texts: ['layer0/weights', 'layer1/weights'],
      things: [['vz-histogram-timeseries', 'path']],
    },
    {
      name: 'tensorboard-images',
      url: page('images', 'validation'),
      caption: 'The confusion matrix, and the digits the network is surest of while wrong.',
      texts: ['validation/confusion', 'validation/worst'],
      things: [['tf-image-loader', 'img']],
    },
    {
      name: 'tensorboard-pr-curves',
      url: page('pr_curves'),
      caption: 'Precision and recall of one digit against the rest.',
      texts: ['validation/is_8'],
      things: [['tf-pr-curve-card', 'vz-line-chart2', 'path']],
    },
    {
      name: 'tensorboard-hparams',
      url: page('hparams'),
      caption: 'The run’s parameters, and the metrics given to `SummaryWriter.addHparams`.',
      texts: ['learningRate', '0.050000', '48-32', 'hparam/accuracy'],
      things: [['tf-hparams-sessions-pane']],
    },
    {
      name: 'tensorboard-text',
      url: page('text', 'validation'),
      caption: 'A text, and a table as Markdown.',
      texts: ['validation/summary', 'digits are read right', 'validation/worst', 'read as', 'confidence'],
      things: [['tf-text-loader', 'table']],
    },
  ]
}

export function mlflowPages({ uri, experimentId, runId, modelId }: MlflowPlace): readonly Shown[] {
  const run = `${uri}/#/experiments/${experimentId}/runs/${runId}`
  return [
    {
      name: 'mlflow-run',
      url: run,
      caption: 'The run: notes, metrics, parameters, tags, datasets, model.',
      texts: [
        'one of everything',
        'learns to read handwritten digits',
        'train/loss',
        'learningRate',
        'Finished',
        'mnist-training',
        'tracelet-demo-digits',
      ],
      things: [['[role="table"]']],
    },
    {
      name: 'mlflow-images',
      url: `${run}/model-metrics`,
      caption: 'Images by step, beside the charts.',
      search: { into: 'input[placeholder="Search metric charts"]', text: 'validation/' },
      texts: ['validation/confusion', 'validation/worst', 'one of everything'],
      things: [['img[src*="artifact"]']],
    },
    {
      name: 'mlflow-artifacts',
      url: `${run}/artifacts/tables/validation/worst.json`,
      caption: 'Artifacts, and a table as MLflow reads it.',
      texts: ['figures', 'histograms', 'images', 'worst.json', 'confidence'],
      things: [['table, [role="table"]']],
    },
    {
      name: 'mlflow-model',
      url: `${uri}/#/experiments/${experimentId}/models/${modelId}`,
      caption: 'The logged model, its source run and its registered version.',
      texts: ['digits', 'Ready', 'one of everything', 'tracelet-demo-digits'],
      things: [],
    },
  ]
}

/** Keeps the assistant's panel, which opens by itself, from covering a quarter of each page. */
export const MLFLOW_SETTINGS = {
  'mlflow.assistant.fab.autoOpenedOnFirstLoad_v1': 'true',
  'mlflow.assistant.panelOpen_v1': 'false',
}
