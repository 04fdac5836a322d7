/** What `tracelet doctor` finds out about the folder of offline runs. */
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Finding } from '../../contract.ts'
import { type OfflineOptions, prepareOffline } from './options.ts'

export async function probeOffline(options: OfflineOptions): Promise<readonly Finding[]> {
  const what = 'offline runs'
  const root = join(prepareOffline(options).dir, 'wandb')
  const folder = nearestThere(root)
  try {
    if (!statSync(folder).isDirectory()) {
      return [{ level: 'fail', what, seen: `${folder} is not a folder`, fix: 'remove it or set WANDB_DIR' }]
    }
    accessSync(folder, constants.W_OK | constants.X_OK)
  } catch (error) {
    const fix = `make ${folder} writable for this user, or set WANDB_DIR`
    return [{ level: 'fail', what, seen: `cannot write below ${folder}: ${(error as Error).message}`, fix }]
  }
  if (folder !== root) return [{ level: 'ok', what, seen: `${root} will be made by the first run` }]
  const waiting = readdirSync(root).filter((name) => isWaiting(join(root, name), name)).length
  const seen = `${root} is writable`
  if (waiting === 0) return [{ level: 'ok', what, seen }]
  const runs = waiting === 1 ? '1 run there is' : `${waiting} runs there are`
  return [{ level: 'ok', what, seen: `${seen}; ${runs} not sent yet, which \`wandb sync\` does` }]
}

/** With a file, and without the mark that sync leaves. */
function isWaiting(directory: string, name: string): boolean {
  const id = /^offline-run-\d{8}_\d{6}-(.+)$/.exec(name)?.[1]
  if (id === undefined) return false
  const path = join(directory, `run-${id}.wandb`)
  return existsSync(path) && !existsSync(`${path}.synced`)
}

/** The path itself or the nearest one above it that exists. */
function nearestThere(path: string): string {
  let at = path
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at)
  return at
}
