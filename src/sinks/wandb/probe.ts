/** What `tracelet doctor` finds out about a W&B server: two questions that change nothing. */
import { TraceletError } from '../../core/errors.ts'
import type { Finding } from '../contract.ts'
import type { Refusal } from '../http.ts'
import type { WandbApi } from './api.ts'
import { findCredentials } from './credentials.ts'
import { Door } from './door.ts'
import { appUrlOf } from './hosts.ts'
import { type PreparedOptions, prepareOptions, type WandbOptions } from './options.ts'

const VIEWER = 'query Viewer { viewer { id entity username flags teams { edges { node { name } } } } }'
/** What tracelet uses where a server has it. */
const USED: readonly string[] = ['FILESTREAM_GZIP', 'STRUCTURED_CONSOLE_LOGS']
/** The SDK takes no shorter key. */
const MIN_KEY_CHARS = 40
/** Three parts of a JSON Web Token, which have no length to go by. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/

export async function probeWandb(given: WandbOptions, signal: AbortSignal): Promise<readonly Finding[]> {
  let options: PreparedOptions
  let door: ReturnType<typeof Door.open>
  try {
    options = prepareOptions(given)
    if (options.mode === 'disabled')
      return [{ level: 'ok', what: 'mode', seen: 'disabled: nothing is logged there' }]
    door = Door.open(options)
  } catch (error) {
    const seen = error instanceof TraceletError ? error.message : String(error)
    return [{ level: 'fail', what: 'options', seen, fix: 'correct the option or its environment variable' }]
  }
  const mode: readonly Finding[] =
    options.mode === 'offline'
      ? [{ level: 'ok', what: 'mode', seen: 'offline: runs are sent by tracelet sync' }]
      : []
  if (!(door instanceof Door))
    return [...mode, { level: 'fail', what: 'credentials', ...withoutKey(door.missing) }]
  try {
    const viewer = await door.api.graphql<ViewerAnswer>('Viewer', VIEWER, {}, signal)
    if ('refusal' in viewer) return [...mode, refused(options, viewer.refusal)]
    const who = viewer.data.viewer
    if (!who) return [...mode, refusedKey(options, 'the server knows nobody of this key')]
    return [
      ...mode,
      await serverFinding(options, door.api, signal),
      keyFinding(options, who),
      entityFinding(options, who),
    ]
  } finally {
    await door.close()
  }
}

async function serverFinding(
  { baseUrl }: PreparedOptions,
  api: WandbApi,
  signal: AbortSignal,
): Promise<Finding> {
  const used = [...((await api.features(signal)) ?? [])].filter((feature) => USED.includes(feature))
  const features = used.length > 0 ? `, with ${used.join(' and ')}` : ''
  return { level: 'ok', what: 'server', seen: `${baseUrl} answers as W&B does${features}` }
}

/** A short key is told and not refused: whoever runs the server says what a key is. */
function keyFinding(options: PreparedOptions, { username }: Viewer): Finding {
  const credentials = findCredentials(options)
  if ('missing' in credentials)
    return { level: 'fail', what: 'credentials', ...withoutKey(credentials.missing) }
  const { key, source } = credentials
  const secret = key.slice(key.indexOf('-') + 1)
  const seen = `the key of ${source} is that of ${username || 'a user'}`
  if (TOKEN.test(key) || secret.length >= MIN_KEY_CHARS) return { level: 'ok', what: 'credentials', seen }
  return {
    level: 'warn',
    what: 'credentials',
    seen: `${seen}, and has ${secret.length} characters; the official SDK takes none below ${MIN_KEY_CHARS}`,
    fix: `see that it is whole: ${appUrlOf(options)}/authorize shows it`,
  }
}

function entityFinding({ entity }: PreparedOptions, { entity: own, teams }: Viewer): Finding {
  const names = (teams?.edges ?? []).flatMap((edge) => (edge?.node?.name ? [edge.node.name] : []))
  const all = [...new Set([...(own ? [own] : []), ...names])]
  if (entity === '') {
    if (own) return { level: 'ok', what: 'entity', seen: `runs go to ${own}, the key's default` }
    return {
      level: 'warn',
      what: 'entity',
      seen: 'none is named, and the key has no default',
      fix: `set WANDB_ENTITY${all.length > 0 ? `, such as ${all[0]}` : ''}`,
    }
  }
  if (all.includes(entity)) return { level: 'ok', what: 'entity', seen: `runs go to ${entity}` }
  return {
    level: 'warn',
    what: 'entity',
    seen: `${entity} is not among the key's own and its teams: ${all.join(', ') || 'none'}`,
    fix: 'correct WANDB_ENTITY, or ask for access to that team',
  }
}

function refused(options: PreparedOptions, { code, reason }: Refusal): Finding {
  if (code === 'ERR_AUTH') return refusedKey(options, reason)
  if (code === 'ERR_CERTIFICATE') {
    const fix = "set the option caFile or SSL_CERT_FILE to the file of the server's certificate authority"
    return { level: 'fail', what: 'server', seen: reason, fix }
  }
  const fix =
    code === 'ERR_UNREACHABLE'
      ? `check the network and the address: WANDB_BASE_URL, ${options.baseUrl} now`
      : 'check that the address is that of a W&B server, and that no proxy answers in its place'
  return { level: code === 'ERR_RATE_LIMITED' ? 'warn' : 'fail', what: 'server', seen: reason, fix }
}

function refusedKey(options: PreparedOptions, reason: string): Finding {
  const credentials = findCredentials(options)
  const source = 'missing' in credentials ? 'no key' : `the key of ${credentials.source}`
  const fix = `set WANDB_API_KEY to a key of this server: ${appUrlOf(options)}/authorize`
  return { level: 'fail', what: 'credentials', seen: `refused with ${source}: ${reason}`, fix }
}

/** The reason ends with what is to be done. */
function withoutKey(missing: string): Pick<Finding, 'seen' | 'fix'> {
  const at = missing.indexOf('. Set ')
  return at === -1
    ? { seen: missing, fix: 'set WANDB_API_KEY' }
    : { seen: missing.slice(0, at), fix: `s${missing.slice(at + 3)}` }
}

interface Viewer {
  readonly entity?: string | null
  readonly username?: string | null
  readonly teams?: {
    readonly edges?: readonly ({ readonly node?: { readonly name?: string } | null } | null)[] | null
  } | null
}
interface ViewerAnswer {
  readonly viewer?: Viewer | null
}
