/** A run with an artifact and a registered model, that ends when it is killed, or else by itself. */
import { startLogging } from '../../src/index.ts'

export interface UploadOrders {
  readonly dir: string
  readonly uri: string
  readonly runId: string
  readonly expName: string
  /** A file and a folder. */
  readonly artifact: string
  readonly model: string
}

const orders = JSON.parse(process.argv[2]!) as UploadOrders
const { dir, uri, runId, expName } = orders
const run = startLogging({ dir, runId, expName, backend: { mlflow: { uri } } })
run.log({ loss: 0.5 }, { step: 1, time: 1000 })
await run.logArtifact(orders.artifact, { name: 'data' })
await run.logModel(orders.model, { name: 'net', register: runId, alias: 'champion' })
await run.finish()
