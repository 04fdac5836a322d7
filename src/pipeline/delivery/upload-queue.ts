/**
 * Records on their way, in the order of the journal. There is one, unless the backend answers to one of them with
 * a fault again and again: that one is set aside, later ones go first, and it comes again in its time.
 *
 *  Q1  The books move with the first: what later ones have settled counts when all before it is settled too. Until
 *      then it is pending, and after a crash it comes again.
 *  Q2  The state in the cursor is the first one's.
 *  Q3  What would be written over the same thing at the backend keeps its order.
 */
import { isPlaced } from '../../core/records.ts'
import type { RunRecord, SinkState } from '../../core/types.ts'
import type { SettledSums } from './item.ts'
import type { Ledger } from './ledger.ts'
import type { UploadJob } from './upload-job.ts'

/** How many may be in the queue: more that fail are no fault of each of them. */
const MAX_QUEUED = 16

interface Queued {
  readonly job: UploadJob
  /** How many of the sequence numbers below it are points. */
  readonly points: number
  /** What lies between the one before and it, and is not ours. */
  readonly passed: number
  sums: Partial<SettledSums> | undefined
  /** Monotonic ms before which others go first. */
  asideUntil: number
}

export class UploadQueue {
  readonly #ledger: Ledger
  readonly #queued: Queued[] = []
  /** Behind the last one. */
  #passed = 0

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  get isEmpty(): boolean {
    return this.#queued.length === 0
  }

  /** Whether one more can be taken in beside one that is set aside. */
  get hasRoom(): boolean {
    return this.#queued.length < MAX_QUEUED
  }

  /** The one that the cursor stands before. */
  get first(): Pick<Queued, 'job' | 'points'> | undefined {
    return this.#queued[0]
  }

  /** Points and records were read that others settle. */
  pass(count: number): void {
    if (this.isEmpty) this.#ledger.add({ elsewhere: count })
    else this.#passed += count
  }

  push(job: UploadJob, points: number): void {
    this.#queued.push({ job, points, passed: this.#passed, sums: undefined, asideUntil: 0 })
    this.#passed = 0
    if (this.#queued.length === 1) this.#keepState(job.state)
  }

  /**
   * The first that may be sent now.
   * @param but another than this one
   */
  due(now: number, but?: UploadJob): UploadJob | undefined {
    const open = this.#queued.filter(({ sums }) => sums === undefined)
    return open.find(
      ({ job, asideUntil }, at) =>
        job !== but &&
        asideUntil <= now &&
        !open.slice(0, at).some((earlier) => mustFollow(earlier.job.record, job.record)),
    )?.job
  }

  /** The first that is not settled, set aside or not. */
  get any(): UploadJob | undefined {
    return this.#queued.find(({ sums }) => sums === undefined)?.job
  }

  /** When the next that was set aside comes again; Infinity when none is. */
  dueAt(now: number): number {
    const aside = this.#queued.filter(({ sums, asideUntil }) => sums === undefined && asideUntil > now)
    return Math.min(...aside.map(({ asideUntil }) => asideUntil))
  }

  setAside(job: UploadJob, until: number): void {
    const queued = this.#queued.find((one) => one.job === job)
    if (queued !== undefined) queued.asideUntil = until
  }

  setState(job: UploadJob, state: SinkState): void {
    job.state = state
    if (this.#queued[0]?.job === job) this.#ledger.setState(state)
  }

  /** It is settled, and with it all that were waiting for it. */
  settle(job: UploadJob, sums: Partial<SettledSums>): void {
    this.#queued.find((one) => one.job === job)!.sums = sums
    for (let first = this.#queued[0]; first?.sums !== undefined; first = this.#queued[0]) {
      this.#queued.shift()
      this.#ledger.add(first.sums)
      const elsewhere = this.#queued[0]?.passed ?? this.#passed
      if (this.isEmpty) this.#passed = 0
      if (elsewhere > 0) this.#ledger.add({ elsewhere })
      this.#keepState(this.#queued[0]?.job.state)
    }
  }

  #keepState(state: SinkState): void {
    if (state !== this.#ledger.state) this.#ledger.setState(state)
  }
}

function mustFollow(earlier: RunRecord, later: RunRecord): boolean {
  if (!('name' in earlier && 'name' in later)) return true
  if (isPlaced(earlier) && isPlaced(later)) return earlier.name === later.name && earlier.step === later.step
  const top = (name: string) => name.split('/', 1)[0]
  if (top(earlier.name) === top(later.name)) return true
  return earlier.kind === 'model' && later.kind === 'model' && earlier.register === later.register
}
