import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RunInfo, Series } from '../../../src/core/types.ts'
import { contextOf } from '../../../src/sinks/aim/contexts.ts'
import { type AimOptions, prepareOptions, runHashOf } from '../../../src/sinks/aim/options.ts'
import { aim } from '../../../src/sinks/aim/sink.ts'
import { systemSeries } from '../../../src/sinks/aim/system-names.ts'
import { type AimCustom, type AimTree, isBranch } from '../../../src/sinks/aim/tree.ts'
import type { SinkHarness, StoredPoint, StoredRun, StoredUpload } from '../harness.ts'
import { type AimFault, FakeAim } from './fake-server.ts'
import { type FakeRun, PythonError, treeCall } from './fake-store.ts'

const TOKEN = 'a-token-of-the-proxy'
const POISON = 'refused by the server'

export async function start(): Promise<SinkHarness> {
  const fake = new FakeAim()
  fake.authorization = `Bearer ${TOKEN}`
  fake.refusedName = POISON
  const store = mkdtempSync(join(tmpdir(), 'tracelet-aim-store-'))
  const options = {
    repo: await fake.listen(),
    headers: [`Authorization: Bearer ${TOKEN}`],
    artifacts: store,
  }
  const hashOf = (run: RunInfo) => runHashOf(prepareOptions(options as unknown as AimOptions), run)
  return {
    definition: aim,
    options,
    secrets: [TOKEN],
    faults: ['cut', 'lostAnswer', 'full', 'hang'],
    failNext: (fault, run) => fake.failNext(fault as AimFault, hashOf(run)),
    stored: async (run) => storedRun(hashOf(run), fake.runs.get(hashOf(run))),
    keyOf: (series: Series) => {
      const { name, context } = systemSeries(series)
      return keyOf(name, contextOf(context).members)
    },
    poison: { name: POISON, value: 1 },
    uploads: {
      stored: (run) => storedUploads(hashOf(run), fake.runs.get(hashOf(run)), store),
      failNext: (fault, run) => fake.failNext(fault as AimFault, hashOf(run), 'artifacts'),
      faults: ['cut', 'lostAnswer', 'full', 'hang'],
      fill(isFull) {
        fake.isFull = isFull
      },
    },
    oversize: () => fake.problems.length,
    async stop() {
      await fake.stop()
      rmSync(store, { recursive: true, force: true })
    },
  }
}

function keyOf(name: string, context: AimTree): string {
  return `${name} ${JSON.stringify(context)}`
}

function storedRun(hash: string, run: FakeRun | undefined): StoredRun {
  if (run === undefined) return { points: [], params: {}, tags: {}, outcome: undefined }
  const { tags, tracelet, inputs, datasets: _, artifacts: __, ...params } = branch(run, ['attrs'], hash)
  return {
    points: pointsOf(run, hash),
    params: flat(params),
    tags: flat(isBranch(tags) ? tags : {}),
    inputs: Object.keys(isBranch(inputs) ? inputs : {}),
    alerts: alertsOf(run, hash),
    outcome: (isBranch(tracelet) ? tracelet.state : undefined) as StoredRun['outcome'],
  }
}

function alertsOf(run: FakeRun, hash: string): string[] {
  const place = ['seqs', 'chunks', hash, String(contextOf('').hash), '__log_records', 'val']
  return Object.values(read(run.seqs, place)).map((record) => {
    const info = (record as AimCustom).members.__logger_info as readonly AimTree[]
    return String(info[0])
  })
}

/** Those that are told of, with what lies at their addresses. */
function storedUploads(hash: string, run: FakeRun | undefined, store: string): StoredUpload[] {
  if (run === undefined) return []
  const { artifacts = {} } = branch(run, ['attrs'], hash)
  const entries = Object.values(branch(run, ['artifacts'], hash)) as readonly AimCustom[]
  return Object.entries(artifacts as Readonly<Record<string, AimTree>>).map(([name, about]) => {
    const own = entries.filter(({ members }) => members.artifact === name)
    const files = own.map(({ members }) => {
      const path = fileURLToPath(String(members.uri))
      if (!path.startsWith(store)) throw new Error(`${path} is not in the store`)
      return [String(members.file), createHash('sha256').update(readFileSync(path)).digest('hex')] as const
    })
    const kind = String((about as Readonly<Record<string, AimTree>>).kind)
    return { kind, name, files: Object.fromEntries(files) }
  })
}

/** The four arrays of each series, which must have the same keys; in the order in which they came. */
export function pointsOf(run: FakeRun, hash: string): StoredPoint[] {
  const points: StoredPoint[] = []
  const contexts = read(run.seqs, ['seqs', 'v2', 'chunks', hash])
  for (const [contextHash, names] of Object.entries(contexts)) {
    const context = branch(run, ['contexts', contextHash], hash)
    for (const [name, arrays] of Object.entries(names as Readonly<Record<string, AimTree>>)) {
      // what no bookkeeping tells of is seen by nobody
      if (Object.keys(branch(run, ['traces', contextHash, name], hash)).length === 0) continue
      const { val, step, epoch, time } = arrays as Readonly<Record<string, Readonly<Record<string, AimTree>>>>
      for (const key of new Set([val, step, epoch, time].flatMap((array) => Object.keys(array ?? {})))) {
        const [value, at, seconds] = [val![key], step![key], time![key]]
        if (typeof value !== 'number' || typeof at !== 'bigint' || epoch![key] === undefined) {
          throw new Error(`the arrays of ${name} differ at ${key}`)
        }
        const ms = Math.round((seconds as number) * 1000)
        points.push({ key: keyOf(name, context), step: Number(at), time: ms, value })
      }
    }
  }
  return points
}

function branch(run: FakeRun, path: readonly string[], hash: string): Readonly<Record<string, AimTree>> {
  return read(run.meta, ['meta', 'chunks', hash, ...path])
}

function read(place: FakeRun['meta'], path: readonly string[]): Readonly<Record<string, AimTree>> {
  try {
    const tree = treeCall(place, 'collect', [path])
    return isBranch(tree) ? tree : {}
  } catch (error) {
    if (error instanceof PythonError) return {}
    throw error
  }
}

function flat(tree: AimTree, prefix = ''): Record<string, string> {
  if (!isBranch(tree)) return { [prefix]: String(tree) }
  const parts = Object.entries(tree).map(([key, member]) =>
    flat(member, prefix === '' ? key : `${prefix}.${key}`),
  )
  return Object.assign({}, ...parts)
}
