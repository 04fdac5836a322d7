/** What `tracelet doctor` finds out about an MLflow server: three requests that change nothing. */
import { TraceletError } from '../../core/errors.ts'
import type { Finding } from '../contract.ts'
import { HttpClient, type HttpReply } from '../http.ts'
import { MlflowApi } from './api.ts'
import { serverSettings } from './door.ts'
import { type MlflowOptions, prepareOptions } from './options.ts'

const CREDENTIALS_FIX =
  'set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or write ~/.mlflow/credentials'

export async function probeMlflow(given: MlflowOptions, signal: AbortSignal): Promise<readonly Finding[]> {
  let client: HttpClient
  let options: MlflowOptions
  try {
    options = prepareOptions(given)
    client = new HttpClient(serverSettings(options, 1))
  } catch (error) {
    const seen = error instanceof TraceletError ? error.message : String(error)
    return [{ level: 'fail', what: 'options', seen, fix: 'correct the option or its environment variable' }]
  }
  try {
    const base = new URL(options.uri).pathname.replace(/\/+$/, '')
    const health = await client.request('GET', `${base}/health`, undefined, signal)
    if (health.status === 'unanswered') return [unreachable(options.uri, health)]
    const version = await client.request('GET', `${base}/version`, undefined, signal)
    return [serverFinding(options.uri, client, health, version), await accessFinding(options, client, signal)]
  } finally {
    await client.close()
  }
}

function unreachable(uri: string, { needsAction, reason }: HttpReply & { status: 'unanswered' }): Finding {
  const fix = needsAction
    ? 'set MLFLOW_TRACKING_SERVER_CERT_PATH to the file of the certificate authority'
    : `start the server ('mlflow server') or give its address by MLFLOW_TRACKING_URI; it is ${uri} now`
  return { level: 'fail', what: 'server', seen: reason, fix }
}

/** Managed servers have neither address; that alone is no fault. */
function serverFinding(uri: string, client: HttpClient, health: HttpReply, version: HttpReply): Finding {
  const text = version.status === 'answered' && version.code === 200 ? client.redact(version.text) : ''
  if (/^\d+\.\d+[\w.+-]*$/.test(text)) {
    return { level: 'ok', what: 'server', seen: `MLflow ${text} at ${uri}` }
  }
  const code = health.status === 'answered' ? health.code : 0
  if (code === 200)
    return { level: 'ok', what: 'server', seen: `${uri} answers, and does not tell its version` }
  return {
    level: 'warn',
    what: 'server',
    seen: `${uri} answers ${code} to /health`,
    fix: 'check that the address, with its static prefix, is that of an MLflow server',
  }
}

async function accessFinding(
  options: MlflowOptions,
  client: HttpClient,
  signal: AbortSignal,
): Promise<Finding> {
  const api = new MlflowApi(client, options.uri)
  const reply = await api.get('experiments/search', { max_results: 1 }, signal)
  const who = options.username ? 'user and password' : options.token ? 'the token' : 'no credentials'
  if (reply.status === 'ok') return { level: 'ok', what: 'access', seen: `the API answers with ${who}` }
  if (reply.status === 'fault') {
    return {
      level: 'fail',
      what: 'access',
      seen: reply.reason,
      fix: 'check that the server is an MLflow of version 2 or later',
    }
  }
  const { refusal } = reply
  const seen = refusal.reason
  if (/--allowed-hosts/.test(seen)) {
    return {
      level: 'fail',
      what: 'access',
      seen,
      fix: "the server's own check of host names stands before its API: start it with that option, or use its IP address",
    }
  }
  const isRefused = refusal.status === 'blocked' && refusal.code === 'ERR_AUTH'
  return {
    level: refusal.status === 'retry' ? 'warn' : 'fail',
    what: 'access',
    seen: isRefused ? `refused with ${who}: ${seen}` : seen,
    fix: isRefused ? CREDENTIALS_FIX : 'look at the log of the server or of the proxy before it',
  }
}
