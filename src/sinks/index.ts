/** The list of backends. A new one is its folder and one line here. */
import { ERROR_CODES, TraceletError } from '../core/errors.ts'
import { nearest } from '../core/options.ts'
import { aim } from './aim/sink.ts'
import type { SinkDefinition } from './contract.ts'
import { local } from './local/sink.ts'
import { mlflow } from './mlflow/sink.ts'
import { tensorboard } from './tensorboard/sink.ts'
import { wandbOffline } from './wandb/offline/sink.ts'
import { wandb } from './wandb/sink.ts'

export const SINKS: readonly SinkDefinition[] = [
  local, //
  tensorboard,
  mlflow,
  wandb,
  wandbOffline,
  aim,
]

/** @throws TraceletError ERR_BACKEND_UNKNOWN, with a suggestion */
export function findSink(kind: string): SinkDefinition {
  const found = SINKS.find((sink) => sink.kind === kind)
  if (found) return found
  const near = nearest(
    kind,
    SINKS.map((sink) => sink.kind),
  )
  throw new TraceletError(
    'ERR_BACKEND_UNKNOWN',
    `${ERROR_CODES.ERR_BACKEND_UNKNOWN}: '${kind}'${near ? `; did you mean '${near}'?` : ''}`,
  )
}
