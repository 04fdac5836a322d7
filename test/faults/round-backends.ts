/**
 * What a round delivers to: TensorBoard, the three fakes and W&B's stand-in, those that speak HTTP each behind a proxy
 * of its own that fails as a seed says, the append fake on a disk that does.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Backend } from '../../src/index.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import type { Random } from '../random.ts'
import type { IdentityServer } from '../sinks/fakes/identity-server.ts'
import type { OffsetServer } from '../sinks/fakes/offset-server.ts'
import type { WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { FaultProxy, type Passing, type ProxyFault } from './fault-proxy.ts'
import { appendFaults, stormFile } from './shaky-append-sink.ts'

/** Servers of all rounds. */
export interface Fakes {
  readonly identity: IdentityServer
  readonly offset: OffsetServer
  readonly wandb: WandbStandIn
}

/** Of the SDK's length; keys are written down nowhere, so every process finds it in its environment. */
export const WANDB_KEY = 'c'.repeat(40)
process.env.WANDB_API_KEY = WANDB_KEY

/** Half a second at the most, so that a round does not wait for its faults. */
const SOON = { 'retry-after': '0.05' }
const HTML = { 'content-type': 'text/html' }
/** A request of fewer bytes is never too large: one item alone that is refused so is refused for good. */
const LARGE_BYTES = 20_000

/** Those after which a client goes on by itself within a second or two. */
const PASSING: readonly ProxyFault[] = [
  { kind: 'reset' },
  { kind: 'lostAnswer' },
  { kind: 'cutAnswer' },
  { kind: 'slow', ms: 40 },
  { kind: 'answer', status: 429 },
  { kind: 'answer', status: 429, headers: SOON },
  { kind: 'answer', status: 500, headers: HTML, body: '<h1>Internal Server Error</h1>' },
  { kind: 'answer', status: 502 },
  { kind: 'answer', status: 503, headers: SOON },
  { kind: 'answer', status: 504 },
  { kind: 'answerInstead', status: 502, headers: HTML, body: '<h1>Bad Gateway</h1>' },
  { kind: 'answer', status: 413 },
]
/** Those that hold a process up for longer than it lives. */
const LASTING: readonly ProxyFault[] = [
  { kind: 'silent' },
  { kind: 'stalledAnswer' },
  { kind: 'answer', status: 401, body: '{"error":"unknown token"}' },
]

/** How much of what a round sends meets a fault while its trainers are killed, and while the rest is delivered. */
export const STORMS = {
  killing: { share: 0.2, faults: [...PASSING, ...PASSING, ...LASTING] },
  syncing: {
    share: 0.05,
    faults: [...PASSING, ...PASSING, { kind: 'answer', status: 401 } satisfies ProxyFault],
  },
} as const

export class RoundBackends {
  readonly config: Backend
  readonly appendFolder: string
  /** Before the identity fake. */
  readonly identity: FaultProxy
  /** Before W&B's stand-in. */
  readonly wandb: FaultProxy
  readonly #offset: FaultProxy
  readonly #random: Random

  private constructor(
    random: Random,
    appendFolder: string,
    proxies: Readonly<Record<keyof Fakes, FaultProxy>>,
  ) {
    this.#random = random
    this.identity = proxies.identity
    this.wandb = proxies.wandb
    this.#offset = proxies.offset
    this.appendFolder = appendFolder
    this.config = {
      tensorboard: {},
      identity: { module: modulePath('../sinks/fakes/identity-sink'), url: this.identity.uri },
      offset: { module: modulePath('../sinks/fakes/offset-sink'), url: this.#offset.uri },
      append: { module: modulePath('./shaky-append-sink'), folder: appendFolder },
      wandb: { baseUrl: this.wandb.uri, intervalMs: 0 },
    }
  }

  /** @param folder for the append fake; made here, removed by `stop()` */
  static async start(random: Random, folder: string, fakes: Fakes): Promise<RoundBackends> {
    mkdirSync(folder, { recursive: true })
    const [identity, offset, wandb] = await Promise.all([
      FaultProxy.start(fakes.identity.url),
      FaultProxy.start(fakes.offset.url),
      FaultProxy.start(fakes.wandb.url),
    ])
    return new RoundBackends(random, folder, { identity, offset, wandb })
  }

  storm(name: keyof typeof STORMS): void {
    const { share, faults } = STORMS[name]
    for (const proxy of this.#proxies) {
      // a long text goes to W&B in its stream, alone
      const largeBytes = proxy === this.wandb ? 10 * LARGE_BYTES : LARGE_BYTES
      const fitting = (fault: ProxyFault, passing: Passing) => fits(fault, passing, largeBytes)
      proxy.storm({ seed: this.#random.below(2 ** 31), share, faults, fits: fitting })
    }
    const text = JSON.stringify({ share, seed: this.#random.below(2 ** 31) })
    writeFileSync(stormFile(this.appendFolder), text)
  }

  heal(): void {
    for (const proxy of this.#proxies) proxy.heal()
    rmSync(stormFile(this.appendFolder), { force: true })
  }

  /** Faults that befell something so far, by kind. */
  faults(): Map<string, number> {
    const counts = new Map<string, number>([['disk', appendFaults(this.appendFolder)]])
    for (const proxy of this.#proxies) {
      for (const [kind, count] of proxy.injected) counts.set(kind, (counts.get(kind) ?? 0) + count)
    }
    return counts
  }

  async stop(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()))
    rmSync(this.appendFolder, { recursive: true, force: true })
  }

  get #proxies(): readonly FaultProxy[] {
    return [this.identity, this.#offset, this.wandb]
  }
}

/** Whether a fault can befall a request: a file (PUT) that is too large once is refused for good. */
export function fits(
  fault: ProxyFault,
  { method, bytes }: Passing,
  largeBytes: number = LARGE_BYTES,
): boolean {
  return fault.kind !== 'answer' || fault.status !== 413 || (method === 'POST' && bytes >= largeBytes)
}

function modulePath(path: string): string {
  return fileURLToPath(workerUrl(path, import.meta.url))
}
