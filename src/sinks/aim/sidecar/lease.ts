/** A hold on a repository's server: a connection that the kernel closes for us when we are killed. */
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'

/** What a server says of itself, in its file and to everyone who comes. */
export interface Announcement {
  readonly folder: string
  readonly port: number
  readonly lease: number
  readonly pid: number
  /** Version. */
  readonly aim: string
}

/** It is on this machine; a loop that is busy with a large message answers later than usual. */
const HELLO_TIMEOUT_MS = 10_000
const MAX_HELLO_BYTES = 16_384

export class Lease {
  readonly server: Announcement
  readonly #socket: Socket
  #isHeld = true

  constructor(server: Announcement, socket: Socket) {
    this.server = server
    this.#socket = socket
    socket.on('close', () => {
      this.#isHeld = false
    })
    socket.on('error', () => {})
    socket.resume()
    // a thread that has nothing else to do may end
    socket.unref()
  }

  /** False once the server is gone. */
  get isHeld(): boolean {
    return this.#isHeld && !this.#socket.destroyed
  }

  release(): void {
    this.#socket.destroy()
  }
}

/** Undefined when there is no such server, or what listens there is something else. */
export async function takeLease(
  file: string,
  folder: string,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  let announced: Announcement
  try {
    announced = JSON.parse(await readFile(file, 'utf8')) as Announcement
  } catch {
    return undefined
  }
  if (!Number.isInteger(announced.lease) || announced.folder !== folder) return undefined
  return hold(announced.lease, folder, signal)
}

/** The port of a server that was killed may be anybody's now: only its own hello counts. */
function hold(port: number, folder: string, signal: AbortSignal): Promise<Lease | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const settle = (lease: Lease | undefined) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
      socket.removeAllListeners()
      if (lease === undefined) {
        socket.on('error', () => {})
        socket.destroy()
      }
      resolve(lease)
    }
    const giveUp = () => settle(undefined)
    const timer = setTimeout(giveUp, HELLO_TIMEOUT_MS)
    signal.addEventListener('abort', giveUp)
    socket.on('error', giveUp)
    socket.on('close', giveUp)
    socket.on('data', (bytes: Buffer) => {
      text += bytes
      if (!text.includes('\n')) return text.length > MAX_HELLO_BYTES ? giveUp() : undefined
      const server = announcementOf(text)
      // the listeners of the way in go before those of the lease come
      if (server?.folder !== folder) return giveUp()
      socket.removeAllListeners()
      clearTimeout(timer)
      signal.removeEventListener('abort', giveUp)
      return resolve(new Lease(server, socket))
    })
  })
}

function announcementOf(line: string): Announcement | undefined {
  try {
    const said = JSON.parse(line) as Partial<Announcement>
    return typeof said.port === 'number' && typeof said.folder === 'string'
      ? (said as Announcement)
      : undefined
  } catch {
    return undefined
  }
}
