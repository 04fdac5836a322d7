/** The server's side of a WebSocket (RFC 6455), as much of it as a test double needs: binary messages. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const OPCODE = { continuation: 0, binary: 2, close: 8, ping: 9, pong: 10 }

export class FakeSocket {
  readonly #stream: Duplex
  #bytes = Buffer.alloc(0)
  #parts: Buffer[] = []

  /** Answers the handshake. @param onMessage called with each whole message */
  constructor(request: IncomingMessage, stream: Duplex, onMessage: (message: Buffer) => void) {
    this.#stream = stream
    const key = request.headers['sec-websocket-key']!
    const accept = createHash('sha1')
      .update(key + MAGIC)
      .digest('base64')
    stream.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      for (let message = this.#next(); message !== undefined; message = this.#next()) {
        if (message !== 'control') onMessage(message)
      }
    })
  }

  send(message: Buffer): void {
    const { length } = message
    const head = length < 126 ? Buffer.of(0x82, length) : Buffer.of(0x82, 126, length >> 8, length & 255)
    if (!this.#stream.destroyed) this.#stream.write(Buffer.concat([head, message]))
  }

  /** Without a close frame, as a server that dies. */
  destroy(): void {
    this.#stream.destroy()
  }

  #next(): Buffer | 'control' | undefined {
    const bytes = this.#bytes
    if (bytes.length < 6) return undefined
    const isLast = (bytes[0]! & 0x80) !== 0
    const opcode = bytes[0]! & 0x0f
    let length = bytes[1]! & 0x7f
    let at = 2
    if (length === 126) {
      length = bytes.readUInt16BE(2)
      at = 4
    } else if (length === 127) {
      if (bytes.length < 14) return undefined
      length = Number(bytes.readBigUInt64BE(2))
      at = 10
    }
    if (bytes.length < at + 4 + length) return undefined
    const mask = bytes.subarray(at, at + 4)
    const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + length))
    for (let i = 0; i < length; i++) payload[i]! ^= mask[i & 3]!
    this.#bytes = bytes.subarray(at + 4 + length)
    if (opcode === OPCODE.close) this.#stream.end(Buffer.of(0x88, 0))
    if (opcode === OPCODE.ping) this.#stream.write(Buffer.concat([Buffer.of(0x8a, length), payload]))
    if (opcode > OPCODE.binary) return 'control'
    this.#parts.push(payload)
    return isLast ? Buffer.concat(this.#parts.splice(0)) : 'control'
  }
}
