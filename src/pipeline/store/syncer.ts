/**
 * The owner's side of the sync thread; lives in the drain thread and never blocks it.
 *
 *  Y1  Nothing here needs the owner's event loop: requests are posted, answers are fetched by `poll()`.
 *  Y2  A descriptor that is dirty or being synced is not closed; `closeAfterSync` puts it off to the answer. One
 *      that was named to `dirty` is closed by no other means. But where descriptors are too many, `detach` closes a
 *      dirty one, and its file is synced by its name: what the system failed to write until then it tells whoever
 *      opens the file next.
 *  Y3  An answer vouches for the bytes that the owner had named before it asked, not for later ones.
 *  Y4  What failed once is never synced again: the system may have dropped the pages and would say yes.
 */
import { closeSync } from 'node:fs'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { monotonicNow } from '../../core/clock.ts'
import { workerEnvironment, workerUrl } from '../worker-url.ts'
import type { SyncAnswer, SyncRequest, SyncStart } from './sync-thread.ts'

export const SYNC_INTERVAL_MS = 500
/** Asked for at once. More would only wait there, where a `syncNow` cannot overtake them. */
const MAX_UNDER_WAY = 8
/** How often to look for answers: about what a sync takes. */
const ANSWER_MS = 10

export interface SyncerOptions {
  /** How long bytes may be dirty before they are synced. Default 500. */
  readonly intervalMs?: number
}

/** One answer of the disk. */
export interface SyncReport<Id> {
  readonly id: Id
  readonly fd: number
  /** Length of the file that is safe from power loss now; with `failure`: that was to be made safe. */
  readonly syncedBytes: number
  /** '' or why it failed: bytes since the last report may be lost in a power cut, whatever is synced later. */
  readonly failure: string
  readonly tookMs: number
}

/** A file with bytes that are not known to be safe. */
interface DirtyFile<Id> {
  fd: number
  /** Set while it has no descriptor. */
  path: string | undefined
  id: Id
  bytes: number
  /** Monotonic ms of the oldest append that no request covers; Infinity when there is none. */
  dirtySince: number
  /** To be synced when `now` has got here. */
  dueAt: number
  /** The request under way, if one is. */
  request: { bytes: number; askedAt: number; dirtySince: number } | undefined
  hasFailed: boolean
  /** No more appends come: to be closed when it is clean. */
  isClosing: boolean
}

/** @typeParam Id what the owner knows a file by; comes back in reports */
export class Syncer<Id = unknown> {
  readonly #intervalMs: number
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #answers = new Int32Array(new SharedArrayBuffer(4))
  #answersSeen = 0
  #lastTicket = 0
  /** By descriptor, or path where it has none. */
  readonly #files = new Map<number | string, DirtyFile<Id>>()
  #closing = 0
  readonly #folders = new Set<string>()
  readonly #removals = new Map<
    number,
    { folder: string; below: number; onRemoved: (bytes: number) => void }
  >()
  readonly #underWay = new Map<number, DirtyFile<Id> | undefined>()
  #nextDueAt = Infinity

