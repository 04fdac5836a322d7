/**
 * The ends of a process: natural end, `process.exit`, uncaught error. No handler of ours changes what the program
 * means: no uncaughtException listener, and no signal listener unless asked for, since one on a synchronous loop
 * would turn Ctrl-C from 3 ms into seconds.
 */
import { Run } from './run.ts'

/** Longest wait for the journal when the process ends; it takes milliseconds unless the disk hangs. */
const EXIT_FLUSH_MS = 5000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

let isWatching = false
let hasSignals = false

export function watchProcessEnd(runs: ReadonlySet<Run>, signals: boolean): void {
  if (!isWatching) {
    isWatching = true
    // natural end: the event loop is empty but alive, so backends can still be served up to the deadline
    process.on('beforeExit', () => {
      for (const run of runs) void run.finish(process.exitCode ? 'failed' : 'finished')
    })
    process.on('exit', (code) => {
      Run.endAllSync(runs, code === 0 ? 'finished' : 'failed', EXIT_FLUSH_MS)
    })
  }
  if (signals && !hasSignals) {
    hasSignals = true
    for (const signal of SIGNALS) {
      process.once(signal, () => {
        Run.endAllSync(runs, 'killed', EXIT_FLUSH_MS)
        process.kill(process.pid, signal)
      })
    }
  }
}
