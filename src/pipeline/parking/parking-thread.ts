/**
 * The parking thread's entry: keeps what is too large for a lane in the run's folder, then puts the record that
 * names it into a lane of its own. One producer more, so neither drain nor journal knows of it.
 *
 * K1  A record is put into the lane after its bytes are kept: whatever the journal names is there.
 * K2  Media first, in their order; artifacts part by part in between: those of one run one after the other, those of
 *     several by turns, so that no run's end waits for another's copy.
 * K3  Every job is settled once: put into the lane, or given up and counted lost with its reason told.
 * K4  Nothing here needs the event loop of the thread that logs.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BroadcastChannel, isMainThread, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { monotonicNow } from '../../core/clock.ts'
import type { ErrorRecord } from '../../core/errors.ts'
import type { BlobRef } from '../../core/types.ts'
import { ring } from '../../ring/doorbell.ts'
import { LaneWriter } from '../../ring/lane-writer.ts'
import { createLane } from '../../ring/layout.ts'
import { removeUnfinished } from '../store/blobs.ts'
import { keepFiles, keepingIssue } from './keep-files.ts'
import { FREED_BYTES, LEDGER, takeIssue } from './ledger.ts'
import type { FilesJob, FromParking, Job, MediaJob, ParkingStart, Snapshot, ToParking } from './messages.ts'
import { jobName, PARKING_LANE_SLOTS, withBlobs } from './parked-record.ts'
import { OVER, ParkedRun } from './parked-run.ts'
import { encodePng } from './png.ts'
import { sayNow } from './say-now.ts'

/** An artifact gets its turn after so many media, should they never end. */
const MEDIA_IN_A_ROW = 16
/** Copies at once, each with two open files. */
const MAX_COPIES = 16
/** Longest time without a turn of the event loop. */
const TURN_MS = 50
/** An owner that has not told the user by then is in a synchronous loop. */
const TELL_MS = 1000

interface Queued<Kind extends Job> {
  readonly number: number
  readonly job: Kind
  readonly run: ParkedRun
}
/** An artifact under way. */
interface Copy extends Queued<FilesJob> {
  readonly steps: Generator<number, Snapshot>
}

class ParkingThread {
  readonly #start: ParkingStart
  readonly #words: Int32Array
  readonly #freed: Float64Array
  readonly #lane: LaneWriter
  readonly #runs = new Map<number, ParkedRun>()
  readonly #media: Queued<MediaJob>[] = []
  /** Of each run, first come first. */
  readonly #files = new Map<ParkedRun, Queued<FilesJob>[]>()
  /** At most one of each run; the next in turn first. */
  readonly #copies: Copy[] = []
  #mediaInARow = 0
  #isWorking = false
  #issues = 0

