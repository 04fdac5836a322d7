/**
 * A run that is not one: `mode: 'disabled'`. Everything a run can be asked is there and does nothing: no folder, no
 * thread, no file, no count. That no method is missing is the compiler's to check.
 */
import type { RunInfo, Stats } from '../core/types.ts'
import type { AttachedRun, RunHandle } from './handle.ts'
import type { RunLogger } from './logger.ts'
import type { Metric } from './metric.ts'
import type { Run } from './run.ts'

type PublicOf<Class> = { readonly [Member in keyof Class]: Class[Member] }

const NOTHING = (): undefined => undefined

const ZEROS: Stats = {
  accepted: 0,
  inRing: 0,
  journaled: 0,
  before: { points: 0, records: 0 },
  coalesced: 0,
  lost: { laneFull: 0, disk: 0 },
  refused: 0,
  late: 0,
  records: { accepted: 0, parked: 0, journaled: 0, lost: 0 },
  stalls: { count: 0, totalMs: 0 },
  unsyncedMs: 0,
  destinations: {},
}

const NOT_TAKEN = { status: 'taken', files: 0, bytes: 0 } as const

const LOGGER: PublicOf<RunLogger> = {
  log: NOTHING,
  metric: (name: string, context = '') => ({ name, context, log: NOTHING }) as unknown as Metric,
  logParams: NOTHING,
  setTags: NOTHING,
  setNotes: NOTHING,
  defineMetric: NOTHING,
  logDataset: NOTHING,
  useArtifact: NOTHING,
  alert: NOTHING,
  logConsole: NOTHING,
  logText: NOTHING,
  logHistogram: NOTHING,
  logImage: NOTHING,
  logImages: NOTHING,
  logTable: NOTHING,
  logFigure: NOTHING,
  logPrCurve: NOTHING,
  logArtifact: async () => NOT_TAKEN,
  logFile: async () => NOT_TAKEN,
  logCode: async () => NOT_TAKEN,
  logModel: async () => NOT_TAKEN,
}

/** @param info as the run would have had it; nothing is at its folder */
export function disabledRun(info: RunInfo, onFinished: () => void): Run {
  let isFinished = false
  const finish = async () => {
    isFinished = true
    onFinished()
    return ZEROS
  }
  const run: PublicOf<Run> = {
    ...LOGGER,
    id: info.id,
    info,
    firstStep: 0,
    get isFinished() {
      return isFinished
    },
    stopRequested: false,
    handle: () => disabledHandle(info.id),
    stats: () => ZEROS,
    flush: async () => ZEROS,
    finish,
    [Symbol.asyncDispose]: async () => void (await finish()),
  }
  return run as Run
}

/** In another thread. */
export function disabledAttachedRun({ id }: RunHandle): AttachedRun {
  const run: PublicOf<AttachedRun> = {
    ...LOGGER,
    id,
    isClosed: false,
    stopRequested: false,
    flush: async () => true,
  }
  return run as AttachedRun
}

function disabledHandle(id: string): RunHandle {
  const nothing = new SharedArrayBuffer(0)
  const lane = { laneSlots: 0, overflow: 'drop', blockMaxMs: 0 } as const
  return {
    tracelet: 1,
    id,
    number: 0,
    control: nothing,
    channel: '',
    folder: '',
    durability: 'process',
    counters: nothing,
    isDisabled: true,
    ...lane,
  }
}
