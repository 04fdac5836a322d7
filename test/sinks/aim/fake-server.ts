/**
 * `aim server` 3.29.1 as a client meets it (aim/ext/transport): HTTP, one socket for writing, resources by handlers of
 * the client's choosing. What the real one would only punish later (an oversized message, a lock without the repository)
 * is a problem here.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { packTree } from '../../../src/sinks/aim/packed.ts'
import type { AimTree } from '../../../src/sinks/aim/tree.ts'
import { unpackTree } from '../../../src/sinks/aim/unpack.ts'
import { FakeSocket } from './fake-socket.ts'
import { FakeRun, hasBlob, PythonError, treeCall } from './fake-store.ts'

export type AimFault = 'cut' | 'lostAnswer' | 'full' | 'hang'

/** The server's decoder takes the square of a message: nobody sends so much who can help it. */
export const MAX_MESSAGE_BYTES = 64 * 1024

type Instruction = readonly [handler: string, method: string, args: readonly AimTree[]]

interface Resource {
  readonly client: string
  readonly type: string
  readonly args: Readonly<Record<string, AimTree>>
}

export class FakeAim {
  readonly runs = new Map<string, FakeRun>()
  /** What a real server would suffer from. */
  readonly problems: string[] = []
  readonly #resources = new Map<string, Resource>()
  readonly #sockets = new Set<FakeSocket>()
  readonly #connections = new Set<Socket>()
  readonly #server: Server
  /** Every request must have it. */
  authorization: string | undefined
  /** A name that no sequence may have. */
  refusedName: string | undefined
  messages = 0
  version = '3.29.1'
  #fault: { readonly fault: AimFault; readonly runHash: string; readonly isArtifacts: boolean } | undefined
  /** Nothing is taken of artifacts. */
  isFull = false

