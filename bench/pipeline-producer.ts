/** A second producer: another thread that logs to the same run. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { attachRun, type RunHandle } from '../src/index.ts'
import { flood, type Shape } from './producers.ts'

export interface ProducerTask {
  readonly handle: RunHandle
  readonly shape: Shape
  readonly prefix: string
  readonly seconds: number
  /** Set to 1 when all are to begin. */
  readonly start: Int32Array
}

if (!isMainThread) {
  const { handle, shape, prefix, seconds, start } = workerData as ProducerTask
  const run = attachRun(handle)
  parentPort!.postMessage('ready')
  Atomics.wait(start, 0, 0)
  const flooded = flood(run, shape, prefix, seconds)
  await run.flush()
  parentPort!.postMessage(flooded)
}
