/**
 * Three fakes in a process of their own, each with a fixed service time, so that a synchronous loop elsewhere holds
 * none of them up. The first can be stalled. Each notes how old the points are that come, by the time that
 * each carries.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FakeRequest } from '../sinks/fakes/fault-server.ts'
import { IdentityServer, type WirePoint } from '../sinks/fakes/identity-server.ts'
import { type Line, OffsetServer } from '../sinks/fakes/offset-server.ts'

/** A request is applied so long after it has come. */
const SERVICE_MS = 5

export const SERVED = ['stalled', 'keyed', 'stream'] as const
export type Served = (typeof SERVED)[number]

export type ToServers =
  /** From now on the first applies and answers nothing for so long; absent: until `release`. */
  | { readonly type: 'stall'; readonly forMs?: number }
  | { readonly type: 'release' }
  /** Asks for what was noted since the last time. */
  | { readonly type: 'report' }
export interface Noted {
  readonly requests: number
  readonly points: number
  /** Age of the oldest point when it came. */
  readonly lagMs: number
}
export type FromServers =
  | { readonly type: 'ready'; readonly urls: Readonly<Record<Served, string>> }
  | { readonly type: 'done' }
  | { readonly type: 'report'; readonly noted: Readonly<Record<Served, Noted>> }

class Notes {
  requests = 0
  points = 0
  lagMs = 0

  take({ path, body }: FakeRequest): void {
    if (path[2] !== 'points' && path[2] !== 'lines') return
    const times = timesOf(path[2], JSON.parse(body.toString()))
    this.requests++
    this.points += times.length
    const now = Date.now()
    for (const time of times) this.lagMs = Math.max(this.lagMs, now - time)
  }
}

function timesOf(what: 'points' | 'lines', content: unknown): number[] {
  if (what === 'points') return (content as WirePoint[]).map(({ time }) => time)
  return (content as { lines: Line[] }).lines.flatMap(({ points }) => points.map(([, time]) => time))
}

class Gate {
  #release: (() => void) | undefined
  #released: Promise<void> | undefined
  #forMs: number | undefined

  close(forMs: number | undefined): void {
    this.#forMs = forMs
    this.#released = new Promise((resolve) => {
      this.#release = resolve
    })
  }

  open(): void {
    this.#release?.()
    this.#released = undefined
  }

  async pass(): Promise<void> {
    if (this.#released === undefined) return
    if (this.#forMs === undefined) await this.#released
    else await Promise.race([this.#released, sleep(this.#forMs, undefined, { ref: false })])
  }
}

const servers = {
  stalled: await IdentityServer.start(),
  keyed: await IdentityServer.start(),
  stream: await OffsetServer.start(),
}
const gate = new Gate()
let notes = freshNotes()
for (const name of SERVED) {
  servers[name].before = async (request) => {
    notes[name].take(request)
    if (name === 'stalled') await gate.pass()
    await sleep(SERVICE_MS)
  }
}

function freshNotes(): Record<Served, Notes> {
  return { stalled: new Notes(), keyed: new Notes(), stream: new Notes() }
}

function tell(message: FromServers): void {
  process.send!(message)
}

process.on('message', (message: ToServers) => {
  if (message.type === 'report') {
    const noted = Object.fromEntries(
      SERVED.map((name) => {
        const { requests, points, lagMs } = notes[name]
        return [name, { requests, points, lagMs }]
      }),
    )
    notes = freshNotes()
    tell({ type: 'report', noted: noted as Record<Served, Noted> })
    return
  }
  if (message.type === 'stall') gate.close(message.forMs)
  else gate.open()
  tell({ type: 'done' })
})
process.on('disconnect', () => process.exit(0))
const { stalled, keyed, stream } = servers
tell({ type: 'ready', urls: { stalled: stalled.url, keyed: keyed.url, stream: stream.url } })
