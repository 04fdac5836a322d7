/** The real wandb-core delivers rows that the SDK has written offline: what tracelet is compared with. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runWandbScript } from '../test/peers/wandb-sdk.ts'
import { ROW_KEYS } from './wandb-rows.ts'
import type { WandbServer } from './wandb-server.ts'

/** Marks of a sync beside the log: with them, the next one goes on with the run. */
const MARK = /\.sync(?:ed|state)$/

export class OfflineRun {
  readonly #python: string
  readonly #folder: string

  private constructor(python: string, folder: string) {
    this.#python = python
    this.#folder = folder
  }

  /** Logged by the SDK, which takes some 200 µs a row. */
  static async write(python: string, server: WandbServer, folder: string, rows: number): Promise<OfflineRun> {
    const args = [folder, `core-${rows}`, String(rows), JSON.stringify(ROW_KEYS)]
    const printed = await runWandbScript(python, server, 'write_wandb_offline.py', args)
    return new OfflineRun(python, printed.trim().split('\n').at(-1)!)
  }

  /** Runs `wandb sync` into a run of that id, in a process of its own. */
  async sync(server: WandbServer, id: string): Promise<{ readonly wallS: number; readonly cpuS: number }> {
    for (const name of readdirSync(this.#folder)) if (MARK.test(name)) rmSync(join(this.#folder, name))
    const args = ['--id', id, this.#folder]
    const printed = await runWandbScript(this.#python, server, 'sync_wandb.py', args)
    return JSON.parse(printed.trim().split('\n').at(-1)!) as { wallS: number; cpuS: number }
  }
}
