/**
 * The parking thread's entry: keeps what is too large for a lane in the run's folder, then puts the record that
 * names it into a lane of its own. One producer more, so neither drain nor journal knows of it.
 *
 * K1  A record is put into the lane after its bytes are kept: whatever the journal names is there.
 * K2  Media first, in their order; artifacts one after the other, part by part in between.
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
import { PARKING_LANE_SLOTS, recordName, withBlobs } from './parked-record.ts'
import { OVER, ParkedRun } from './parked-run.ts'
import { encodePng } from './png.ts'
import { sayNow } from './say-now.ts'

/** An artifact gets its turn after so many media, should they never end. */
const MEDIA_IN_A_ROW = 16
/** Longest time without a turn of the event loop. */
const TURN_MS = 50
/** An owner that has not told the user by then is in a synchronous loop. */
const TELL_MS = 1000

interface Queued<Kind extends Job> {
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
  readonly #files: Queued<FilesJob>[] = []
  #copy: Copy | undefined
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
      const { job } = message
      const run = this.#runs.get(job.run)!
      if (job.class === 'media') this.#media.push({ job, run })
      else this.#files.push({ job, run })
    }
  }

  /** False when there is nothing to do. */
  #step(): boolean {
    if (!this.#copy) {
      const files = this.#files.shift()
      if (files) this.#copy = { ...files, steps: takeFiles(files.run, files.job) }
    }
    const media = this.#copy && this.#mediaInARow >= MEDIA_IN_A_ROW ? undefined : this.#media.shift()
    if (media) {
      this.#mediaInARow++
      this.#keepMedia(media)
      return true
    }
    this.#mediaInARow = 0
    if (!this.#copy) return false
    this.#goOn(this.#copy)
    return true
  }

  #keepMedia({ job, run }: Queued<MediaJob>): void {
    let issue: ErrorRecord | undefined = run.isOver ? OVER : undefined
    try {
      if (!issue) {
        const blobs: BlobRef[] = job.contents.map((content) => {
          run.beat()
          const bytes = 'pixels' in content ? encodePng(content.pixels) : content.bytes
          run.beat()
          return run.store.put(bytes, content.type)
        })
        issue = run.isOver ? OVER : run.put(withBlobs(job.record, blobs))
      }
    } catch (error) {
      issue = keepingIssue(error)
    }
    this.#settle(job, run, issue)
  }

  #goOn({ job, run, steps }: Copy): void {
    let snapshot: Snapshot | undefined
    let issue: ErrorRecord | undefined
    run.beat()
    try {
      if (run.isOver) {
        issue = OVER
        steps.return(undefined as never)
      } else {
        const step = steps.next()
        if (!step.done) return
        snapshot = step.value
        if (snapshot.status === 'failed') issue = { code: snapshot.code, message: snapshot.reason }
      }
    } catch (error) {
      issue = keepingIssue(error)
    }
    this.#copy = undefined
    if (issue) removeUnfinished(job.files.flatMap(({ from }) => ('clone' in from ? [from.clone] : [])))
    snapshot ??= { status: 'failed', code: issue!.code, reason: issue!.message }
    this.#post({ type: 'files', snapshot })
    this.#settle(job, run, issue)
  }

  #settle(job: Job, run: ParkedRun, issue: ErrorRecord | undefined): void {
    // said before it is counted: who has seen the count finds the message
    if (issue) this.#tell(job, issue)
    run.settle(issue !== undefined)
    this.#freed[FREED_BYTES]! += job.bytes
    Atomics.add(this.#words, LEDGER[job.class], 1)
    Atomics.add(this.#words, LEDGER.changes, 1)
    Atomics.notify(this.#words, LEDGER.changes)
  }

  #tell(job: Job, { code, message }: ErrorRecord): void {
    const what = recordName(job.record)
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
