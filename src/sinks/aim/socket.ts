/**
 * The write socket (aim/ext/transport/tracking.py, run_write_instructions): each message of instructions is answered
 * once, in order, by `OK` or by a packed exception. After an exception the server reads no more of the socket, and
 * tells nobody: messages behind it are lost, so whoever gets one opens another socket.
 */
import type { Dispatcher, MessageEvent, WebSocket } from 'undici'
import { isBranch } from './tree.ts'
import { unpackTree } from './unpack.ts'

export type SocketAnswer =
  | { readonly status: 'ok' }
  | { readonly status: 'exception'; readonly exception: AimException }
  /** Maybe carried out. */
  | { readonly status: 'closed'; readonly reason: string }

export interface AimException {
  /** Of Python: `RocksIOError`. */
  readonly className: string
  readonly message: string
}

/** One message took the server 87 s when it was far too large; ours are small. */
const ANSWER_TIMEOUT_MS = 60_000
const OPEN_TIMEOUT_MS = 10_000

export class AimSocket {
  readonly #socket: WebSocket
  readonly #waiting: ((answer: SocketAnswer) => void)[] = []
  readonly #timer: NodeJS.Timeout
  #lastHeard = performance.now()
  #closed: string | undefined

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    socket.addEventListener('message', (event) => this.#heard(event))
    socket.addEventListener('close', () => this.#end('the server closed the connection'))
    socket.addEventListener('error', ({ message }) => this.#end(message || 'the connection failed'))
    this.#timer = setInterval(() => this.#look(), ANSWER_TIMEOUT_MS / 6).unref()
  }

  /** @param dispatcher knows the certificates; a way on its own, since the socket stays open */
  static async open(
    url: string,
    headers: Readonly<Record<string, string>>,
    dispatcher: Dispatcher,
    signal: AbortSignal,
  ): Promise<AimSocket | { readonly failed: string }> {
    const undici = await import('undici')
    const socket = new undici.WebSocket(url, { dispatcher, headers: { ...headers } })
    let why = 'no connection'
    let abort = () => {}
    const isOpen = await new Promise<boolean>((resolve) => {
      const giveUp = (reason: string) => {
        why = reason
        resolve(false)
      }
      const timer = setTimeout(() => giveUp('no answer to the handshake'), OPEN_TIMEOUT_MS)
      abort = () => giveUp('given up')
      signal.addEventListener('abort', abort, { once: true })
      if (signal.aborted) abort()
      socket.addEventListener('open', () => resolve(true), { once: true })
      socket.addEventListener('error', ({ message, error }) => giveUp(causeOf(error) || message), {
        once: true,
      })
      socket.addEventListener('close', () => giveUp('the handshake was refused'), { once: true })
      socket.addEventListener('open', () => clearTimeout(timer), { once: true })
      socket.addEventListener('close', () => clearTimeout(timer), { once: true })
    })
    signal.removeEventListener('abort', abort)
    if (isOpen) return new AimSocket(socket)
    socket.close()
    return { failed: why }
  }

  get isOpen(): boolean {
    return this.#closed === undefined
  }

  /** Settles when the server has carried it out, or cannot any more. */
  send(message: Uint8Array): Promise<SocketAnswer> {
    if (this.#closed !== undefined) return Promise.resolve({ status: 'closed', reason: this.#closed })
    if (this.#waiting.length === 0) this.#lastHeard = performance.now()
    this.#socket.send(message)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  close(reason = 'closed by us'): void {
    this.#end(reason)
    this.#socket.close()
  }

  #heard({ data }: MessageEvent): void {
    this.#lastHeard = performance.now()
    const bytes = Buffer.from(data as ArrayBuffer)
    if (bytes.length === 2 && bytes.toString('latin1') === 'OK') {
      this.#waiting.shift()?.({ status: 'ok' })
      return
    }
    this.#waiting.shift()?.({ status: 'exception', exception: exceptionOf(bytes) })
    this.close('the server refused a message')
  }

  #look(): void {
    if (this.#waiting.length > 0 && performance.now() - this.#lastHeard > ANSWER_TIMEOUT_MS) {
      this.close(`no answer for ${ANSWER_TIMEOUT_MS / 1000} s`)
    }
  }

  #end(reason: string): void {
    if (this.#closed !== undefined) return
    this.#closed = reason
    clearInterval(this.#timer)
    for (const settle of this.#waiting.splice(0)) settle({ status: 'closed', reason })
  }
}

function exceptionOf(bytes: Buffer): AimException {
  try {
    const tree = unpackTree(bytes)
    if (isBranch(tree)) {
      return { className: String(tree.class_name ?? 'Exception'), message: String(tree.message ?? '') }
    }
  } catch {
    // told below
  }
  return { className: 'Exception', message: 'an answer that cannot be read' }
}

function causeOf(error: unknown): string {
  for (let at = error as { message?: string; cause?: unknown } | undefined; at; at = at.cause as typeof at) {
    if (at.cause === undefined) return at.message ?? ''
  }
  return ''
}
