/** A run at W&B with an artifact and a registered model, that ends when it is killed, or else by itself. */
import { startLogging } from '../../src/index.ts'

export interface WandbUploadOrders {
  readonly dir: string
  readonly baseUrl: string
  readonly runId: string
  /** Folders. */
  readonly artifact: string
  readonly model: string
}

const { dir, baseUrl, runId, artifact, model } = JSON.parse(process.argv[2]!) as WandbUploadOrders
const run = startLogging({ dir, runId, project: 'ours', backend: { wandb: { baseUrl, intervalMs: 0 } } })
run.log({ loss: 0.5 }, { step: 1, time: 1000 })
await run.logArtifact(artifact, { name: `data-${runId}`, type: 'dataset' })
await run.logModel(model, { name: `net-${runId}`, register: runId, alias: 'champion' })
await run.finish()
