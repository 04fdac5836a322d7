/** Who we are to an MLflow server, found as MLflow's own client finds it. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { MlflowOptions } from './options.ts'

export interface Credentials {
  readonly headers: Readonly<Record<string, string>>
  /** Texts that must be seen nowhere. */
  readonly secrets: readonly string[]
}

/** Options first, then `~/.mlflow/credentials`; a user name wins over a token. */
export function findCredentials(options: MlflowOptions, home: string = homedir()): Credentials {
  const file = options.username && options.password ? {} : readCredentialsFile(home)
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

/** Section `[mlflow]` of the ini file; empty when there is none. */
function readCredentialsFile(home: string): Readonly<Record<string, string>> {
  let text: string
  try {
    text = readFileSync(join(home, '.mlflow', 'credentials'), 'utf8')
  } catch {
    return {}
  }
  const found: Record<string, string> = {}
  let section = ''
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[([^\]]*)\]/.exec(line)
    if (header) section = header[1]!
    const entry = /^\s*([^#;=:\s][^=:]*?)\s*[=:]\s*(.*?)\s*$/.exec(line)
    if (section === 'mlflow' && !header && entry) found[entry[1]!.toLowerCase()] = entry[2]!
  }
  return found
}
