/**
 * The thread that waits for disks, so that the drain thread never does: a sync takes 0.2–36 ms, more on a busy
 * disk. It knows nothing of runs: it syncs what it is told, in that order, and answers.
 *
 * Descriptors are numbers of the whole process; this thread syncs those of its owner and never closes one, since
 * Node closes what a thread opened when that thread ends, whatever the number stands for by then. What it opens
 * itself it closes at once.
 */
import { closeSync, fdatasyncSync, openSync } from 'node:fs'
import { type MessagePort, workerData } from 'node:worker_threads'
import { removeDelivered } from '../retention.ts'
import { syncFolder } from './sync-folder.ts'

/** owner → sync thread */
export type SyncRequest =
  | { readonly ticket: number; readonly fd: number }
  /** A file whose descriptor was given up for others. One that was removed has nothing to be made safe. */
  | { readonly ticket: number; readonly path: string }
  /** Makes the names in a folder durable. */
  | { readonly ticket: number; readonly folder: string }
  /** Removes segments of the run in `delivered`, all below that number that every destination has. */
  | { readonly ticket: number; readonly delivered: string; readonly below: number }

/** sync thread → owner */
export interface SyncAnswer {
  readonly ticket: number
  /** System's code and text of a failure; '' when it is safe now. */
  readonly failure: string
  /** Of a removal. */
  readonly removedBytes?: number
}

export interface SyncStart {
  readonly port: MessagePort
  /** Number of answers posted so far: the owner looks at it before it asks the port, or waits on it. */
  readonly answers: Int32Array
}

const { port, answers } = workerData as SyncStart
port.on('message', (request: SyncRequest) => {
  const { ticket } = request
  const answer: SyncAnswer = 'delivered' in request ? remove(request) : { ticket, failure: perform(request) }
  port.postMessage(answer)
  Atomics.add(answers, 0, 1)
  Atomics.notify(answers, 0)
})

function remove({ ticket, delivered, below }: Extract<SyncRequest, { below: number }>): SyncAnswer {
  try {
    return { ticket, failure: '', removedBytes: removeDelivered(delivered, below) }
  } catch (error) {
    return { ticket, failure: (error as Error).message }
  }
}

function perform(request: Exclude<SyncRequest, { below: number }>): string {
  try {
    if ('fd' in request) fdatasyncSync(request.fd)
    else if ('path' in request) syncFile(request.path)
    else syncFolder(request.folder)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

function syncFile(path: string): void {
  let fd: number
  try {
    fd = openSync(path, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    fdatasyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
