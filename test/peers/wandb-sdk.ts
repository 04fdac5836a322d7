/** Programs that use the official wandb SDK, kept from everything but the server they are told. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PEERS_FOLDER } from './python.ts'

const TIMEOUT_MS = 180_000

/** As the SDK wants it: 40 characters. */
export function madeUpKey(): string {
  return randomBytes(20).toString('hex')
}

/**
 * Runs a script of this folder with a home of its own.
 * @returns what it printed on stdout
 * @throws Error with what it printed, when it fails
 */
export function runWandbScript(
  python: string,
  server: { readonly url: string; readonly key: string },
  script: string,
  args: readonly string[],
): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'tracelet-wandb-'))
  const kept = Object.entries(process.env).filter(([name]) => !/^(?:WANDB_|TRACELET_|HOME$)/.test(name))
  const env = {
    ...Object.fromEntries(kept),
    ...{ HOME: home, WANDB_DIR: home, WANDB_CACHE_DIR: home, WANDB_CONFIG_DIR: home, WANDB_DATA_DIR: home },
    ...{ WANDB_BASE_URL: server.url, WANDB_API_KEY: server.key, WANDB_MODE: 'online' },
    ...{ WANDB_ERROR_REPORTING: 'false', WANDB_DISABLE_GIT: 'true', WANDB_DISABLE_CODE: 'true' },
    PYTHONIOENCODING: 'utf-8',
  }
  const options = { cwd: home, env, timeout: TIMEOUT_MS, maxBuffer: 1024 * 1024 * 1024 }
  return new Promise<string>((resolve, reject) => {
    execFile(python, [join(PEERS_FOLDER, script), ...args], options, (error, stdout, stderr) => {
      rmSync(home, { recursive: true, force: true, maxRetries: 10 })
      if (error) reject(new Error(`${script}: ${error.message}\n${stdout}\n${stderr}`, { cause: error }))
      else resolve(stdout)
    })
  })
}
