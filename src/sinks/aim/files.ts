/**
 * Files of artifacts, models and of the run itself. Aim keeps no bytes: a client copies them to a store, and tells
 * `meta/chunks/<run>/artifacts/<name>` where each lies (aim/sdk/run.py, log_artifact). What the record says as a whole are
 * attributes `artifacts.<name>`.
 *
 * Without a store the address is that of the bytes in the run's own folder.
 */
import { pathToFileURL } from 'node:url'
import { blobPath } from '../../core/blob-path.ts'
import type { RunRecord, StoredFile, Upload, WriteResult } from '../../core/types.ts'
import { FolderStore } from '../folder-store.ts'
import type { Refusal } from '../http.ts'
import { type Notices, shown } from '../notices.ts'
import { Attributes, attributeOf } from './attributes.ts'
import { MessageWriter } from './message.ts'
import { folderOfStore } from './options.ts'
import type { AimSession } from './session.ts'
import { AimCustom, type AimTree } from './tree.ts'

type FilesRecord = Extract<RunRecord, { kind: 'artifact' | 'model' | 'files' }>

export class AimFiles {
  readonly #session: AimSession
  readonly #runFolder: string
  readonly #notices: Notices
  readonly #folder: string | undefined
  readonly #store: FolderStore | undefined
  readonly #attributes: Attributes

  constructor(session: AimSession, runFolder: string, notices: Notices, store: string | undefined) {
    this.#session = session
    this.#runFolder = runFolder
    this.#notices = notices
    this.#folder = store === undefined ? undefined : folderOfStore(store)
    this.#store = this.#folder === undefined ? undefined : new FolderStore(this.#folder)
    this.#attributes = new Attributes(session)
  }

  async upload(
    record: FilesRecord,
    { file, files, sent }: Upload,
    signal: AbortSignal,
  ): Promise<WriteResult> {
    let refusal: Refusal | undefined
    if (file === undefined) {
      refusal = await this.#session.send(this.#messages(record, files), signal)
    } else if (this.#store === undefined) sent(file.blob.bytes)
    else {
      const content = { location: file.location, size: file.blob.bytes }
      refusal = await this.#store.put(this.#pathOf(nameOf(record, file.path)), content, { signal, sent })
    }
    return refusal ?? { status: 'accepted' }
  }

  *#messages(record: FilesRecord, files: readonly StoredFile[]): Generator<Buffer> {
    const session = this.#session
    const { meta } = session.handlers
    const writer = new MessageWriter()
    for (const file of files) {
      const name = nameOf(record, file.path)
      writer.set(meta, session.place('artifacts', name), this.#entryOf(record, name, file))
      if (writer.length >= session.messageBytes) yield writer.take()
    }
    if (writer.length > 0) yield writer.take()
    if (record.kind !== 'files') yield* this.#attributes.messages(this.#about(record, files.length))
    // last: what is to be seen by it is there
    writer.set(meta, session.place('artifacts_uri'), this.#folder ? pathToFileURL(this.#folder).href : null)
    yield writer.take()
  }

  #entryOf(record: FilesRecord, name: string, file: StoredFile): AimCustom {
    const about = {
      name,
      path: file.path,
      file: file.path,
      artifact: record.kind === 'files' ? '' : record.name,
      kind: record.kind,
    }
    if ('uri' in file) return new AimCustom('aim.artifact', { ...about, base_uri: file.uri, uri: file.uri })
    const { digest, bytes } = file.blob
    const location =
      this.#folder === undefined ? blobPath(this.#runFolder, digest) : `${this.#folder}/${this.#pathOf(name)}`
    const base = this.#folder === undefined ? this.#runFolder : `${this.#folder}/${this.#session.runHash}`
    return new AimCustom('aim.artifact', {
      ...about,
      base_uri: pathToFileURL(base).href,
      uri: pathToFileURL(location).href,
      sha256: digest,
      bytes: BigInt(bytes),
    })
  }

  *#about(
    record: Exclude<FilesRecord, { kind: 'files' }>,
    files: number,
  ): Generator<readonly [readonly string[], AimTree]> {
    const { kind, name, bytes, aliases, description, metadata } = record
    const isModel = record.kind === 'model'
    if (isModel && record.register !== undefined) {
      const message = `Aim has no model registry: that '${shown(name)}' is to be a version of '${shown(record.register)}' is an attribute there`
      this.#notices.tell('registry', message)
    }
    const members = {
      ...{ kind, files, bytes, description, metadata, aliases: aliases?.join(', ') },
      ...(isModel ? { register: record.register, step: record.step } : { type: record.type }),
    }
    for (const [key, value] of Object.entries(members)) {
      if (value !== undefined) yield [['artifacts', name, key], attributeOf(value)]
    }
  }

  /** Below the store. */
  #pathOf(name: string): string {
    return `${this.#session.runHash}/${name}`
  }
}

/** A path that stays below the store, whatever the artifact is called. */
function nameOf(record: FilesRecord, path: string): string {
  if (record.kind === 'files') return path
  const parts = record.name.split(/[/\\]/).map((part) => (/^\.{0,2}$/.test(part) ? '_' : part))
  return `${parts.join('/').replaceAll('\0', '_')}/${path}`
}
