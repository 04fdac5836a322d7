/** What `tracelet doctor` finds out about an Aim server: two requests that change nothing. */
import { TraceletError } from '../../core/errors.ts'
import type { Finding } from '../contract.ts'
import { AimConnection, type AimReply } from './connection.ts'
import { type AimOptions, type AimPlace, connectionOf, placeOf, prepareOptions } from './options.ts'
import { madeFolder, pythonIn } from './sidecar/make-python.ts'
import { findAimPython } from './sidecar/pythons.ts'

/** The version that everything here was measured with; gRPC was left behind in an earlier 3.x. */
const TESTED = '3.29'
const FIRST_MINOR = 20
const FIRST_BAD_FILELOCK = 29

export async function probeAim(given: AimOptions, signal: AbortSignal): Promise<readonly Finding[]> {
  let connection: AimConnection
  let place: AimPlace
  try {
    const options = prepareOptions(given)
    place = placeOf(options)
    if ('folder' in place) return [await folderFinding(place.folder, options.python, signal), INDEX]
    connection = new AimConnection(connectionOf(options, place))
  } catch (error) {
    const seen = error instanceof TraceletError ? error.message : String(error)
    return [{ level: 'fail', what: 'options', seen, fix: 'correct the option or its environment variable' }]
  }
  try {
    const status = await connection.get('/status/', signal)
    const address = `${place.origin}${place.basePath}`
    if ('refusal' in status) return [unreachable(address, status.refusal.reason)]
    const version = versionOf(await connection.get('/client/get-version/', signal))
    return [serverFinding(address, version), INDEX]
  } finally {
    await connection.close()
  }
}

/** Nothing is started for it, nor made. */
async function folderFinding(
  folder: string,
  given: string | undefined,
  signal: AbortSignal,
): Promise<Finding> {
  const { found, others } = await findAimPython(given, pythonIn(madeFolder()), signal)
  const what = 'repository'
  if (found === undefined) {
    const seen =
      `${folder} is written to through a server of Aim's own, and ` +
      (others.length > 0
        ? `no \`aim\` is installed for ${others.map(({ command }) => command).join(', ')}`
        : 'no Python is found')
    return {
      level: 'fail',
      what,
      seen,
      fix: "`pip install aim 'filelock<3.29'`, or give `aim://host:port` by AIM_REPO",
    }
  }
  const seen = `${folder}, through a server that ${found.command} starts: Aim ${found.aim}, filelock ${found.filelock}`
  const [major, minor] = found.filelock.split('.').map(Number)
  if (major! > 3 || (major === 3 && minor! >= FIRST_BAD_FILELOCK)) {
    const fix = "`pip install 'filelock<3.29'` there: newer ones give a run's lock to whoever asks twice"
    return { level: 'warn', what, seen, fix }
  }
  return { level: 'ok', what, seen }
}

/** Nothing that a server tells says whether anybody indexes. */
const INDEX: Finding = {
  level: 'ok',
  what: 'index',
  seen: 'runs are found by queries and in the UI once `aim up`, started at the same repository, has indexed them',
}

function unreachable(address: string, seen: string): Finding {
  const fix = `start it ('aim server --repo FOLDER') or give its address by AIM_REPO; it is ${address} now`
  return { level: 'fail', what: 'server', seen, fix }
}

function versionOf(reply: AimReply): string | undefined {
  if (!('bytes' in reply)) return undefined
  try {
    const { version } = JSON.parse(reply.bytes.toString()) as { version?: unknown }
    return typeof version === 'string' && /^[\w.+-]{1,40}$/.test(version) ? version : undefined
  } catch {
    return undefined
  }
}

function serverFinding(address: string, version: string | undefined): Finding {
  const [major, minor] = (version ?? '').split('.').map(Number)
  if (version === undefined || major !== 3 || !(minor! >= FIRST_MINOR)) {
    const seen = `${address} answers${version === undefined ? ', and does not tell its version' : ` as Aim ${version}`}`
    return { level: 'warn', what: 'server', seen, fix: `use Aim ${TESTED}, which was tested` }
  }
  return { level: 'ok', what: 'server', seen: `Aim ${version} at ${address}` }
}
