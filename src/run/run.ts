/** A run as its owner sees it: the thread that called `startLogging`. */

import { monotonicNow } from '../core/clock.ts'
import { createCounters, stopRequestReader } from '../core/counters.ts'
import type { ErrorRecord } from '../core/errors.ts'
import { shellWord, syncCommandFor } from '../core/shell.ts'
import type { RunId, RunInfo, RunOutcome, Stats } from '../core/types.ts'
import type { DestinationNews } from '../pipeline/destination-stats.ts'
import type { FromDrain, RunOrder } from '../pipeline/messages.ts'
import { say } from '../pipeline/say.ts'
import type { Addresses } from './addresses.ts'
import type { RunCompanion } from './companions.ts'
import { type FinishOptions, type FlushOptions, flushTimeoutMs, resolveEnd } from './end.ts'
import type { Engine } from './engine.ts'
import type { RunHandle } from './handle.ts'
import type { Issues } from './issues.ts'
import { RunLogger } from './logger.ts'
import { MediaLog } from './media/media-log.ts'
import { Parked } from './parked.ts'
import { RunProducer } from './producer.ts'
import { readStats } from './stats.ts'
import type { StopRequests } from './stop-requests.ts'

/** Above the deadline of finish(): for the last cursors and the answers of the threads. */
const FINISH_GRACE_MS = 500
/** What was logged just before the end gets this long to be kept, whatever the deadline for the backends. */
const PARKED_MIN_MS = 1000
/** Room in the lane for the records that end a run. */
const FINISH_SLOTS = 64

/** What `startLogging` knows of a run beside its order. */
export interface RunPlan {
  readonly finishDeadlineMs: number
  readonly issues: Issues
  /** Undefined where nothing is said of them. */
  readonly addresses: Addresses | undefined
  readonly stopRequests: StopRequests
  /** Names of the destinations that nothing is sent to before `tracelet sync`. */
  readonly offline: readonly string[]
  /** What stands beside some of them, and is written meanwhile. */
  readonly companions: readonly RunCompanion[]
  /** Wall ms of this start; the run's own is that of its first. */
  readonly startedAt: number
  /** Of steps that are not given. */
  readonly firstStep: number
  readonly onFinished: () => void
}

export class Run extends RunLogger implements AsyncDisposable {
  readonly info: RunInfo
  readonly #engine: Engine
  readonly #order: RunOrder
  readonly #plan: RunPlan
  readonly #news = new Map<string, DestinationNews>()
  #finishing: Promise<Stats> | undefined
  #answered!: () => void
  readonly #allAnswered: Promise<void>
  #lateReported = false
  readonly #parked: Parked
  readonly #offline: Set<string>
  #isStateTold = false
  readonly #isStopRequested: () => boolean

