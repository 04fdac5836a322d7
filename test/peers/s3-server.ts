/** A real S3 API (moto) for a server's artifacts, behind a proxy that counts what comes through and can cut it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PEERS_FOLDER } from './python.ts'

const BUCKET = 'artifacts'

export class S3Server {
  /** Parts whose answer went back, by number. */
  readonly parts: number[] = []
  /** `POST ?uploads`, which begins an upload; `DELETE ?uploadId`, which gives one up. */
  readonly begun: string[] = []
  readonly abandoned: string[] = []
  readonly headers: IncomingMessage['headers'][] = []
  /** Asked of each part before it is passed on: 'cut' breaks the connection, a number is the answer. */
  onPart: (number: number) => 'pass' | 'cut' | number = () => 'pass'
  readonly #child: ChildProcess
  readonly #store: URL
  readonly #server: Server
  readonly address: string

  private constructor(child: ChildProcess, store: string, server: Server) {
    this.#child = child
    this.#store = new URL(store)
    this.#server = server
    this.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', (incoming: IncomingMessage, response: ServerResponse) =>
      this.#pass(incoming, response),
    )
  }

  static async start(python: string): Promise<S3Server> {
    const child = spawn(python, [join(PEERS_FOLDER, 's3_server.py'), BUCKET], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface({ input: child.stdout! })
    const [address] = (await Promise.race([
      once(lines, 'line'),
      once(child, 'exit').then(() => Promise.reject(new Error('the S3 server did not start'))),
    ])) as [string]
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new S3Server(child, address, server)
  }

  /** For the tracking server, which signs addresses of this very host. */
  get env(): Readonly<Record<string, string>> {
    return {
      MLFLOW_S3_ENDPOINT_URL: this.address,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test-secret-key',
      AWS_DEFAULT_REGION: 'us-east-1',
    }
  }

  get root(): string {
    return `s3://${BUCKET}/mlflow`
  }

  async stop(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    const ended = once(this.#child, 'exit')
    this.#child.stdin!.end()
    await ended
  }

  #pass(incoming: IncomingMessage, response: ServerResponse): void {
    const url = new URL(incoming.url ?? '/', this.address)
    const part = Number(url.searchParams.get('partNumber') ?? 0)
    if (incoming.method === 'POST' && url.searchParams.has('uploads')) this.begun.push(url.pathname)
    if (incoming.method === 'DELETE' && url.searchParams.has('uploadId')) this.abandoned.push(url.pathname)
    const order = part > 0 ? this.onPart(part) : 'pass'
    if (part > 0) this.headers.push(incoming.headers)
    if (order === 'cut') {
      incoming.once('data', () => incoming.socket.destroy())
      return
    }
    if (typeof order === 'number') {
      incoming.resume()
      const text = `<Error><Code>AccessDenied</Code><Signed>${url.search}</Signed></Error>`
      incoming.once('end', () => response.writeHead(order).end(text))
      return
    }
    const { hostname, port } = this.#store
    const outgoing = request(
      { hostname, port, path: incoming.url, method: incoming.method, headers: incoming.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
        answer.once('end', () => {
          if (part > 0 && answer.statusCode === 200) this.parts.push(part)
        })
      },
    )
    outgoing.on('error', () => response.destroy())
    incoming.on('error', () => outgoing.destroy())
    incoming.on('close', () => {
      if (!incoming.complete) outgoing.destroy()
    })
    incoming.pipe(outgoing)
  }
}
