/** Connections to one W&B server, and who we are to it. */
import { HttpClient, type HttpOptions } from '../http.ts'
import { WandbApi } from './api.ts'
import { findCredentials, type NoCredentials } from './credentials.ts'
import type { PreparedOptions } from './options.ts'

/** Of all runs of a thread together: each has one request in flight. */
export const CONNECTIONS = 16
/** To a store behind the server. */
const UPLOAD_CONNECTIONS = 8
/** A store may take long over a large file; how long that is waited for is the pipeline's to say. */
const UPLOAD_ANSWER_MS = 3_600_000

export class Door {
  readonly api: WandbApi
  readonly #http: HttpClient
  readonly #settings: HttpOptions

  private constructor(settings: HttpOptions, baseUrl: string) {
    this.#settings = settings
    this.#http = new HttpClient(settings)
    this.api = new WandbApi(this.#http, baseUrl)
  }

  /** @throws TraceletError ERR_OPTION when a TLS file cannot be read */
  static open(options: PreparedOptions): Door | NoCredentials {
    const credentials = findCredentials(options)
    if ('missing' in credentials) return credentials
    const { baseUrl, caFile, insecureTls } = options
    const settings: HttpOptions = {
      origin: new URL(baseUrl).origin,
      connections: CONNECTIONS,
      headers: { 'user-agent': 'tracelet', ...credentials.headers },
      secrets: credentials.secrets,
      caFile,
      insecureTls,
    }
    return new Door(settings, baseUrl)
  }

  /** A way to a store, which gets none of our credentials. */
  readonly openStore = (origin: string): HttpClient => {
    const { caFile, insecureTls } = this.#settings
    return new HttpClient({
      origin,
      connections: UPLOAD_CONNECTIONS,
      lane: 'uploads',
      answerTimeoutMs: UPLOAD_ANSWER_MS,
      headers: { 'user-agent': 'tracelet' },
      secrets: [],
      // the server's own authority may stand for a store beside it, but a public store has another
      moreCaFile: caFile,
      insecureTls,
    })
  }

  async close(): Promise<void> {
    await this.#http.close()
  }
}
