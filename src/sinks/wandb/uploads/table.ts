/**
 * A table as a file of the run, and as an artifact of its own (entries/table.ts). Both are made of the record's blob
 * when they are sent; what is too large for the memory lies in the run's folder meanwhile.
 */
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunInfo, Upload, WriteResult } from '../../../core/types.ts'
import { BlobError } from '../../run-blobs.ts'
import type { RemoteRun } from '../api.ts'
import { type TableRecord, tableArtifact, tablePath } from '../entries/table.ts'
import type { Spelling } from '../tables/cell-json.ts'
import { type Made, openTable, type WandbTable } from '../tables.ts'
import type { ArtifactPlan } from './artifact-plan.ts'
import type { ArtifactUpload } from './artifact-upload.ts'
import { tellAll, type UploadParts } from './record-files.ts'
import { RunFiles } from './run-files.ts'
import type { Content } from './store-put.ts'

/** Larger files are not laid in memory. */
const MAX_MEMORY_BYTES = 4 * 1024 * 1024
const FOLDER = 'wandb'

/** What the steps of one record share. */
export class TableUpload {
  readonly record: TableRecord
  readonly #run: RunInfo
  #table: WandbTable | undefined

  constructor(record: TableRecord, run: RunInfo) {
    this.record = record
    this.#run = run
  }

  /** @throws BlobError; errors of node:fs that may pass */
  async made(spelling: Spelling, sent: Upload['sent']): Promise<Made> {
    this.#table ??= await openTable(this.record.table, this.#run.folder)
    sent(0)
    const made = await this.#table.measured(spelling)
    sent(0)
    return made
  }

  /** Has the file made while `use` is at work. */
  async with<Result>(
    spelling: Spelling,
    sent: Upload['sent'],
    use: (
      content: { readonly content: Buffer } | { readonly location: string; readonly bytes: number },
    ) => Promise<Result>,
  ): Promise<Result> {
    const { bytes } = await this.made(spelling, sent)
    const chunks = this.#table!.chunks(spelling)
    if (bytes <= MAX_MEMORY_BYTES) {
      const parts: Buffer[] = []
      for await (const part of chunks) parts.push(part)
      return use({ content: Buffer.concat(parts) })
    }
    const folder = join(this.#run.folder, FOLDER)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    // the same name each time: what a crash leaves is replaced
    const location = join(folder, `${this.record.table.digest}.${spelling}.table.json`)
    try {
      await rm(location, { force: true })
      const handle = await open(location, 'wx', 0o600)
      try {
        for await (const part of chunks) {
          await handle.writeFile(part)
          sent(0)
        }
      } finally {
        await handle.close()
      }
      return await use({ location, bytes })
    } finally {
      await rm(location, { force: true })
    }
  }
}

export interface TableParts extends UploadParts {
  readonly remote: RemoteRun
  readonly run: RunInfo
}

export async function uploadTable(
  parts: TableParts,
  table: TableUpload,
  artifactOf: (plan: ArtifactPlan) => ArtifactUpload,
  upload: Upload,
  signal: AbortSignal,
): Promise<WriteResult> {
  try {
    return upload.file === undefined
      ? await finishTable(parts, table, artifactOf, upload, signal)
      : await putTable(parts, table, upload, signal)
  } catch (error) {
    const { message } = error as Error
    if (error instanceof BlobError) return { status: 'split', code: 'ERR_BLOB', reason: message }
    if (!('syscall' in (error as object))) throw error
    return { status: 'retry', code: 'ERR_BLOB', reason: message, unsent: true }
  }
}

async function putTable(
  parts: TableParts,
  table: TableUpload,
  { sent }: Upload,
  signal: AbortSignal,
): Promise<WriteResult> {
  const made = await table.made('run', sent)
  const files = new RunFiles(parts, [{ path: tablePath(table.record, made), bytes: made.bytes }])
  const refusal = await table.with('run', sent, (file) => files.put(0, contentOf(file, sent), signal))
  return refusal ?? { status: 'accepted' }
}

async function finishTable(
  parts: TableParts,
  table: TableUpload,
  artifactOf: (plan: ArtifactPlan) => ArtifactUpload,
  { sent, keep }: Upload,
  signal: AbortSignal,
): Promise<WriteResult> {
  const { path, collection, ...identity } = tableArtifact(table.record, parts.run)
  const { step } = table.record
  const done = await table.with('artifact', sent, async (file) => {
    const artifact = artifactOf({
      ...identity,
      collection: collection(parts.remote.run),
      aliases: [],
      ...(step >= 0 && { historyStep: step }),
      files: [{ path, ...file }],
    })
    const how = { signal, keep, sent }
    return (await artifact.all(how)) ?? (await artifact.finish(how))
  })
  if ('status' in done) return done
  return tellAll(parts, [tablePath(table.record, await table.made('run', sent))], signal)
}

function contentOf(
  file: { readonly content: Buffer } | { readonly location: string; readonly bytes: number },
  sent: Upload['sent'],
): Content {
  return 'content' in file ? { bytes: file.content } : { file: { ...file, from: 0, sent } }
}
