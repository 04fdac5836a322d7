/** What the fake servers hold of a run's uploads: one content under each (upload, path). */
import { createHash } from 'node:crypto'
import type { StoredUpload } from '../harness.ts'
import type { FakeAnswer, FakeRequest } from './fault-server.ts'

export function isUpload({ path }: FakeRequest): boolean {
  return path[2] === 'uploads'
}

export class RemoteUploads {
  /** By the name that the sink gives an upload. */
  readonly #files = new Map<string, Map<string, string>>()
  readonly #complete = new Map<string, { kind: string; name: string }>()

  get stored(): StoredUpload[] {
    return [...this.#complete].map(([id, { kind, name }]) => ({
      kind,
      name,
      files: Object.fromEntries(this.#files.get(id) ?? []),
    }))
  }

  /** PUT …/uploads/<upload>/<path> brings a file, POST …/uploads/<upload> says that all are there. */
  take({ method, path, body }: FakeRequest): FakeAnswer {
    const [, , , upload, ...file] = path
    if (method === 'POST') {
      this.#complete.set(upload!, JSON.parse(body.toString()))
      return { status: 200, body: { kept: true, stored: 0 } }
    }
    const files = this.#files.get(upload!) ?? new Map<string, string>()
    this.#files.set(upload!, files)
    files.set(file.join('/'), createHash('sha256').update(body).digest('hex'))
    return { status: 200, body: { kept: true, stored: body.length } }
  }
}
