/** Delivers the rest of a run as `tracelet sync` does, in a process that may be killed. argv: the run's folder. */
import { writeSync } from 'node:fs'
import { syncRun } from '../../src/pipeline/delivery/sync-run.ts'

writeSync(1, 'syncing\n')
await syncRun(process.argv[2]!, { deadlineMs: 60_000, environment: process.env })
