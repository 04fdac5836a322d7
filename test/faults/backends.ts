/** Backends that know what they hold, each behind a proxy that fails as told. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { Environment } from '../../src/core/options.ts'
import type { RunId } from '../../src/core/types.ts'
import { fakeModule } from '../pipeline/delivery/run-folder.ts'
import { IdentityServer } from '../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../sinks/fakes/offset-server.ts'
import { FakeMlflow } from '../sinks/mlflow/fake-server.ts'
import { WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { FaultProxy, type Passing } from './fault-proxy.ts'
import { parseLine } from './wandb-rows.ts'

export const BACKENDS = ['identity', 'offset', 'mlflow', 'wandb'] as const
export type BackendName = (typeof BACKENDS)[number]

export interface HeldPoint {
  readonly name: string
  readonly step: number
  readonly value: number
}

export interface FaultyBackend {
  readonly name: BackendName
  readonly proxy: FaultProxy
  /** As `startLogging` takes it. */
  readonly backend: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** What a later process finds in its environment in place of secrets, which are written down nowhere. */
  readonly environment: Environment
  /** Whether a request brings points. */
  readonly bringsPoints: (passing: Passing) => boolean
  /** What is held of the run, doubled where it is doubled; undefined when there is no such run, or more than one. */
  held(
    run: RunId,
  ): { readonly points: readonly HeldPoint[]; readonly outcome: string | undefined } | undefined
  /** SHA-256 of each file of an artifact, by the last part of its path; undefined where it takes none. */
  uploaded?(run: RunId): ReadonlyMap<string, string>
  /** What no correct sink does: lines with gaps or other content, oversize requests, silent losses. */
  crimes(): number
  /** As somebody does at the backend. */
  deleteRun(run: RunId): void
  restoreRun(run: RunId): void
  stop(): Promise<void>
}

export async function startFaulty(name: BackendName): Promise<FaultyBackend> {
  if (name === 'mlflow') return faultyMlflow()
  if (name === 'wandb') return faultyWandb()
  return name === 'identity' ? faultyIdentity() : faultyOffset()
}

async function faultyIdentity(): Promise<FaultyBackend> {
  const server = await IdentityServer.start()
  const proxy = await FaultProxy.start(server.url)
  return {
    name: 'identity',
    proxy,
    backend: { identity: { module: fakeModule('identity'), url: proxy.uri } },
    environment: {},
    bringsPoints: ({ path }) => path.endsWith('/points'),
    held(run) {
      const held = server.runs.get(run)
      return held && { points: [...held.points.values()].map(named), outcome: held.outcome }
    },
    uploaded: (run) =>
      new Map(
        server
          .storedUploads(run)
          .flatMap(({ files }) => Object.entries(files))
          .map(([path, digest]) => [basename(path), digest]),
      ),
    crimes: () => server.oversize,
    deleteRun: (run) => void (server.runs.get(run)!.isGone = true),
    restoreRun: (run) => void (server.runs.get(run)!.isGone = false),
    stop: () => stopBoth(proxy, server),
  }
}

async function faultyOffset(): Promise<FaultyBackend> {
  const server = await OffsetServer.start()
  const proxy = await FaultProxy.start(server.url)
  return {
    name: 'offset',
    proxy,
    backend: { offset: { module: fakeModule('offset'), url: proxy.uri } },
    environment: {},
    bringsPoints: ({ path }) => path.endsWith('/lines'),
    held(run) {
      const held = server.runs.get(run)
      return held && { points: server.points(run).map(named), outcome: held.outcome }
    },
    crimes: () => server.oversize + server.gaps + server.conflicts,
    deleteRun: (run) => void (server.runs.get(run)!.isGone = true),
    restoreRun: (run) => void (server.runs.get(run)!.isGone = false),
    stop: () => stopBoth(proxy, server),
  }
}

async function faultyMlflow(): Promise<FaultyBackend> {
  const fake = await FakeMlflow.start()
  const proxy = await FaultProxy.start(fake.uri)
  const of = (run: RunId) =>
    [...fake.store.runs.values()].filter(({ tags }) => tags.get('tracelet.run_id') === run)
  const setStage = (run: RunId, stage: 'active' | 'deleted') => {
    for (const held of of(run)) held.stage = stage
  }
  return {
    name: 'mlflow',
    proxy,
    backend: { mlflow: { uri: proxy.uri } },
    environment: {},
    bringsPoints: ({ path }) => path.endsWith('/runs/log-batch'),
    held(run) {
      const [held, ...more] = of(run)
      if (held === undefined || more.length > 0) return undefined
      const points = [...held.metrics].flatMap(([name, { step, value }]) =>
        step.map((at, index) => ({ name, step: at, value: value[index]! })),
      )
      return { points, outcome: held.status.toLowerCase() }
    },
    uploaded: () =>
      new Map(
        [...fake.artifacts.files].map(([path, bytes]) => [
          basename(path),
          createHash('sha256').update(bytes).digest('hex'),
        ]),
      ),
    crimes: () => fake.oversizeBodies + fake.store.silentLosses,
    deleteRun: (run) => setStage(run, 'deleted'),
    restoreRun: (run) => setStage(run, 'active'),
    stop: () => stopBoth(proxy, fake),
  }
}

/** Of the SDK's length. */
const WANDB_KEY = 'f'.repeat(40)

async function faultyWandb(): Promise<FaultyBackend> {
  const standIn = await WandbStandIn.start()
  const proxy = await FaultProxy.start(standIn.url)
  // its name there is the run's, which nobody has given another
  const of = (run: RunId) => [...standIn.runs.values()].filter(({ displayName }) => displayName === run)
  const setDeleted = (run: RunId, isDeleted: boolean) => {
    for (const held of of(run)) held.isDeleted = isDeleted
  }
  return {
    name: 'wandb',
    proxy,
    backend: { wandb: { baseUrl: proxy.uri, apiKey: WANDB_KEY, intervalMs: 0 } },
    environment: { WANDB_API_KEY: WANDB_KEY },
    bringsPoints: ({ path, bytes }) => path.endsWith('/file_stream') && bytes > 2,
    held(run) {
      const [held, ...more] = of(run)
      if (held === undefined || more.length > 0) return undefined
      const points = held.history.map(parseLine).flatMap(({ global_step, ...line }) =>
        Object.entries(line)
          .filter(([key]) => !key.startsWith('_'))
          .map(([name, value]) => ({ name, step: global_step as number, value: value as number })),
      )
      return { points, outcome: held.state }
    },
    crimes: () => [...standIn.runs.values()].reduce((sum, { problems }) => sum + problems.length, 0),
    deleteRun: (run) => setDeleted(run, true),
    restoreRun: (run) => setDeleted(run, false),
    stop: () => stopBoth(proxy, standIn),
  }
}

async function stopBoth(proxy: FaultProxy, server: { stop(): Promise<void> }): Promise<void> {
  await proxy.stop()
  await server.stop()
}

function named({ key, step, value }: { key: string; step: number; value: number }): HeldPoint {
  return { name: key, step, value }
}
