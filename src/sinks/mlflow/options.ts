/** The options of `backend: 'mlflow'`, named after MLflow's own environment variables, and what they mean. */
import { createHash } from 'node:crypto'
import { TraceletError } from '../../core/errors.ts'
import type { OptionsOf, OptionTable } from '../../core/options.ts'
import type { RunInfo } from '../../core/types.ts'

export const MLFLOW_OPTIONS = {
  uri: {
    type: 'string',
    default: 'http://127.0.0.1:5000',
    env: ['MLFLOW_TRACKING_URI'],
    doc: 'address of the tracking server, with its static prefix if it has one',
  },
  experiment: {
    type: 'string',
    doc: "experiment to log to, instead of the run's expName",
  },
  username: {
    type: 'string',
    env: ['MLFLOW_TRACKING_USERNAME'],
    secret: true,
    doc: 'user of basic authentication; also read from ~/.mlflow/credentials',
  },
  password: {
    type: 'string',
    env: ['MLFLOW_TRACKING_PASSWORD'],
    secret: true,
    doc: 'password of basic authentication; also read from ~/.mlflow/credentials',
  },
  token: {
    type: 'string',
    env: ['MLFLOW_TRACKING_TOKEN'],
    secret: true,
    doc: 'bearer token, used when there is no username',
  },
  workspace: { type: 'string', env: ['MLFLOW_WORKSPACE'], doc: 'workspace of a server that has several' },
  caFile: {
    type: 'string',
    env: ['MLFLOW_TRACKING_SERVER_CERT_PATH'],
    doc: "PEM file of the certificate authorities to trust instead of Node's",
  },
  clientCertFile: {
    type: 'string',
    env: ['MLFLOW_TRACKING_CLIENT_CERT_PATH'],
    doc: 'PEM file with the client certificate and its key',
  },
  insecureTls: {
    type: 'boolean',
    default: false,
    env: ['MLFLOW_TRACKING_INSECURE_TLS'],
    doc: "accept any certificate: only for tests, the server's identity is not checked",
  },
} as const satisfies OptionTable
export type MlflowOptions = OptionsOf<typeof MLFLOW_OPTIONS>

const MAX_EXPERIMENT_CHARS = 500

/**
 * Checks the address and moves credentials out of it, so that it can be written down and shown.
 * @throws TraceletError ERR_OPTION when it is not an http(s) address
 */
export function prepareOptions(options: MlflowOptions): MlflowOptions {
  const wrong = (problem: string) => new TraceletError('ERR_OPTION', `backend mlflow: ${problem}`)
  const scheme = /^[a-z][a-z0-9+.-]*(?=:)/i.exec(options.uri)?.[0].toLowerCase()
  if (scheme !== 'http' && scheme !== 'https') {
    throw wrong(
      `the option 'uri' is ${scheme ? `a '${scheme}:' address` : 'not an http(s) address'}, but MLflow is written ` +
        "to through its server only; start 'mlflow server' on that store and give its address, " +
        `for example ${MLFLOW_OPTIONS.uri.default}`,
    )
  }
  let url: URL
  try {
    url = new URL(options.uri)
  } catch {
    throw wrong("the option 'uri' is not a valid address")
  }
  const experiment = options.experiment
  if (experiment !== undefined && (experiment === '' || experiment.length > MAX_EXPERIMENT_CHARS)) {
    throw wrong(`the option 'experiment' must have 1 to ${MAX_EXPERIMENT_CHARS} characters`)
  }
  const { username, password } = url
  url.username = ''
  url.password = ''
  url.hash = ''
  url.search = ''
  return {
    ...options,
    uri: url.href.replace(/\/+$/, ''),
    username: options.username ?? (username ? decode(username) : undefined),
    password: options.password ?? (username ? decode(password) : undefined),
  }
}

export function experimentOf(options: MlflowOptions, run: RunInfo): string {
  return (options.experiment ?? (run.experiment || run.project || 'Default')).slice(0, MAX_EXPERIMENT_CHARS)
}

/** Without secrets: server, workspace and experiment. */
export function addressOf(given: MlflowOptions, run: RunInfo): string {
  const options = prepareOptions(given)
  const workspace = options.workspace ? ` workspace '${options.workspace}'` : ''
  return `${options.uri}${workspace} experiment '${experimentOf(options, run)}'`
}

/** Server and user, the user unreadable. */
export function accountOf(given: MlflowOptions): string {
  const options = prepareOptions(given)
  const who = options.username ?? options.token
  return `mlflow ${options.uri}${who ? ` #${createHash('sha256').update(who).digest('hex').slice(0, 8)}` : ''}`
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
