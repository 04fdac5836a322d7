/** What `tracelet doctor` finds out about the folder of event files. */
import { closeSync, existsSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Finding } from '../contract.ts'

export async function probeTensorBoard({
  logDir,
}: {
  readonly logDir: string | undefined
}): Promise<readonly Finding[]> {
  const what = 'event files'
  if (logDir === undefined) return [{ level: 'ok', what, seen: "lie in each run's own folder" }]
  const folder = nearestThere(logDir)
  const isMissing = folder !== logDir
  try {
    if (!statSync(folder).isDirectory()) {
      return [
        {
          level: 'fail',
          what,
          seen: `${folder} is not a folder`,
          fix: 'remove it or set TRACELET_TENSORBOARD_LOGDIR',
        },
      ]
    }
    const file = join(folder, `.tracelet-probe-${process.pid}`)
    closeSync(openSync(file, 'wx', 0o600))
    rmSync(file)
  } catch (error) {
    const fix = `make ${folder} writable for this user, or set TRACELET_TENSORBOARD_LOGDIR`
    return [{ level: 'fail', what, seen: `cannot write below ${folder}: ${(error as Error).message}`, fix }]
  }
  return [
    {
      level: 'ok',
      what,
      seen: isMissing ? `${logDir} will be made by the first run` : `${logDir} is writable`,
    },
  ]
}

/** The path itself or the nearest one above it that exists. */
function nearestThere(path: string): string {
  let at = path
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  return at
}
