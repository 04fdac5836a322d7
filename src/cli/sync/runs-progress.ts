/** The foot of the terminal while many runs are synced: how many have ended, and what has been sent by all. */
import type { RunId } from '../../core/types.ts'
import { isSynced, type SyncOutcome } from '../../pipeline/delivery/sync-outcome.ts'
import type { ReadDestinations } from '../../pipeline/delivery/sync-runs.ts'
import { ProgressBar, type ProgressOutput } from '../progress.ts'
import { count } from '../text.ts'

const LOOK_MS = 250

export class RunsProgress {
  readonly #bar: ProgressBar
  readonly #timer: NodeJS.Timeout | undefined
  readonly #total: number
  /** Of the runs that are open: what reads their sums, and what had been delivered when they were opened. */
  readonly #open = new Map<RunId, { readonly read: ReadDestinations; readonly before: number }>()
  #ended = 0
  #sent = 0

  constructor(total: number, output: ProgressOutput) {
    this.#total = total
    this.#bar = new ProgressBar('syncing', total, 'runs', output)
    if (output.isTTY) this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  start(run: RunId, read: ReadDestinations): void {
    this.#open.set(run, { read, before: deliveredBy(read) })
  }

  end(outcome: SyncOutcome): void {
    this.#ended++
    this.#bar.clear()
    if (!isSynced(outcome)) return
    this.#open.delete(outcome.run)
    for (const { sent } of Object.values(outcome.destinations)) this.#sent += sent.points + sent.records
  }

  /** Takes the line away until the next look. */
  clear(): void {
    this.#bar.clear()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.clear()
  }

  #look(): void {
    let sent = this.#sent
    for (const { read, before } of this.#open.values()) sent += deliveredBy(read) - before
    this.#bar.update(this.#ended, this.#total, `${count(sent)} new`)
  }
}

function deliveredBy(read: ReadDestinations): number {
  return Object.values(read()).reduce((sum, { delivered, records }) => sum + delivered + records.delivered, 0)
}
