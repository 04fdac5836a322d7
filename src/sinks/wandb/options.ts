/** The options of `backend: 'wandb'`, named after the SDK's own environment variables, and what they mean. */
import { createHash } from 'node:crypto'
import { TraceletError } from '../../core/errors.ts'
import type { OptionsOf, OptionTable } from '../../core/options.ts'
import { redactText } from '../../core/redact.ts'
import type { RunInfo } from '../../core/types.ts'
import { DEFAULT_BASE_URL, hostTrouble } from './hosts.ts'
import { readSettings, type Settings } from './settings-file.ts'

export const WANDB_OPTIONS = {
  baseUrl: {
    type: 'string',
    env: ['WANDB_BASE_URL'],
    doc: `address of the server's API (default: \`base_url\` of the SDK's settings files, else \`${DEFAULT_BASE_URL}\`)`,
  },
  apiKey: {
    type: 'string',
    env: ['WANDB_API_KEY'],
    secret: true,
    doc: "API key; else that of the server's host in the netrc file (`NETRC`, `~/.netrc`, `~/_netrc`)",
  },
  entity: {
    type: 'string',
    env: ['WANDB_ENTITY'],
    doc: 'user or team that the run belongs to (default: that of the settings files, else the one the server takes for the key)',
  },
  project: {
    type: 'string',
    doc: "project at W&B, instead of the run's own; what W&B does not allow in the run's own becomes `-`",
  },
  defaultProject: {
    type: 'string',
    env: ['WANDB_PROJECT'],
    doc: "project of runs that name none, whose own is `default`: as in the SDK, the program's word stands over the variable",
  },
  runId: {
    type: 'string',
    env: ['WANDB_RUN_ID'],
    doc: "id of the run at W&B, instead of the run's own. It is for one run: a second one that comes with it is refused (ERR_OTHER_WRITER) unless `resume` says to join. Nested runs do not take it.",
  },
  resume: {
    type: 'string',
    values: ['never', 'allow', 'must', 'auto'],
    default: 'never',
    env: ['WANDB_RESUME'],
    doc: 'whether a run that somebody else has made at W&B under this id is gone on with: `allow` (also written `auto`) does if it is there, `must` only then. What tracelet itself began it goes on with in any case.',
  },
  group: {
    type: 'string',
    doc: "group at W&B, instead of the run's `group`; where there is neither, `expName` is the group, as W&B has no experiments",
  },
  jobType: { type: 'string', env: ['WANDB_JOB_TYPE'], doc: 'what the run does, such as `train` or `eval`' },
  displayName: {
    type: 'string',
    env: ['WANDB_NAME'],
    doc: "name at W&B of a run that has none of its own: the program's `name` stands over it. Nested runs do not take it.",
  },
  notes: {
    type: 'string',
    env: ['WANDB_NOTES'],
    doc: 'notes of a run that is made at W&B, until it logs some of its own',
  },
  tags: {
    type: 'strings',
    env: ['WANDB_TAGS'],
    doc: "tags of a run that is made at W&B, beside the run's own: 1 to 64 characters each",
  },
  mode: {
    type: 'string',
    values: ['online', 'offline', 'disabled', 'run', 'dryrun'],
    env: ['WANDB_MODE'],
    isOfProcess: true,
    doc: "`offline`: nothing is sent there until `tracelet sync`; `disabled`: the run has no such destination (default: that of the settings files, else `online`). The SDK's older words `run` and `dryrun` are `online` and `offline`.",
  },
  intervalMs: {
    type: 'number',
    unit: 'ms',
    default: 15_000,
    min: 0,
    max: 60_000,
    doc: 'longest wait of a row for others to go with. The default is the pace of the SDK; less means more requests, of which W&B takes a limited number',
  },
  appUrl: {
    type: 'string',
    env: ['WANDB_APP_URL'],
    doc: 'address of the web pages, where it does not follow from `baseUrl`',
  },
  caFile: {
    type: 'string',
    env: ['SSL_CERT_FILE'],
    doc: "PEM file of the certificate authorities to trust instead of Node's",
  },
  insecureTls: {
    type: 'boolean',
    default: false,
    env: ['WANDB_INSECURE_DISABLE_SSL'],
    doc: "accept any certificate: only for tests, the server's identity is not checked",
  },
} as const satisfies OptionTable
export type WandbOptions = OptionsOf<typeof WANDB_OPTIONS>

/** What W&B is asked with: '' stands for what nobody said, so that no later environment changes it. */
export type PreparedOptions = WandbOptions & {
  /** Without a slash at its end and without credentials. */
  readonly baseUrl: string
  readonly entity: string
  readonly defaultProject: string
  readonly runId: string
  readonly displayName: string
  readonly notes: string
  readonly tags: readonly string[]
  readonly resume: 'never' | 'allow' | 'must'
  readonly mode: 'online' | 'offline' | 'disabled'
}

