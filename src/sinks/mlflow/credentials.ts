/** Who we are to an MLflow server, found as MLflow's own client finds it. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { readIniSection } from '../ini-file.ts'
import type { MlflowOptions } from './options.ts'

export interface Credentials {
  readonly headers: Readonly<Record<string, string>>
  /** Texts that must be seen nowhere. */
  readonly secrets: readonly string[]
}

/** Options first, then `~/.mlflow/credentials`; a user name wins over a token. */
export function findCredentials(options: MlflowOptions, home: string = homedir()): Credentials {
  const file =
    options.username && options.password ? {} : readIniSection(join(home, '.mlflow', 'credentials'), 'mlflow')
  const username = options.username ?? file.mlflow_tracking_username
  const password = options.password ?? file.mlflow_tracking_password
  if (username) {
    const basic = Buffer.from(`${username}:${password ?? ''}`).toString('base64')
    return { headers: { authorization: `Basic ${basic}` }, secrets: [password ?? '', basic].filter(Boolean) }
  }
  if (options.token) {
    return { headers: { authorization: `Bearer ${options.token}` }, secrets: [options.token] }
  }
  return { headers: {}, secrets: [] }
}