  constructor() {
    this.#server = createServer((request, response) => {
      this.#receive(request, response).catch(() => response.destroy())
    })
    this.#server.on('connection', (socket) => {
      this.#connections.add(socket)
      socket.once('close', () => this.#connections.delete(socket))
    })
    this.#server.on('upgrade', (request, stream) => {
      const client = /^\/tracking\/([^/]+)\/write-instruction\/$/.exec(request.url!)?.[1]
      if (client === undefined || !this.#isAllowed(request))
        return stream.end('HTTP/1.1 403 Forbidden\r\n\r\n')
      const socket = new FakeSocket(request, stream, (message) => this.#write(client, message, socket))
      this.#sockets.add(socket)
      return undefined
    })
  }

  async listen(port = 0): Promise<string> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return `aim://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The next message with values of the run's, or that tells of its artifacts, meets it, once. */
  failNext(fault: AimFault, runHash: string, what: 'values' | 'artifacts' = 'values'): void {
    this.#fault = { fault, runHash, isArtifacts: what === 'artifacts' }
  }

  /** How many resources clients hold. */
  get resources(): number {
    return this.#resources.size
  }

  /** As for a client that was not heard of for too long. */
  dropResources(): void {
    this.#resources.clear()
  }

  /** As a server that was started anew: nobody's resources are there, all runs are. */
  forgetClients(): void {
    this.#resources.clear()
    for (const run of this.runs.values()) run.locks.clear()
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    for (const connection of this.#connections) connection.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #isAllowed({ headers }: IncomingMessage): boolean {
    return this.authorization === undefined || headers.authorization === this.authorization
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (!this.#isAllowed(request)) {
      answer(401, { error: `not ${request.headers.authorization}` })
      return
    }
    const [, area, client, action, handler] = request.url!.split('/')
    if (area === 'status') return void answer(200, { status: 'OK' })
    if (area === 'client')
      return void answer(200, client === 'get-version' ? { version: this.version } : null)
    if (area !== 'tracking') return void answer(404, { detail: 'Not Found' })
    try {
      const body = chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString())
      if (action === 'get-resource') {
        this.#bind(client!, body)
        answer(200, { handler: body.resource_handler })
      } else if (action === 'release-resource') {
        this.#resource(client!, handler!)
        this.#resources.delete(handler!)
        answer(200, null)
      } else if (action === 'read-instruction') {
        const args = unpackTree(Buffer.from(body.args, 'base64')) as readonly AimTree[]
        const result = this.#call(client!, body.resource_handler, body.method_name, args)
        response.writeHead(200).end(packTree(result))
      } else answer(404, { detail: 'Not Found' })
    } catch (error) {
      if (!(error instanceof PythonError)) throw error
      answer(400, { exception: exceptionOf(error) })
    }
  }

  #bind(client: string, { resource_handler, resource_type, args }: Record<string, string>): void {
    const tree = args ? unpackTree(Buffer.from(args, 'base64')) : {}
    const given = tree as Readonly<Record<string, AimTree>>
    const holdsRepo = [...this.#resources.values()].some(
      (one) => one.client === client && one.type === 'Repo',
    )
    if (resource_type !== 'Repo' && !holdsRepo) this.problems.push(`${resource_type} without the repository`)
    const hash = String(given.sub ?? given.run_hash ?? given.hash_ ?? '')
    if (resource_type === 'StructuredRun' || resource_type === 'TreeView') {
      if (!this.runs.has(hash)) this.runs.set(hash, new FakeRun())
    }
    this.#resources.set(resource_handler!, { client, type: resource_type!, args: given })
  }

  #resource(client: string, handler: string): Resource {
    const found = this.#resources.get(handler)
    if (found === undefined || found.client !== client) throw new PythonError('UnauthorizedRequestError', '')
    return found
  }

  #run(hash: AimTree | undefined): FakeRun {
    const run = this.runs.get(String(hash)) ?? new FakeRun()
    this.runs.set(String(hash), run)
    return run
  }

  #call(client: string, handler: string, method: string, args: readonly AimTree[]): AimTree {
    const { type, args: given } = this.#resource(client, handler)
    if (type === 'TreeView') {
      const run = this.#run(given.sub)
      if (given.name === 'seqs' && !run.locks.has(client)) this.problems.push('values without the lock')
      if (this.refusedName !== undefined && JSON.stringify(args[0], spelled).includes(this.refusedName)) {
        throw new PythonError('ValueError', `'${this.refusedName}' is not wanted`)
      }
      return treeCall(given.name === 'meta' ? run.meta : run.seqs, method, args)
    }
    if (type === 'Lock') {
      if (method === 'lock' && args[0] !== true) this.problems.push('a lock without force stops the server')
      const { locks } = this.#run(given.run_hash)
      if (method === 'lock') locks.add(client)
      else locks.delete(client)
      return null
    }
    if (type === 'FileManager') {
      const name = String(args[0])
      const run = this.#run(name.split('-')[0])
      if (method === 'poll') return [...run.checkIns].sort().at(-1) ?? null
      run.checkIns.add(name)
      return null
    }
    if (type === 'StructuredRun') {
      const run = this.#run(given.hash_)
      const text = String(args[0])
      if (method === 'add_tag') run.tags.add(text)
      else if (method === 'remove_tag') run.tags.delete(text)
      else if (method.endsWith('.setter')) run.props[method.slice(0, -'.setter'.length) as 'name'] = text
      else throw new PythonError('AttributeError', method)
      return null
    }
    throw new PythonError('AttributeError', `${type} has no ${method}`)
  }

  #write(client: string, message: Buffer, socket: FakeSocket): void {
    // of one that is lost nothing more is read, whatever has come already
    if (!this.#sockets.has(socket)) return
    this.messages++
    const instructions = unpackTree(message) as readonly Instruction[]
    if (message.length > MAX_MESSAGE_BYTES && !instructions.some(([, , args]) => hasBlob(args))) {
      this.problems.push(`a message of ${message.length} bytes`)
    }
    const fault = this.#faultOf(instructions)
    if (fault === 'cut') return this.#lose(socket)
    if (fault === 'hang') return
    try {
      if (fault === 'full') throw new PythonError('RocksIOError', 'IO error: No space left on device')
      for (const [handler, method, args] of instructions) this.#call(client, handler, method, args)
      if (fault === 'lostAnswer') return this.#lose(socket)
      socket.send(Buffer.from('OK'))
    } catch (error) {
      if (!(error instanceof PythonError)) throw error
      socket.send(packTree(exceptionOf(error)))
      // what was pipelined behind it is lost
      this.#lose(socket)
    }
  }

  #faultOf(instructions: readonly Instruction[]): AimFault | undefined {
    if (
      this.isFull &&
      instructions.some(([, , [path]]) => JSON.stringify(path, spelled).includes('artifacts'))
    ) {
      return 'full'
    }
    const planned = this.#fault
    if (planned === undefined) return undefined
    const isMet = instructions.some((instruction) => {
      const args = this.#resources.get(instruction[0])?.args
      if (args?.sub !== planned.runHash) return false
      return planned.isArtifacts ? isOfArtifacts(instruction) : args.name === 'seqs'
    })
    if (!isMet) return undefined
    this.#fault = undefined
    return planned.fault
  }

  #lose(socket: FakeSocket): void {
    this.#sockets.delete(socket)
    setImmediate(() => socket.destroy())
  }
}

function exceptionOf({ className, message }: PythonError) {
  return { module_name: 'builtins', class_name: className, args: '[]', message }
}

function spelled(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

/** What a run's last step of an artifact, and nothing else, writes. */
function isOfArtifacts([, , args]: Instruction): boolean {
  return Array.isArray(args[0]) && (args[0] as readonly unknown[])[3] === 'artifacts_uri'
}
