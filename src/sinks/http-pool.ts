/**
 * Connections shared by all clients of a thread that talk to one origin. The last that closes frees them.
 */
import { readFileSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import type { Pool } from 'undici'
import { TraceletError } from '../core/errors.ts'

export interface PoolOptions {
  /** Scheme, host and port: `https://host:8443`. */
  readonly origin: string
  /** Connections per origin, shared by every client that asks for the same origin and TLS files. */
  readonly connections: number
  /** Clients with another word share nothing: what is slow by nature must not hold up the rest. */
  readonly lane?: string
  /** Longest wait for an answer after the request has gone out; default 120 s. */
  readonly answerTimeoutMs?: number
  readonly insecureTls?: boolean | undefined
  /** PEM bundle of certificate authorities, instead of Node's. */
  readonly caFile?: string | undefined
  /** The same, beside Node's. */
  readonly moreCaFile?: string | undefined
  /** PEM file with the client's certificate and key. */
  readonly clientCertFile?: string | undefined
}

/** uvicorn closes idle connections after 5 s, and a request on one being closed fails: ours close first. */
const KEEP_ALIVE_MS = 4_000
const CONNECT_TIMEOUT_MS = 10_000
/** A loaded server can take a minute over one request (MLflow on SQLite 26 s); giving up early doubles its work. */
const ANSWER_TIMEOUT_MS = 120_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

interface Shared {
  readonly settings: Pool.Options
  /** Made with the first request: loading undici takes a while, and only threads that send need it. */
  pool: Promise<Pool> | undefined
  users: number
}
const pools = new Map<string, Shared>()

/** One client's share of a pool. */
export class PoolShare {
  readonly #origin: string
  readonly #key: string
  #shared: Shared | undefined

  /** @throws TraceletError ERR_OPTION when a TLS file cannot be read */
  constructor(options: PoolOptions) {
    this.#origin = options.origin
    this.#key = JSON.stringify([
      options.origin,
      options.connections,
      options.lane ?? '',
      options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
      options.insecureTls ?? false,
      options.caFile ?? '',
      options.moreCaFile ?? '',
      options.clientCertFile ?? '',
    ])
    this.#shared = pools.get(this.#key)
    if (this.#shared === undefined) {
      this.#shared = { settings: poolSettings(options), pool: undefined, users: 0 }
      pools.set(this.#key, this.#shared)
    }
    this.#shared.users++
  }

  /** Undefined once closed. */
  async pool(): Promise<Pool | undefined> {
    const shared = this.#shared
    if (shared === undefined) return undefined
    shared.pool ??= openPool(this.#origin, shared.settings).catch((error: unknown) => {
      shared.pool = undefined
      throw error
    })
    return shared.pool
  }

  async close(): Promise<void> {
    const shared = this.#shared
    this.#shared = undefined
    if (shared === undefined || --shared.users > 0) return
    pools.delete(this.#key)
    await (await shared.pool)?.destroy()
  }
}

async function openPool(origin: string, settings: Pool.Options): Promise<Pool> {
  const { Pool } = await import('undici')
  return new Pool(origin, settings)
}

/** @throws TraceletError ERR_OPTION when a TLS file cannot be read */
export function poolSettings(options: PoolOptions): Pool.Options {
  const certificate = options.clientCertFile && pem(options.clientCertFile)
  return {
    connections: options.connections,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    headersTimeout: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
    bodyTimeout: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
    maxResponseSize: MAX_ANSWER_BYTES,
    connect: {
      timeout: CONNECT_TIMEOUT_MS,
      ...(options.insecureTls && { rejectUnauthorized: false }),
      ...(options.caFile && { ca: pem(options.caFile) }),
      ...(options.moreCaFile && { ca: [...rootCertificates, pem(options.moreCaFile)] }),
      ...(certificate && { cert: certificate, key: certificate }),
    },
  }
}

function pem(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new TraceletError('ERR_OPTION', `the certificate file '${file}' cannot be read`, { cause })
  }
}
