/**
 * Delivers the rest of a run as `tracelet sync` does, in a process that may be killed. argv: the run's folder. A run
 * that another process writes is left alone.
 */
import { writeSync } from 'node:fs'
import { TraceletError } from '../../src/core/errors.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'

writeSync(1, 'syncing\n')
try {
  await syncRun(process.argv[2]!, { deadlineMs: 60_000, environment: process.env })
} catch (error) {
  if (!(error instanceof TraceletError && error.code === 'ERR_RUN_BUSY')) throw error
}
