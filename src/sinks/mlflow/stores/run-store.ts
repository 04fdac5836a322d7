/**
 * The last way for a server that serves no artifacts: the call its own web page uploads with. The server writes
 * to its store for us, but takes at most 10 MiB, nothing empty, and only artifacts of runs.
 */
import type { HttpClient, Refusal } from '../../http.ts'
import { type MlflowApi, queryText } from '../api.ts'
import { answerOf } from '../remote-run.ts'
import { type ArtifactStore, bodyOf, type Content, sizeOf, type Transfer } from './store.ts'

const ROUTE = '/ajax-api/2.0/mlflow/upload-artifact'
const MAX_BYTES = 10 * 1024 * 1024

export class RunStore implements ArtifactStore {
  readonly #api: MlflowApi
  readonly #http: HttpClient
  readonly #runId: string
  readonly #uri: string

  /** @param uri where the server keeps them, for the user to know */
  constructor(api: MlflowApi, http: HttpClient, runId: string, uri: string) {
    this.#api = api
    this.#http = http
    this.#runId = runId
    this.#uri = uri
  }

  async put(path: string, content: Content, transfer: Transfer): Promise<Refusal | undefined> {
    const size = sizeOf(content)
    if (size === 0 || size > MAX_BYTES)
      return notServed(path, this.#uri, `takes only 1 byte to 10 MiB, not ${size}`)
    const at = `${ROUTE}?${queryText({ run_uuid: this.#runId, path })}`
    const reply = await this.#api.send(this.#http, 'POST', at, bodyOf(content, transfer), transfer.signal)
    if (reply.status !== 'ok') return answerOf(reply)
    if ('bytes' in content) transfer.sent(content.bytes.length)
    return undefined
  }
}

/** For what cannot go that way either, such as the files of a logged model. */
export class NoStore implements ArtifactStore {
  readonly #uri: string

  constructor(uri: string) {
    this.#uri = uri
  }

  async put(path: string): Promise<Refusal> {
    return notServed(path, this.#uri, 'takes no files of models')
  }
}

/** Rejected, not held: where the artifacts of an experiment go was decided when it was made and does not change. */
function notServed(path: string, uri: string, what: string): Refusal {
  const reason =
    `'${path}' cannot be sent: the artifacts of this experiment are at ${shown(uri)}, which only the server ` +
    `can write, and without 'mlflow server --serve-artifacts' and an experiment made under it, it ${what}`
  return { status: 'split', code: 'ERR_REFUSED', reason }
}

/** Such as `sftp://user:password@host/…`: that is the server's, not for a log. */
const WITH_PASSWORD = /^([^/]*:\/\/)[^/@]*:[^/]*@/

export function holdsPassword(uri: string): boolean {
  return WITH_PASSWORD.test(uri)
}

function shown(uri: string): string {
  return uri.replace(WITH_PASSWORD, '$1').slice(0, 200)
}
