/** Connections to one tracking server: some for points and records, others for uploads. */
import { HttpClient, type HttpOptions } from '../http.ts'
import { MlflowApi } from './api.ts'
import { findCredentials } from './credentials.ts'
import type { MlflowOptions } from './options.ts'

/** More only add latency: the server is the limit. */
export const CONNECTIONS = 2
/**
 * Each file waits for an answer: over a network that is a round trip. On loopback 1, 2 and 4 are alike, 4 to 5 ms a
 * small file.
 */
export const UPLOAD_CONNECTIONS = 4

/**
 * A server may put a file of many GB into its store before it answers. How long that is waited for is the pipeline's
 * to say, which waits longer each time.
 */
const UPLOAD_ANSWER_MS = 3_600_000

/** How the tracking server is spoken to: its address, and who we are to it. */
export function serverSettings(options: MlflowOptions, connections: number): HttpOptions {
  const { uri, workspace, insecureTls, caFile, clientCertFile } = options
  const { headers, secrets } = findCredentials(options)
  return {
    origin: new URL(uri).origin,
    connections,
    headers: {
      'user-agent': 'tracelet',
      ...(workspace && { 'x-mlflow-workspace': workspace }),
      ...headers,
    },
    secrets,
    insecureTls,
    caFile,
    clientCertFile,
  }
}

export class Door {
  readonly api: MlflowApi
  /** Host and port. */
  readonly host: string
  readonly #settings: HttpOptions
  readonly #open: HttpClient[] = []

  /** @throws TraceletError ERR_OPTION when a TLS file cannot be read */
  constructor(options: MlflowOptions) {
    this.#settings = serverSettings(options, CONNECTIONS)
    this.host = new URL(options.uri).host
    this.api = new MlflowApi(this.#client(this.#settings), options.uri)
  }

  /** Ways for content: to the server, and to a store behind it that needs none of our credentials. */
  uploads(): { readonly http: HttpClient; readonly openStore: (origin: string) => HttpClient } {
    const lane = { connections: UPLOAD_CONNECTIONS, lane: 'uploads', answerTimeoutMs: UPLOAD_ANSWER_MS }
    const { insecureTls, caFile } = this.#settings
    // The server's own authority may stand for a store beside it, but a public store has another.
    const plain = { headers: { 'user-agent': 'tracelet' }, secrets: [], insecureTls, moreCaFile: caFile }
    return {
      http: this.#client({ ...this.#settings, ...lane }),
      openStore: (origin) => new HttpClient({ ...plain, ...lane, origin }),
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((client) => client.close()))
  }

  #client(options: HttpOptions): HttpClient {
    const client = new HttpClient(options)
    this.#open.push(client)
    return client
  }
}