  /** @internal made by `startLogging` */
  constructor(
    engine: Engine,
    order: Omit<RunOrder, 'counters' | 'number'> & { readonly number: number },
    plan: RunPlan,
  ) {
    const counters = createCounters(order.destinations.length)
    const report = (issue: ErrorRecord, key?: string) => plan.issues.report(issue, key)
    const { writer, takeSeries } = engine.lane
    const { firstStep, startedAt } = plan
    const producer = new RunProducer(writer, order.number, counters, takeSeries, report, firstStep)
    const { number, durability } = order
    const home = { number, folder: order.run.folder, durability, counters }
    engine.parking.reserve(home)
    super(producer, report, new MediaLog(producer, home, engine.parking, report))
    this.info = order.run
    this.#engine = engine
    this.#order = { ...order, counters }
    this.#plan = plan
    this.#parked = new Parked(counters)
    this.#offline = new Set(plan.offline)
    this.#isStopRequested = stopRequestReader(counters)
    for (const { name } of order.destinations) this.#news.set(name, { url: '', reason: '' })
    this.#allAnswered = new Promise((resolve) => {
      this.#answered = resolve
    })
    engine.onceGone(producer, number)
    engine.open({
      order: this.#order,
      issues: plan.issues,
      onMessage: (message) => this.#receive(message),
    })
    this.record({ kind: 'state', state: 'running', time: startedAt })
  }

  get id(): RunId {
    return this.info.id
  }
  /** @internal of steps that are not given */
  get firstStep(): number {
    return this.#plan.firstStep
  }
  get isFinished(): boolean {
    return this.#finishing !== undefined
  }
  /**
   * Somebody asked at a backend that the run be stopped, such as by the button in its UI: nothing is stopped by
   * tracelet. True within a second or so of the backend's word, also in a loop that never awaits.
   */
  get stopRequested(): boolean {
    return this.#isStopRequested()
  }

  /** For another thread: `attachRun(handle)` there logs to this run. Plain data; send it by workerData or postMessage. */
  handle(): RunHandle {
    return {
      tracelet: 1,
      id: this.id,
      number: this.#order.number,
      control: this.#engine.host.control,
      channel: this.#engine.host.channel,
      counters: this.#order.counters,
      folder: this.info.folder,
      durability: this.#order.durability,
      firstStep: this.#plan.firstStep,
      ...this.#engine.laneOptions,
    }
  }

  /** Sums so far. Reads shared memory only. */
  stats(): Stats {
    const { stalls, stalledMs } = this.#engine.lane.writer
    const names = this.#order.destinations.map(({ name }) => name)
    return readStats(this.#order.counters, names, this.#news, { count: stalls, totalMs: stalledMs })
  }

  /**
   * Everything logged so far by this thread, and everything other threads have published, is in the journal when
   * this resolves (with `durability: 'power'`: on the disk). Rows so far are complete. Waits for no backend.
   * @throws never; when the time is up, `stats().inRing` tells what is still on its way
   */
  async flush(options: FlushOptions = {}): Promise<Stats> {
    this.mark()
    const deadlineAt = monotonicNow() + flushTimeoutMs(options, (issue) => this.#plan.issues.report(issue))
    await this.#engine.keepAlive(async () => {
      if (this.#parked.any) {
        await this.#engine.parking.untilEmpty(deadlineAt)
        await this.#parked.untilTaken(deadlineAt)
      }
      await this.#engine.flush(deadlineAt - monotonicNow())
    })
    return this.stats()
  }

  /**
   * Ends the run: journals everything, delivers until the deadline, closes the backends. What is pending then
   * stays in the journal, and the command that sends it is printed. Calling it again gives the same answer.
   * @param outcome default 'finished'; what is none of the three is reported as ERR_OPTION, and the run is 'finished'
   */
  finish(outcome: RunOutcome = 'finished', options: FinishOptions = {}): Promise<Stats> {
    this.#finishing ??= this.#engine.keepAlive(() => {
      const { finishDeadlineMs, issues } = this.#plan
      const end = resolveEnd(outcome, options, finishDeadlineMs, (issue) => issues.report(issue))
      return this.#finish(end.outcome, end.deadlineMs)
    })
    return this.#finishing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.finish()
  }

  /**
   * The end of the process, without an event loop, of all runs of a thread: journals everything and waits for that,
   * not for backends. Many runs wait together: one after the other, a thousand would take seconds.
   * @internal
   */
  static endAllSync(runs: Iterable<Run>, outcome: RunOutcome, timeoutMs: number): void {
    const deadlineAt = monotonicNow() + timeoutMs
    // disabled ones have nothing to end
    const all = [...runs].filter((run) => #engine in run)
    const engines = new Set(all.map((run) => run.#engine))
    const flush = () => {
      // what is parked may have taken all the time, and the end must be said nevertheless
      for (const engine of engines) engine.flushSync(Math.max(FINISH_GRACE_MS, deadlineAt - monotonicNow()))
    }
    const parking = all.filter((run) => run.#parked.any)
    for (const run of parking) {
      run.#parked.endSync(deadlineAt)
      run.#tellUnkept()
    }
    // in other lanes: what they hold must not come behind the state
    if (parking.length > 0) flush()
    for (const run of all) {
      if (!run.producer.lane.hasRoomFor(FINISH_SLOTS)) flush()
      run.#tellState(outcome)
      run.mark()
    }
    flush()
    for (const run of all) run.#tellPending(run.stats())
  }

  async #finish(outcome: RunOutcome, deadlineMs: number): Promise<Stats> {
    const deadlineAt = monotonicNow() + deadlineMs
    if (!this.#parked.any) this.#parked.close()
    else {
      await this.#parked.end(Math.max(deadlineAt, monotonicNow() + PARKED_MIN_MS))
      this.#tellUnkept()
      // in another lane: what it holds must not come behind the state
      await this.#engine.flush(Math.max(FINISH_GRACE_MS, deadlineAt - monotonicNow()))
    }
    // a lane that refuses points must not refuse the end
    while (!this.producer.lane.hasRoomFor(FINISH_SLOTS) && monotonicNow() < deadlineAt + FINISH_GRACE_MS) {
      await this.#engine.flush(FINISH_GRACE_MS)
    }
    this.#tellState(outcome)
    this.mark()
    this.producer.finish(deadlineAt)
    await this.#untilAnswered(deadlineAt)
    this.#explainPending()
    const stats = this.stats()
    this.#tellPending(stats)
    this.#plan.issues.leave(this.id, this.#news.keys())
    this.#plan.addresses?.leave(this.id)
    this.#engine.forget(this.#order.number)
    this.#plan.onFinished()
    return stats
  }

  /** Once: the process may end while finish() waits. */
  #tellState(outcome: RunOutcome): void {
    if (this.#isStateTold) return
    this.#isStateTold = true
    this.record({ kind: 'state', state: outcome, time: Date.now() })
  }

  /** What is not kept by now is lost; the parking threads that live have said so themselves. */
  #tellUnkept(): void {
    this.#engine.parking.collect()
    const left = this.#parked.countLeft(this.producer.counts)
    if (left === 0) return
    const message = `run ${this.id}: ${left} images, tables, texts or artifacts were not kept in time and are lost`
    this.#plan.issues.report({ code: 'ERR_DEADLINE', message, severity: 'error' }, `${this.id} parked`)
  }

  /** On a machine that is busy their own word for it may come later than this. */
  #explainPending(): void {
    for (const [name, { pending, records }] of Object.entries(this.stats().destinations))
      if (pending + records.pending > 0) this.#hear(name).reason ||= 'the deadline passed'
  }

  async #untilAnswered(deadlineAt: number): Promise<void> {
    const { host } = this.#engine
    let restarts = host.restarts
    let answered = false
    let timer: NodeJS.Timeout | undefined
    const tick = new Promise<void>((resolve) => {
      timer = setInterval(() => {
        host.watch()
        if (host.restarts !== restarts) {
          restarts = host.restarts
          // the drain thread that met it may have died before every destination was closed
          this.producer.finish(deadlineAt)
        }
        if (answered || monotonicNow() >= deadlineAt + FINISH_GRACE_MS) resolve()
      }, 50)
    })
    await Promise.race([this.#allAnswered, tick])
    answered = true
    clearInterval(timer)
  }

  #tellPending(stats: Stats): void {
    const { issues } = this.#plan
    const offline = this.#offline
    const { folder } = this.info
    if (offline.size > 0) {
      const ways = [syncCommandFor(folder), ...this.#otherWays(stats)]
      say(
        `run ${this.id}: offline: nothing was sent to ${[...offline].join(', ')}; send with: ${ways.join('  or: ')}`,
      )
    }
    const pending = Object.entries(stats.destinations).filter(
      ([name, { pending, records }]) => !offline.has(name) && pending + records.pending > 0,
    )
    if (pending.length === 0) return
    const list = pending.map(([name, { pending, records, reason }]) => {
      const what =
        records.pending > 0 ? `${pending} points and ${records.pending} records` : `${pending} points`
      return `${what} for ${name}${reason === '' ? '' : ` (${reason})`}`
    })
    issues.pending(this.id, folder, list.join(', '))
  }

  /** Commands of others that send what was written beside an offline destination; they say where it is, too. */
  #otherWays({ destinations }: Stats): string[] {
    const { addresses, companions } = this.#plan
    if (addresses === undefined) return []
    return companions.flatMap(({ spec: { name }, command }) => {
      const { url = '', pending = 0, records } = destinations[name] ?? {}
      const isWhole = url !== '' && pending === 0 && records?.pending === 0
      return command !== undefined && isWhole ? [`${command} ${shellWord(url)}`] : []
    })
  }

  #receive(message: FromDrain): void {
    if (message.type === 'finished') this.#answered()
    else if (message.type === 'offline') this.#offline.add(message.destination)
    else if (message.type === 'stop requested') {
      // of a run that is being finished it is granted
      if (!this.isFinished) this.#plan.stopRequests.hear(this.id, message.destination)
    } else if (message.type === 'url') {
      this.#hear(message.destination).url = message.url
      this.#plan.addresses?.hear(this.id, message.destination, message.url)
    } else if (message.type === 'drain-issue') {
      const { issue } = message
      this.#plan.issues.report(issue, `${this.id} ${issue.severity ?? ''}${issue.code}`)
    } else if (message.type === 'issue') this.#hearIssue(message)
    else if (message.type === 'closed' && !message.complete)
      this.#hear(message.destination).reason ||= message.reason
    if (!this.#lateReported && this.isFinished && this.stats().late > 0) {
      this.#lateReported = true
      const message = `run ${this.id}: points came after finish(); they are journaled and go out with: ${syncCommandFor(this.info.folder)}`
      this.#plan.issues.report({ code: 'ERR_RUN_FINISHED', message }, `${this.id} late`)
    }
  }

  #hearIssue(message: Extract<FromDrain, { type: 'issue' }>): void {
    const { destination, issue, severity } = message
    const { issues } = this.#plan
    if (severity === 'notice') {
      const key = `${this.id} ${destination} ${issue.code} ${issue.message}`
      return issues.report({ ...issue, destination, severity }, key)
    }
    this.#hear(destination).reason = severity === 'recovered' ? '' : issue.message
    issues.hear(this.id, message)
  }

  #hear(destination: string): DestinationNews {
    let news = this.#news.get(destination)
    if (!news) {
      news = { url: '', reason: '' }
      this.#news.set(destination, news)
    }
    return news
  }
}