/** W&B's own limits, as the SDK checks them. */
const MAX_NAME_CHARS = 128
export const MAX_TAG_CHARS = 64
const NOT_IN_NAMES = /[/\\#?%:]/g
const NOT_IN_RUN_IDS = /[:;,#?/']/
const MODES = {
  online: 'online',
  run: 'online',
  offline: 'offline',
  dryrun: 'offline',
  disabled: 'disabled',
} as const

/**
 * Checks everything, fills in what the SDK's settings files say, and moves a key out of the address, so that it can
 * be written down and shown. Given its own result, it changes nothing.
 * @param settings read from the settings files where not given
 * @throws TraceletError ERR_OPTION
 */
export function prepareOptions(options: WandbOptions, settings?: Settings): PreparedOptions {
  const { baseUrl, entity, defaultProject, mode } = options
  const isOpen = [baseUrl, entity, defaultProject, mode].includes(undefined)
  const saved = settings ?? (isOpen ? readSettings() : {})
  const address = addressAndKey(baseUrl || saved.base_url || DEFAULT_BASE_URL)
  const apiKey = (options.apiKey ?? address.key)?.trim()
  const prepared: PreparedOptions = {
    ...options,
    baseUrl: address.baseUrl,
    entity: entity ?? saved.entity ?? '',
    defaultProject: defaultProject ?? saved.project ?? '',
    runId: options.runId ?? '',
    displayName: redactText(options.displayName ?? ''),
    notes: redactText(options.notes ?? ''),
    tags: (options.tags ?? []).map(redactText),
    resume: options.resume === 'auto' ? 'allow' : options.resume,
    mode: MODES[mode ?? modeOf(saved.mode) ?? 'online'],
    apiKey: apiKey || undefined,
  }
  checkName('entity', prepared.entity)
  checkName('project', prepared.project ?? '')
  checkName('defaultProject', prepared.defaultProject)
  checkRunId(prepared.runId)
  const tag = prepared.tags.find(({ length }) => length === 0 || length > MAX_TAG_CHARS)
  if (tag !== undefined)
    throw wrong(`the option 'tags' holds '${tag}'; a tag of W&B has 1 to ${MAX_TAG_CHARS} characters`)
  return prepared
}

/** The run's own name of its project is made to fit; what was said for W&B was checked. */
export function projectOf(options: WandbOptions, run: RunInfo): string {
  if (options.project) return options.project
  const own = run.project === 'default' ? '' : run.project
  const project = own || options.defaultProject || 'default'
  return project.replace(NOT_IN_NAMES, '-').slice(0, MAX_NAME_CHARS)
}

export function groupOf(options: WandbOptions, run: RunInfo): string | undefined {
  const experiment = run.experiment === 'default' ? '' : run.experiment
  return (options.group || run.group || experiment).slice(0, MAX_NAME_CHARS) || undefined
}

/** The id that the user wants the run to have at W&B; undefined where it is made from the run's own. */
export function givenRunId(options: WandbOptions, run: RunInfo): string | undefined {
  // a nested run has the options of its parent where it was given none
  return run.parent === undefined ? options.runId || undefined : undefined
}

/** The user's word for the run, the program's first; undefined where there is none. */
export function givenName(options: WandbOptions, run: RunInfo): string | undefined {
  if (run.name !== run.id) return run.name
  return run.parent === undefined ? options.displayName || undefined : undefined
}

/** Without secrets: server, entity where one is named, project, and the run's id there where one is named. */
export function addressOf(given: WandbOptions, run: RunInfo): string {
  const options = prepareOptions(given)
  const entity = options.entity ? ` entity '${options.entity}'` : ''
  const id = givenRunId(options, run)
  return `${options.baseUrl}${entity} project '${projectOf(options, run)}'${id ? ` run '${id}'` : ''}`
}

/** Server and key, the key unreadable. */
export function accountOf(given: WandbOptions): string {
  const { baseUrl, apiKey } = prepareOptions(given)
  return `wandb ${baseUrl}${apiKey ? ` #${createHash('sha256').update(apiKey).digest('hex').slice(0, 8)}` : ''}`
}

function addressAndKey(text: string): { readonly baseUrl: string; readonly key: string | undefined } {
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(text)?.[0].toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') {
    const what = scheme ? `a '${scheme}:' address` : 'not an http(s) address'
    throw wrong(`the option 'baseUrl' is ${what}; it is that of a W&B server, such as ${DEFAULT_BASE_URL}`)
  }
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw wrong("the option 'baseUrl' is not a valid address")
  }
  const { username, password } = url
  url.username = ''
  url.password = ''
  url.hash = ''
  url.search = ''
  const trouble = hostTrouble(url)
  if (trouble) throw wrong(`the option 'baseUrl' is ${url.href}: ${trouble}`)
  const key = password || (username === 'api' ? '' : username)
  return { baseUrl: url.href.replace(/\/+$/, ''), key: key ? decode(key) : undefined }
}

function checkName(option: string, name: string): void {
  if (name.length > MAX_NAME_CHARS)
    throw wrong(`the option '${option}' has ${name.length} characters; W&B takes up to ${MAX_NAME_CHARS}`)
  const found = name.match(NOT_IN_NAMES)
  if (found) {
    const hint = name.includes('/') ? '; entity and project are two options' : ''
    throw wrong(
      `the option '${option}' is '${name}', but W&B allows no ${[...new Set(found)].join(' ')} there${hint}`,
    )
  }
}

function checkRunId(id: string): void {
  if (id !== id.trim() || id.length > MAX_NAME_CHARS || NOT_IN_RUN_IDS.test(id)) {
    throw wrong(
      `the option 'runId' is '${id}', but W&B takes up to ${MAX_NAME_CHARS} characters, none of : ; , # ? / ' ` +
        'and no spaces around them',
    )
  }
}

function modeOf(word: string | undefined): keyof typeof MODES | undefined {
  return word !== undefined && Object.hasOwn(MODES, word) ? (word as keyof typeof MODES) : undefined
}

function wrong(problem: string): TraceletError {
  return new TraceletError('ERR_OPTION', `backend wandb: ${problem}`)
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