  constructor(options: SyncerOptions = {}) {
    this.#intervalMs = options.intervalMs ?? SYNC_INTERVAL_MS
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#port.unref()
    this.#worker = new Worker(workerUrl('./sync-thread', import.meta.url), {
      workerData: { port: port2, answers: this.#answers } satisfies SyncStart,
      transferList: [port2],
      execArgv: [],
      env: workerEnvironment(),
      name: 'tracelet sync',
    })
    this.#worker.unref()
    // No listener for 'error': should the thread ever die, so does its owner, and is restarted as a whole.
  }

  /** The file behind `fd` is `bytes` long now and not all of it is safe. Call after each append. */
  dirty(fd: number, id: Id, bytes: number, now: number = monotonicNow()): void {
    let file = this.#files.get(fd)
    if (file === undefined) {
      file = {
        fd,
        path: undefined,
        id,
        bytes,
        dirtySince: Infinity,
        dueAt: Infinity,
        request: undefined,
        hasFailed: false,
        isClosing: false,
      }
      this.#files.set(fd, file)
    }
    file.id = id
    file.bytes = bytes
    if (file.dirtySince === Infinity && !file.hasFailed) {
      file.dirtySince = now
      this.#setDue(file, now + this.#intervalMs)
    }
  }

  /** A file was made in this folder: its name is made safe before any file that becomes due from now on. */
  dirtyFolder(folder: string): void {
    this.#folders.add(folder)
    this.#nextDueAt = Math.min(this.#nextDueAt, monotonicNow() + this.#intervalMs)
  }

  /**
   * Lets the sync thread remove segments of a run (retention.ts).
   * @param onRemoved called from `poll()`
   * @returns false when it is asked for that already
   */
  removeDelivered(folder: string, below: number, onRemoved: (bytes: number) => void): boolean {
    for (const removal of this.#removals.values())
      if (removal.folder === folder && removal.below === below) return false
    const ticket = ++this.#lastTicket
    this.#removals.set(ticket, { folder, below, onRemoved })
    this.#post({ ticket, delivered: folder, below }, undefined)
    return true
  }

  /** Makes what is dirty of this descriptor, or detached path, due at once. */
  syncNow(fd: number | string): void {
    const file = this.#files.get(fd)
    if (file !== undefined && file.dirtySince !== Infinity) this.#setDue(file, 0)
    this.#ask(monotonicNow())
  }

  /** Closes a descriptor: at once when it is clean, else when its last bytes are synced. It is ours from here. */
  closeAfterSync(fd: number): void {
    const file = this.#files.get(fd)
    if (file === undefined) {
      closeSync(fd)
      return
    }
    this.#mark(file)
    if (file.dirtySince !== Infinity) this.#setDue(file, 0)
    else if (file.request === undefined) this.#close(file)
    this.#ask(monotonicNow())
  }

  /** Closes the descriptor of a dirty file, which is synced by its path then; false while its sync is under way. */
  detach(fd: number, path: string): boolean {
    const file = this.#files.get(fd)
    if (file === undefined || file.request !== undefined || this.#files.has(path)) return false
    this.#files.delete(fd)
    closeSync(fd)
    if (file.isClosing) this.#closing--
    if (file.hasFailed && file.isClosing) return true
    this.#files.set(path, file)
    file.fd = -1
    file.path = path
    return true
  }

  /** The file at `path` has a descriptor again: what is not safe of it is this one's from now on. */
  attach(fd: number, path: string): void {
    const file = this.#files.get(path)
    if (file === undefined || file.isClosing) return
    this.#files.delete(path)
    this.#files.set(fd, file)
    file.fd = fd
    file.path = undefined
  }

  /** No more is appended to a file that was detached. */
  endDetached(path: string): void {
    const file = this.#files.get(path)
    if (file === undefined) return
    if (file.hasFailed) this.#files.delete(path)
    else file.isClosing = true
  }

  /** Descriptors that are closed as soon as they are clean. */
  get closing(): number {
    return this.#closing
  }

  isClean(fd: number): boolean {
    const file = this.#files.get(fd)
    return file === undefined || (file.request === undefined && file.dirtySince === Infinity)
  }

  /**
   * Monotonic ms of the oldest append of this descriptor, or detached path, that is not safe; 0 when all is, or
   * nothing ever will.
   */
  unsyncedSince(fd: number | string): number {
    const file = this.#files.get(fd)
    const since = file?.request?.dirtySince ?? file?.dirtySince ?? Infinity
    return since === Infinity ? 0 : since
  }

  /** Whether something is dirty or under way: then `poll()` must be called again, in `dueInMs`. */
  get isBusy(): boolean {
    return this.#underWay.size > 0 || this.#nextDueAt !== Infinity
  }

  /** Milliseconds until `poll()` is worth a call, to ask or to fetch answers; Infinity when all is clean. */
  dueInMs(now: number): number {
    if (this.#underWay.size >= MAX_UNDER_WAY) return ANSWER_MS
    const untilDue = Math.max(0, this.#nextDueAt - now)
    return this.#underWay.size > 0 ? Math.min(untilDue, ANSWER_MS) : untilDue
  }

  /** Fetches answers and asks for what is due. Never blocks; costs some 10 ns when there is neither. */
  poll(now: number = monotonicNow()): SyncReport<Id>[] {
    const reports = this.#fetch(now)
    this.#ask(now)
    return reports
  }

  /**
   * Syncs everything dirty and waits for it, at most `timeoutMs`. For the end of a run and for tests; false in
   * `isBusy` afterwards means that everything was answered.
   */
  drain(timeoutMs: number): SyncReport<Id>[] {
    const deadline = monotonicNow() + timeoutMs
    const reports: SyncReport<Id>[] = []
    for (;;) {
      for (const file of this.#files.values()) if (file.dirtySince !== Infinity) this.#setDue(file, 0)
      if (this.#folders.size > 0) this.#nextDueAt = 0
      const now = monotonicNow()
      const seen = Atomics.load(this.#answers, 0)
      reports.push(...this.poll(now))
      if (!this.isBusy || now >= deadline) return reports
      Atomics.wait(this.#answers, 0, seen, Math.min(deadline - now, 100))
    }
  }

  /**
   * Ends the thread, after `drain()` if anything matters. Descriptors that were to be closed are, but for one that
   * is just being synced: Node closes that when the owner ends.
   */
  stop(): void {
    this.#port.close()
    void this.#worker.terminate()
    for (const file of this.#files.values()) {
      if (file.isClosing && file.request === undefined && file.path === undefined) closeSync(file.fd)
    }
    this.#files.clear()
    this.#closing = 0
    this.#folders.clear()
    this.#underWay.clear()
    this.#nextDueAt = Infinity
  }

  #setDue(file: DirtyFile<Id>, at: number): void {
    file.dueAt = at
    this.#nextDueAt = Math.min(this.#nextDueAt, at)
  }

  #ask(now: number): void {
    if (now < this.#nextDueAt || this.#underWay.size >= MAX_UNDER_WAY) return
    for (const folder of this.#folders) this.#post({ ticket: ++this.#lastTicket, folder }, undefined)
    this.#folders.clear()
    const due = [...this.#files.values()]
      .filter((file) => file.request === undefined && file.dueAt <= now)
      .sort((a, b) => a.dueAt - b.dueAt || a.dirtySince - b.dirtySince)
    for (const file of due.slice(0, Math.max(0, MAX_UNDER_WAY - this.#underWay.size))) {
      file.request = { bytes: file.bytes, askedAt: now, dirtySince: file.dirtySince }
      file.dirtySince = Infinity
      file.dueAt = Infinity
      const { fd, path } = file
      this.#post({ ticket: ++this.#lastTicket, ...(path === undefined ? { fd } : { path }) }, file)
    }
    this.#findNextDue()
  }

  #post(request: SyncRequest, file: DirtyFile<Id> | undefined): void {
    this.#underWay.set(request.ticket, file)
    this.#port.postMessage(request)
  }

  #fetch(now: number): SyncReport<Id>[] {
    const answers = Atomics.load(this.#answers, 0)
    if (answers === this.#answersSeen) return []
    this.#answersSeen = answers
    const reports: SyncReport<Id>[] = []
    for (
      let next = receiveMessageOnPort(this.#port);
      next !== undefined;
      next = receiveMessageOnPort(this.#port)
    ) {
      const answer = next.message as SyncAnswer
      const file = this.#underWay.get(answer.ticket)
      this.#underWay.delete(answer.ticket)
      this.#removals.get(answer.ticket)?.onRemoved(answer.removedBytes ?? 0)
      this.#removals.delete(answer.ticket)
      if (file?.request !== undefined) reports.push(this.#settle(file, file.request, answer.failure, now))
    }
    this.#findNextDue()
    return reports
  }

  #settle(
    file: DirtyFile<Id>,
    request: NonNullable<DirtyFile<Id>['request']>,
    failure: string,
    now: number,
  ): SyncReport<Id> {
    file.request = undefined
    if (failure !== '') {
      file.hasFailed = true
      file.dirtySince = Infinity
      file.dueAt = Infinity
    }
    if (file.dirtySince === Infinity) {
      if (file.isClosing) this.#close(file)
      else if (!file.hasFailed) this.#files.delete(file.path ?? file.fd)
    }
    return { id: file.id, fd: file.fd, syncedBytes: request.bytes, failure, tookMs: now - request.askedAt }
  }

  #mark(file: DirtyFile<Id>): void {
    if (file.isClosing) return
    file.isClosing = true
    this.#closing++
  }

  #close(file: DirtyFile<Id>): void {
    this.#files.delete(file.path ?? file.fd)
    if (file.path !== undefined) return
    this.#closing--
    closeSync(file.fd)
  }

  #findNextDue(): void {
    let next = this.#folders.size > 0 ? this.#nextDueAt : Infinity
    for (const file of this.#files.values()) {
      if (file.request === undefined && file.dueAt < next) next = file.dueAt
    }
    this.#nextDueAt = next
  }
}