  constructor(start: ParkingStart) {
    this.#start = start
    this.#words = new Int32Array(start.ledger)
    this.#freed = new Float64Array(start.ledger)
    const channel = new BroadcastChannel(start.channel)
    channel.unref()
    const control = new Int32Array(start.control)
    this.#lane = new LaneWriter(start.control, createLane(start.control, PARKING_LANE_SLOTS), {
      overflow: 'drop',
      blockMaxMs: 0,
      announce: (lane) => {
        channel.postMessage(lane)
        ring(control)
      },
    })
    process.once('exit', () => this.#lane.close())
    start.port.on('message', (message: ToParking) => {
      this.#handle(message)
      void this.#work()
    })
  }

  async #work(): Promise<void> {
    if (this.#isWorking) return
    this.#isWorking = true
    let turnedAt = monotonicNow()
    for (;;) {
      this.#receive()
      if (!this.#step()) break
      if (monotonicNow() - turnedAt < TURN_MS) continue
      await nextTurn()
      turnedAt = monotonicNow()
    }
    this.#isWorking = false
  }

  #receive(): void {
    const { port } = this.#start
    for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
      this.#handle(got.message as ToParking)
    }
  }

  #handle(message: ToParking): void {
    if (message.type === 'run')
      this.#runs.set(message.run.number, new ParkedRun(message.run, message.producer, this.#lane))
    else if (message.type === 'forget') this.#runs.delete(message.run)
    else {
      const { job, number } = message
      const run = this.#runs.get(job.run)!
      if (job.class === 'media') this.#media.push({ number, job, run })
      else {
        const waiting = this.#files.get(run)
        if (waiting) waiting.push({ number, job, run })
        else this.#files.set(run, [{ number, job, run }])
      }
    }
  }

  /** False when there is nothing to do. */
  #step(): boolean {
    this.#beginCopies()
    const isFilesTurn = this.#copies.length > 0 && this.#mediaInARow >= MEDIA_IN_A_ROW
    const media = isFilesTurn ? undefined : this.#media.shift()
    if (media) {
      this.#mediaInARow++
      this.#keepMedia(media)
      return true
    }
    this.#mediaInARow = 0
    const copy = this.#copies.shift()
    if (!copy) return false
    if (!this.#goOn(copy)) this.#copies.push(copy)
    return true
  }

  #beginCopies(): void {
    for (const [run, waiting] of this.#files) {
      if (this.#copies.length >= MAX_COPIES) return
      if (this.#copies.some((copy) => copy.run === run)) continue
      const files = waiting.shift()!
      if (waiting.length === 0) this.#files.delete(run)
      this.#copies.push({ ...files, steps: takeFiles(run, files.job) })
    }
  }

  #keepMedia({ job, run }: Queued<MediaJob>): void {
    let issue: ErrorRecord | undefined = run.isOver ? OVER : undefined
    try {
      if (!issue) {
        const blobs: BlobRef[] = job.contents.map((content) => {
          this.#beat()
          const bytes = 'pixels' in content ? encodePng(content.pixels) : content.bytes
          this.#beat()
          return run.store.put(bytes, content.type)
        })
        issue = run.isOver ? OVER : run.put(withBlobs(job.record, blobs))
      }
    } catch (error) {
      issue = keepingIssue(error)
    }
    if (issue) this.#tell(job, issue)
    this.#settle(job, run, issue !== undefined)
  }

  /** Whether it is at its end. */
  #goOn({ number, job, run, steps }: Copy): boolean {
    let snapshot: Snapshot | undefined
    let issue: ErrorRecord | undefined
    this.#beat()
    try {
      if (run.isOver) {
        issue = OVER
        steps.return(undefined as never)
      } else {
        const step = steps.next()
        if (!step.done) return false
        snapshot = step.value
        if (snapshot.status === 'failed') issue = { code: snapshot.code, message: snapshot.reason }
      }
    } catch (error) {
      issue = keepingIssue(error)
    }
    if (issue) removeUnfinished(job.files.flatMap(({ from }) => ('clone' in from ? [from.clone] : [])))
    snapshot ??= { status: 'failed', code: issue!.code, reason: issue!.message }
    // said before it is answered or counted: who has seen that finds the message
    if (issue) this.#tell(job, issue)
    this.#post({ type: 'files', number, snapshot })
    this.#settle(job, run, issue !== undefined)
    return true
  }

  #settle(job: Job, run: ParkedRun, isLost: boolean): void {
    run.settle(isLost)
    this.#freed[FREED_BYTES]! += job.bytes
    if (job.class === 'media') Atomics.add(this.#words, LEDGER.media, 1)
    Atomics.add(this.#words, LEDGER.changes, 1)
    Atomics.notify(this.#words, LEDGER.changes)
  }

  /** Whatever goes on, every run that waits for its turn learns that this thread lives. */
  #beat(): void {
    for (const run of this.#runs.values()) run.beat()
  }

  #tell(job: Job, { code, message }: ErrorRecord): void {
    const what = jobName(job)
    const issue: ErrorRecord = { code, message: `${what} is lost: ${message}` }
    const number = ++this.#issues
    const key = job.class === 'media' ? code : `${code} ${what}`
    this.#post({ type: 'issue', number, run: job.run, issue, key })
    setTimeout(() => {
      if (takeIssue(this.#words, number)) sayNow(issue)
    }, TELL_MS)
  }

  #post(message: FromParking): void {
    this.#start.port.postMessage(message)
  }
}

/** Keeps the files of an artifact and puts its record into the lane; yields in between. */
function* takeFiles(run: ParkedRun, job: FilesJob): Generator<number, Snapshot> {
  const kept = yield* keepFiles(run.store, job.files)
  const issue = run.put({ ...job.record, ...kept })
  if (issue) return { status: 'failed', code: issue.code, reason: issue.message }
  return { status: 'taken', files: job.files.length, bytes: kept.bytes }
}

if (!isMainThread) new ParkingThread(workerData as ParkingStart)
