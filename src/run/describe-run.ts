/** Who and where a run is, as `run.json` and every backend have it. */
import { randomUUID } from 'node:crypto'
import { userInfo } from 'node:os'
import { redactText } from '../core/redact.ts'
import type { RunId, RunInfo } from '../core/types.ts'
import { VERSION } from '../core/version.ts'
import { isRunFolder } from '../pipeline/store/folder.ts'
import {
  type RunFile,
  readRunFile,
  runInfo,
  withDestinations,
  writeRunFile,
} from '../pipeline/store/run-file.ts'

export interface GivenIdentity {
  readonly name: string | undefined
  readonly project: string
  readonly expName: string
  readonly group: string | undefined
  readonly parent: RunId | undefined
}

/** A run that starts now. */
export function newRunInfo(id: RunId, folder: string, given: GivenIdentity): RunInfo {
  const { name, project, expName, group, parent } = given
  const user = userName()
  const program = process.argv[1]
  return {
    id,
    name: redactText(name ?? id),
    project,
    experiment: redactText(expName),
    ...(group !== undefined && { group: redactText(group) }),
    ...(parent !== undefined && { parent }),
    ...(user !== undefined && { user }),
    ...(program !== undefined && { program: redactText(program) }),
    createdAt: Date.now(),
    nonce: randomUUID(),
    folder,
  }
}

/** Writes `run.json`, or adds this start to the one that is there; who the run is stays as it was first written. */
export function describeRun(
  run: RunInfo,
  destinations: Parameters<typeof withDestinations>[1],
  retention: 'keep' | 'delivered',
): RunInfo {
  const now = Date.now()
  const { folder, ...identity } = run
  const opened = { tracelet: VERSION, openedAt: now, state: 'running' } as const
  const { retention: _, ...before }: RunFile = isRunFolder(folder)
    ? { ...readRunFile(folder), ...opened }
    : { ...opened, run: identity, destinations: [] }
  const file = withDestinations(
    { ...before, ...(retention === 'delivered' && { retention }) },
    destinations,
    now,
  )
  writeRunFile(folder, file)
  return runInfo(folder, file)
}

/** Undefined where the operating system knows no name for the user's number, as in many containers. */
function userName(): string | undefined {
  try {
    return userInfo().username || undefined
  } catch {
    return process.env.USER || process.env.USERNAME || undefined
  }
}
