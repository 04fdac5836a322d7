/** The settings files that `wandb login`, `wandb init` and `wandb offline` write. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from '../../core/options.ts'
import { readIniSection } from '../ini-file.ts'

/** What of them matters here, as it stands there. */
export interface Settings {
  readonly base_url?: string | undefined
  readonly entity?: string | undefined
  readonly project?: string | undefined
  readonly mode?: string | undefined
}

/**
 * The user's file (`~/.config/wandb/settings`), over it that of the working folder (`./wandb/settings`). What cannot
 * be read counts as empty.
 */
export function readSettings(
  environment: Environment = process.env,
  home: string = homedir(),
  folder: string = process.cwd(),
): Settings {
  const shared = environment.WANDB_CONFIG_DIR || join(home, '.config', 'wandb')
  const own = environment.WANDB_DIR || folder
  return {
    ...readDefaults(join(shared, 'settings')),
    ...readDefaults(join(own, 'wandb', 'settings')),
    ...readDefaults(join(own, '.wandb', 'settings')),
  }
}

/** Section `[default]`; values that are empty are left out: what the user's file says stands then. */
function readDefaults(path: string): Settings {
  return Object.fromEntries(
    Object.entries(readIniSection(path, 'default')).filter(([, value]) => value !== ''),
  )
}
