/** The options of `backend: 'aim'` and what they mean. */
import { createHash } from 'node:crypto'
import { basename, dirname, resolve } from 'node:path'
import { TraceletError } from '../../core/errors.ts'
import type { OptionsOf, OptionTable } from '../../core/options.ts'
import type { RunInfo } from '../../core/types.ts'
import { folderOf as folderOfUri } from '../folder-store.ts'
import type { AimConnectionOptions } from './connection.ts'

export const AIM_OPTIONS = {
  repo: {
    type: 'string',
    default: '.',
    env: ['AIM_REPO'],
    doc: 'the repository: a folder of this machine, or `aim://host:port` of an `aim server` (`aims://` with TLS), with its base path if it has one',
  },
  python: {
    type: 'string',
    env: ['TRACELET_AIM_PYTHON'],
    doc: 'for a repository that is a folder: the Python that has `aim` (default: the first of `python3`, `python` that has it)',
  },
  makePython: {
    type: 'boolean',
    default: false,
    env: ['TRACELET_AIM_MAKE_PYTHON'],
    doc: "for a repository that is a folder: where no Python has `aim`, make a virtual environment with it in the user's cache folder (390 MB)",
  },
  experiment: { type: 'string', doc: "experiment to log to, instead of the run's expName" },
  runHash: {
    type: 'string',
    doc: 'continues the run of this hash, which another client may have begun; default: a new one',
  },
  epochMetric: {
    type: 'string',
    default: 'epoch',
    doc: "series whose value is the epoch of all that is logged with it, as Aim's `track(epoch=…)`",
  },
  artifacts: {
    type: 'string',
    doc: "folder (or `file:` address) that files of artifacts are copied to, as Aim's `set_artifacts_uri`; without one Aim is told where they lie",
  },
  headers: {
    type: 'strings',
    secret: true,
    doc: "sent with every request, for a proxy before the server: 'Authorization: Bearer …'",
  },
  caFile: {
    type: 'string',
    env: ['__AIM_CLIENT_SSL_CERTIFICATES_FILE__'],
    doc: "PEM file of the certificate authorities to trust instead of Node's",
  },
  insecureTls: {
    type: 'boolean',
    default: false,
    doc: "accept any certificate: only for tests, the server's identity is not checked",
  },
} as const satisfies OptionTable
export type AimOptions = OptionsOf<typeof AIM_OPTIONS>

/** As `aim server` itself. */
const DEFAULT_PORT = 53800
const HASH_DIGITS = 24

/** Where the repository is. */
export type AimPlace = AimAddress | { readonly folder: string }
export interface AimAddress {
  readonly origin: string
  /** '' or as `/tracking`. */
  readonly basePath: string
}

/**
 * Checks what was given and moves credentials out of the address, so that it can be written down and shown.
 * @throws TraceletError ERR_OPTION
 */
export function prepareOptions(options: AimOptions): AimOptions {
  const wrong = (problem: string) => new TraceletError('ERR_OPTION', `backend aim: ${problem}`)
  const { runHash } = options
  if (runHash !== undefined && !/^[0-9a-z]{1,64}$/i.test(runHash)) {
    throw wrong("the option 'runHash' must be letters and digits, as Aim's list of runs shows it")
  }
  if (options.artifacts !== undefined && folderOfStore(options.artifacts) === undefined) {
    throw wrong(
      "the option 'artifacts' must be a folder or a 'file:' address: other stores are not written to",
    )
  }
  for (const header of options.headers ?? []) {
    if (!/^[\w-]+:\s*\S/.test(header) || /[\r\n]/.test(header)) {
      throw wrong("each of the option 'headers' must be 'Name: value'")
    }
  }
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(options.repo)?.[1]?.toLowerCase()
  if (scheme === undefined) {
    if (options.repo.trim() === '')
      throw wrong("the option 'repo' is empty: give a folder or 'aim://host:port'")
    return { ...options, repo: folderOf(options.repo) }
  }
  const web = { aim: 'http', http: 'http', aims: 'https', https: 'https' }[scheme]
  if (web === undefined) {
    throw wrong(`the option 'repo' is a '${scheme}:' address, but Aim has folders and 'aim://host:port'`)
  }
  let url: URL
  try {
    url = new URL(options.repo.replace(/^[a-z]+/i, web))
  } catch {
    throw wrong("the option 'repo' is not a valid address: give 'aim://host:port'")
  }
  const { username, password } = url
  const authorization = username
    ? [`Authorization: Basic ${Buffer.from(`${decode(username)}:${decode(password)}`).toString('base64')}`]
    : []
  // of http(s) a URL forgets the usual port
  const { port } = new URL(options.repo.replace(/^[a-z]+/i, 'aim'))
  const usual = { aim: DEFAULT_PORT, aims: DEFAULT_PORT, http: 80, https: 443 }[scheme]
  const host = `${url.hostname}:${port || usual}`
  const path = url.pathname.replace(/\/+$/, '')
  return {
    ...options,
    repo: `${web === 'https' ? 'aims' : 'aim'}://${host}${path}`,
    headers: authorization.length > 0 ? [...(options.headers ?? []), ...authorization] : options.headers,
  }
}

/** Of prepared options. */
export function placeOf({ repo }: AimOptions): AimPlace {
  const parts = /^(aims?):\/\/([^/]+)(.*)$/.exec(repo)
  if (parts === null) return { folder: repo }
  const [, scheme, host, basePath] = parts
  return { origin: `${scheme === 'aims' ? 'https' : 'http'}://${host}`, basePath: basePath! }
}

/** Of prepared options: how a server is spoken to. */
export function connectionOf(options: AimOptions, { origin, basePath }: AimAddress): AimConnectionOptions {
  const pairs = (options.headers ?? []).map((header) => {
    const colon = header.indexOf(':')
    return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()] as const
  })
  // also the part of 'Bearer …' that is the secret itself
  const secrets = pairs.flatMap(([, value]) => [value, value.split(' ').at(-1)!])
  const { caFile, insecureTls } = options
  return { origin, basePath, headers: Object.fromEntries(pairs), secrets, caFile, insecureTls }
}

export function experimentOf(options: AimOptions, run: RunInfo): string {
  return options.experiment ?? (run.experiment || run.project || 'default')
}

/** The same for every start of a run, without anything of a server being known. */
export function runHashOf(options: AimOptions, run: RunInfo): string {
  return options.runHash ?? createHash('sha256').update(run.nonce).digest('hex').slice(0, HASH_DIGITS)
}

export function addressOf(given: AimOptions, run: RunInfo): string {
  const options = prepareOptions(given)
  const joined = options.runHash === undefined ? '' : ` run ${options.runHash}`
  return `${options.repo} experiment '${experimentOf(options, run)}'${joined}`
}

/** Server or folder, and the user unreadable. */
export function accountOf(given: AimOptions): string {
  const options = prepareOptions(given)
  const who = options.headers?.join('\n')
  return `aim ${options.repo}${who ? ` #${createHash('sha256').update(who).digest('hex').slice(0, 8)}` : ''}`
}

/** Absolute; undefined when it is an address of another kind. */
export function folderOfStore(store: string): string | undefined {
  return /^[a-z][a-z0-9+.-]+:/i.test(store) ? folderOfUri(store) : resolve(store)
}

/** As Aim takes it: the folder that holds `.aim`, or `.aim` itself. */
function folderOf(path: string): string {
  const whole = resolve(path)
  return basename(whole) === '.aim' ? dirname(whole) : whole
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
