/** Who we are to a W&B server, found as the SDK finds it. */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from '../../core/options.ts'
import { appUrlOf, netrcHosts } from './hosts.ts'
import { readNetrc } from './netrc.ts'
import { prepareOptions, type WandbOptions } from './options.ts'

export interface Credentials {
  /** For requests to the API, never for addresses that it hands out. */
  readonly headers: Readonly<Record<string, string>>
  /** Texts that must be seen nowhere. */
  readonly secrets: readonly string[]
  readonly key: string
  /** Where the key was found, for people. */
  readonly source: string
}

/** Why there is no key, and what to do. */
export interface NoCredentials {
  readonly missing: string
}

/** The option or WANDB_API_KEY first, then the netrc file's entry for the server's host. */
export function findCredentials(
  given: WandbOptions,
  home: string = homedir(),
  environment: Environment = process.env,
): Credentials | NoCredentials {
  const options = prepareOptions(given)
  if (options.apiKey) return withKey(options.apiKey, 'the option apiKey or WANDB_API_KEY')
  const path = netrcPath(home, environment)
  const hosts = netrcHosts(options.baseUrl)
  const found = keyInNetrc(path, hosts)
  if (found.key !== undefined) return withKey(found.key, path)
  const federated = environment.WANDB_IDENTITY_TOKEN_FILE
    ? '; WANDB_IDENTITY_TOKEN_FILE is set, but tracelet does not exchange identity tokens'
    : ''
  return {
    missing:
      `there is no API key for ${options.baseUrl}: ${found.trouble}${federated}. Set WANDB_API_KEY, or add ` +
      `'machine ${hosts[0]} login user password <key>' to ${path}; a key is to be had at ${appUrlOf(options)}/authorize`,
  }
}

function withKey(key: string, source: string): Credentials {
  const basic = Buffer.from(`api:${key}`).toString('base64')
  return { headers: { authorization: `Basic ${basic}` }, secrets: [key, basic], key, source }
}

function netrcPath(home: string, environment: Environment): string {
  const named = environment.NETRC
  if (named) return named.replace(/^~(?=$|[/\\])/, home)
  const usual = join(home, '.netrc')
  const other = join(home, '_netrc')
  const isOther = existsSync(usual) ? false : existsSync(other) || process.platform === 'win32'
  return isOther ? other : usual
}

type NetrcKey = { readonly key: string } | { readonly key?: undefined; readonly trouble: string }

function keyInNetrc(path: string, hosts: readonly string[]): NetrcKey {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return {
      trouble:
        code === 'ENOENT'
          ? `WANDB_API_KEY is not set and there is no ${path}`
          : `${path} cannot be read (${code})`,
    }
  }
  const passwords = readNetrc(text)
  if ('badLine' in passwords) return { trouble: `line ${passwords.badLine} of ${path} is not understood` }
  const host = [...hosts, 'default'].find((name) => passwords.has(name))
  if (host === undefined)
    return { trouble: `WANDB_API_KEY is not set and ${path} has no entry for ${hosts[0]}` }
  const key = passwords.get(host)!.trim()
  return key ? { key } : { trouble: `the entry for ${host} in ${path} has no password` }
}
