/** Other ways to hand a point to another thread: each with a reader that takes what it is given and drops it. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { RingBuffer } from 'ringbuf.js'
import ThreadStream from 'thread-stream'
import { workerUrl } from '../src/pipeline/worker-url.ts'

export interface Peer {
  readonly name: string
  /** Hands over `calls` points. */
  readonly burst: (from: number, calls: number) => void
  readonly call: (step: number) => void
  readonly close: () => Promise<void>
}

/** What a reader thread is told. */
export type ReaderTask =
  | { readonly kind: 'ringbuf'; readonly storage: SharedArrayBuffer }
  | { readonly kind: 'messages' }

const POINT_DOUBLES = 4
const RINGBUF_POINTS = 65_536

export async function startPeers(): Promise<Peer[]> {
  return [arrayOfObjects(), await ringbuf(), await messages(), await threadStream()]
}

function arrayOfObjects(): Peer {
  let points: { series: number; step: number; value: number; time: number }[] = []
  const call = (step: number) => {
    if (points.length === 16_384) points = []
    points.push({ series: 1, step, value: step * 0.5, time: 0 })
  }
  return {
    name: 'array.push of an object (no other thread)',
    call,
    burst(from, calls) {
      for (let i = 0; i < calls; i++) call(from + i)
    },
    close: async () => {},
  }
}

async function ringbuf(): Promise<Peer> {
  const storage = RingBuffer.getStorageForCapacity(RINGBUF_POINTS * POINT_DOUBLES, Float64Array)
  const ring = new RingBuffer(storage, Float64Array)
  const worker = await startReader({ kind: 'ringbuf', storage })
  const point = new Float64Array(POINT_DOUBLES)
  const call = (step: number) => {
    point[0] = 1
    point[1] = step
    point[2] = step * 0.5
    while (ring.push(point) === 0);
  }
  return {
    name: 'ringbuf.js, push of 4 doubles',
    call,
    burst(from, calls) {
      for (let i = 0; i < calls; i++) call(from + i)
    },
    close: async () => void (await worker.terminate()),
  }
}

async function messages(): Promise<Peer> {
  const worker = await startReader({ kind: 'messages' })
  const call = (step: number) => worker.postMessage({ series: 1, step, value: step * 0.5 })
  return {
    name: 'postMessage of an object',
    call,
    burst(from, calls) {
      for (let i = 0; i < calls; i++) call(from + i)
    },
    close: async () => void (await worker.terminate()),
  }
}

async function threadStream(): Promise<Peer> {
  const stream = new ThreadStream({ filename: workerUrl('./ring-push-sink', import.meta.url).href })
  await once(stream, 'ready')
  const call = (step: number) => void stream.write(`loss ${step} ${step * 0.5}\n`)
  return {
    name: 'thread-stream, a line of text',
    call,
    burst(from, calls) {
      for (let i = 0; i < calls; i++) call(from + i)
    },
    async close() {
      const closed = once(stream, 'close')
      stream.end()
      await closed
    },
  }
}

async function startReader(task: ReaderTask): Promise<Worker> {
  const worker = new Worker(workerUrl('./ring-push-reader', import.meta.url), { workerData: task })
  await once(worker, 'online')
  return worker
}
