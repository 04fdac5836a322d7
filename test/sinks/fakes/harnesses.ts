/** The three shapes of backend, proven without any real one. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunInfo } from '../../../src/core/types.ts'
import type { SinkDefinition } from '../../../src/sinks/contract.ts'
import type { Fault, SinkHarness, StartHarness, StoredPoint, StoredRun, StoredUpload } from '../harness.ts'
import { appendFile, defineAppendSink, type WriteAt } from './append-sink.ts'
import { HTTP_FAULTS } from './fault-server.ts'
import holding from './holding-sink.ts'
import { IDENTITY_LIMITS, IdentityServer, REFUSED_NAME } from './identity-server.ts'
import identity from './identity-sink.ts'
import naming from './naming-sink.ts'
import { OffsetServer, REFUSED_SERIES } from './offset-server.ts'
import offset from './offset-sink.ts'
import type { RemoteRun } from './remote-runs.ts'
import { keyOf } from './wire.ts'

const TOKEN = 'the-secret-of-the-fake'
const NOTHING: StoredRun = { points: [], params: {}, tags: {}, outcome: undefined }

function toStored(run: RemoteRun, uploads: readonly StoredUpload[] = []): Omit<StoredRun, 'points'> {
  const { params, tags, outcome } = run
  const [alerts, inputs] = [[...run.alerts.values()], [...run.inputs.values()]]
  const named = uploads.filter(({ kind }) => kind === 'input').map(({ name }) => name)
  const files = uploads.filter(({ kind }) => kind === 'files').map((one) => one.files)
  return {
    ...{ params, tags, outcome, alerts, rewinds: [...run.rewinds.values()] },
    ...{ inputs: [...inputs, ...named], files: Object.assign({}, ...files) },
  }
}

export const startIdentity: StartHarness = () => startOn(identity as SinkDefinition, false)

/** A later value of a step replaces the one before, whatever its time. */
export const startOverwriting: StartHarness = () => {
  const { rewind: _, ...capabilities } = identity.capabilities
  const records = capabilities.records.filter((kind) => kind !== 'rewind')
  const definition = {
    ...identity,
    kind: 'overwriting',
    limits: { ...identity.limits, inFlight: 1 },
    capabilities: { ...capabilities, records, rewind: 'overwrite' },
  } as unknown as SinkDefinition
  return startOn(definition, true)
}

async function startOn(definition: SinkDefinition, overwrites: boolean): Promise<SinkHarness> {
  const server = await IdentityServer.start(TOKEN)
  server.overwrites = overwrites
  return {
    definition,
    options: { url: server.url, token: TOKEN },
    secrets: [TOKEN],
    faults: [...HTTP_FAULTS, 'gone'],
    failNext: (fault, run) => server.failNext(fault, run.id),
    async stored(run) {
      const held = server.runs.get(run.id)
      return held === undefined
        ? NOTHING
        : { ...toStored(held, held.uploads.stored), points: [...held.points.values()] }
    },
    keyOf,
    poison: { name: REFUSED_NAME, value: 1 },
    uploads: {
      stored: (run) => server.storedUploads(run.id),
      failNext: (fault) => server.failNextUpload(fault),
      faults: HTTP_FAULTS,
      fill(isFull) {
        server.isFull = isFull
      },
      maxFileBytes: IDENTITY_LIMITS.fileBytes,
    },
    oversize: () => server.oversize,
    stop: () => server.stop(),
  }
}

export const startOffset: StartHarness = () => startStream(offset as SinkDefinition)

/** Rows name what is uploaded. */
export const startNaming: StartHarness = () => startStream(naming as SinkDefinition)

/** Has beats, and holds texts until one. */
export const startHolding: StartHarness = () => startStream(holding as SinkDefinition)

async function startStream(definition: SinkDefinition): Promise<SinkHarness> {
  const server = await OffsetServer.start(TOKEN)
  return {
    definition,
    options: { url: server.url, token: TOKEN },
    // lines so long that fewer of them than `maxItems` fit into a request
    tuning: { padding: 2_000, lingerMs: 700 },
    secrets: [TOKEN],
    faults: [...HTTP_FAULTS, 'gone'],
    failNext: (fault, run) => server.failNext(fault, run.id),
    async stored(run) {
      const held = server.runs.get(run.id)
      return held === undefined ? NOTHING : { ...toStored(held), points: server.points(run.id) }
    },
    keyOf,
    poison: { name: REFUSED_SERIES, value: 1 },
    ...(definition.capabilities.records.includes('text') && { held: (run) => server.mentions(run.id) }),
    ...(definition.capabilities.uploads && {
      uploads: {
        stored: (run) => server.storedUploads(run.id),
        mentioned: (run) => server.mentions(run.id),
        failNext: (fault) => server.failNextUpload(fault),
        faults: HTTP_FAULTS,
        fill(isFull) {
          server.isFull = isFull
        },
      },
    }),
    // A line that came again with another content, or a gap, is as bad as too large a request.
    oversize: () => server.oversize + server.gaps + server.conflicts,
    stop: () => server.stop(),
  }
}

export const startAppend: StartHarness = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-append-'))
  let fault: Fault | undefined
  const write: WriteAt = async (file, bytes, position, signal) => {
    const planned = fault
    fault = undefined
    const plain = async (count: number) => (await file.write(bytes, 0, count, position)).bytesWritten
    if (planned === 'cut') throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    if (planned === 'full') {
      await plain(Math.min(7, bytes.length))
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    }
    if (planned === 'falseSuccess') return plain(Math.max(0, bytes.length - 5))
    if (planned === 'lostAnswer') {
      await plain(bytes.length)
      throw Object.assign(new Error('EINTR'), { code: 'EINTR' })
    }
    if (planned === 'hang') {
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    return plain(bytes.length)
  }
  return {
    definition: defineAppendSink(write),
    options: { folder },
    secrets: [],
    faults: ['cut', 'full', 'falseSuccess', 'lostAnswer', 'hang', 'gone'],
    failNext(next, run) {
      if (next === 'gone') rmSync(appendFile(folder, run.id))
      else fault = next
    },
    stored: async (run) => readAppended(folder, run),
    keyOf,
    oversize: () => 0,
    stop: async () => rmSync(folder, { recursive: true, force: true }),
  } satisfies SinkHarness
}

export function readAppended(folder: string, run: Pick<RunInfo, 'id'>): StoredRun {
  const path = appendFile(folder, run.id)
  if (!existsSync(path)) return NOTHING
  let points: StoredPoint[] = []
  const rewinds: number[] = []
  const stored = { params: {}, tags: {}, files: {}, outcome: undefined as StoredRun['outcome'] }
  const named: Record<string, string[]> = { alert: [], input: [] }
  for (const line of readFileSync(path, 'utf8').split('\n').slice(0, -1)) {
    const [kind, ...content] = JSON.parse(line)
    if (kind === 'point') {
      const [key, step, time, value] = content
      points.push({ key, step, time, value: Number(value) })
    } else if (kind === 'rewind') {
      const { fromStep } = content[0]
      points = points.filter(({ step }) => step < fromStep)
      rewinds.push(fromStep)
    } else if (kind === 'state') stored.outcome = content[0]
    else if (kind in named) named[kind]!.push(content[0].name)
    else if (kind === 'files') Object.assign(stored.files, content[0])
    else Object.assign(kind === 'params' ? stored.params : stored.tags, content[0])
  }
  return { ...stored, points, rewinds, alerts: named.alert!, inputs: named.input! }
}
