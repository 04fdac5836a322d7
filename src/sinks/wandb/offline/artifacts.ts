/** Artifacts, models and the artifacts of tables as records of a file, which names where on this machine the bytes lie. */
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunInfo } from '../../../core/types.ts'
import { type TableRecord, tableArtifact } from '../entries/table.ts'
import type { WandbTable } from '../tables.ts'
import { digestOf } from '../uploads/artifact-digest.ts'
import { type ArtifactPlan, manifestOf, sizeOf } from '../uploads/artifact-plan.ts'
import { type ArtifactEntry, artifactMessage } from './messages.ts'
import { placeFile } from './placed-files.ts'

/** Where an artifact goes. */
export interface ArtifactPlace {
  readonly directory: string
  /** Of the record. */
  readonly seq: number
  readonly runId: string
  readonly project: string
  readonly entity: string
}

const FOLDER = 'artifacts'
const LATEST = 'latest'

/**
 * MD5s of files that were read, by location: what was given up because it took too long need not be read again. Blobs
 * do not change.
 */
export class KnownDigests {
  readonly #md5s = new Map<string, string>()
  readonly #max = 100_000

  /** @throws BlobError where one cannot be read; errors of node:fs that may pass */
  async of(files: ArtifactPlan['files']): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>()
    for (const file of files) {
      if ('ref' in file) continue
      const location = 'location' in file ? file.location : undefined
      const known = location === undefined ? undefined : this.#md5s.get(location)
      const md5 = known ?? (await digestOf(file)).md5
      if (this.#md5s.size >= this.#max) this.#md5s.clear()
      if (location !== undefined) this.#md5s.set(location, md5)
      found.set(file.path, md5)
    }
    return found
  }
}

export async function artifactContent(
  plan: ArtifactPlan,
  place: ArtifactPlace,
  known: KnownDigests,
): Promise<Uint8Array> {
  const md5s = await known.of(plan.files)
  const folder = await freshFolder(place)
  const entries: ArtifactEntry[] = []
  for (const [index, file] of plan.files.entries()) {
    const { path } = file
    const bytes = sizeOf(file)
    if ('ref' in file) {
      entries.push({ path, bytes, ref: file.ref, digest: file.digest ?? file.ref })
      continue
    }
    const source = 'content' in file ? { chunks: () => once(file.content) } : file
    const localPath = await placeFile(place.directory, `${folder}/${index}`, source)
    entries.push({ path, bytes, digest: md5s.get(path)!, localPath })
  }
  const { digest } = manifestOf(plan, md5s)
  return artifactMessage({
    ...{ runId: place.runId, project: place.project, entity: place.entity },
    ...{ type: plan.type, name: plan.collection, digest, entries },
    ...{ description: plan.description, metadata: plan.metadata },
    aliases: [LATEST, ...plan.aliases.filter((alias) => alias !== LATEST)],
    ...{ clientId: plan.clientId, sequenceClientId: plan.sequenceClientId },
  })
}

/** The artifact that holds a whole table; its rows are never all in memory. */
export async function tableContent(
  record: TableRecord,
  run: RunInfo,
  table: WandbTable,
  place: ArtifactPlace,
): Promise<Uint8Array> {
  const { clientId, sequenceClientId, type, path, collection } = tableArtifact(record, run)
  const hash = createHash('md5')
  let bytes = 0
  const source = {
    async *chunks() {
      for await (const chunk of table.chunks('artifact')) {
        hash.update(chunk)
        bytes += chunk.length
        yield chunk
      }
    },
  }
  const folder = await freshFolder(place)
  const localPath = await placeFile(place.directory, `${folder}/0`, source)
  const md5 = hash.digest('base64')
  const { digest } = manifestOf({ files: [{ path, bytes, location: localPath }] }, new Map([[path, md5]]))
  return artifactMessage({
    ...{ runId: place.runId, project: place.project, entity: place.entity, digest },
    ...{ type, name: collection(place.runId), aliases: [LATEST], clientId, sequenceClientId },
    entries: [{ path, bytes, digest: md5, localPath }],
  })
}

/** Empty: the record may have come before. */
async function freshFolder({ directory, seq }: ArtifactPlace): Promise<string> {
  const folder = `${FOLDER}/${seq}`
  await rm(join(directory, FOLDER, String(seq)), { recursive: true, force: true })
  return folder
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content
}
