/** Runs to look at, made as users make them. */
import { type StartOptions, startLogging } from '../../src/index.ts'

export const HOSTILE_NAME = '\x1b[31mevil\x1b[0m \u202ename'
export const WIDE_NAME = '学習率テスト'

/** A finished run of 50 steps: `loss` falls, `acc` rises, `hole` is NaN at times. */
export async function finishedRun(dir: string, runId: string, options: StartOptions = {}): Promise<string> {
  const run = startLogging({ dir, runId, backend: 'local', ...options })
  for (let step = 0; step < 50; step++) {
    run.log({ loss: 1 / (step + 1), acc: step / 50, hole: step % 2 ? step : Number.NaN }, { step })
  }
  await run.finish()
  return run.info.folder
}
