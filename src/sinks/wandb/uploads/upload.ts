/**
 * Uploads of one run: each step to what is made of its kind of record.
 *
 * Files of a record go out several at once, so no answer carries a state, which would replace that of another step:
 * what must outlast a crash is kept (`upload.keep`) by whoever holds what the steps of a record share.
 */
import type { RunInfo, Upload, WriteResult } from '../../../core/types.ts'
import type { Notices } from '../../notices.ts'
import type { MultipartLimits } from './artifact-multipart.ts'
import type { ArtifactPlan } from './artifact-plan.ts'
import { planOf, uploadArtifact } from './artifact-record.ts'
import { ArtifactUpload } from './artifact-upload.ts'
import { useArtifact } from './inputs.ts'
import { Organizations } from './organizations.ts'
import { PerRecord } from './per-record.ts'
import { runFilesOfRecord, type UploadParts, uploadFiles } from './record-files.ts'
import { RecordState } from './record-state.ts'
import type { RunFiles } from './run-files.ts'
import { StoreDoors } from './store-doors.ts'
import { TableUpload, uploadTable } from './table.ts'

export const UPLOAD_KINDS = ['images', 'table', 'figure', 'artifact', 'model', 'files', 'input'] as const
/** Files of one record at once. */
export const UPLOADS_IN_FLIGHT = 8

export interface UploadContext extends UploadParts {
  readonly run: RunInfo
  readonly notices: Pick<Notices, 'tell'>
  /** From how many bytes on a file goes out in parts; default as the SDK. */
  readonly multipart?: MultipartLimits
}

export class Uploader {
  readonly #context: UploadContext
  readonly #stores: StoreDoors
  readonly #organizations: Organizations
  /** The artifact that a record is, or has beside its files. */
  readonly #artifacts = new PerRecord<ArtifactUpload>()
  readonly #files = new PerRecord<RunFiles>()
  readonly #tables = new PerRecord<TableUpload>()

  constructor(context: UploadContext) {
    this.#stores = new StoreDoors(context.openStore)
    this.#context = { ...context, openStore: this.#stores.open }
    this.#organizations = new Organizations(context)
  }

  async upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    const answer = await this.#step(upload, signal)
    const isOver = upload.file === undefined && (answer.status === 'accepted' || answer.status === 'partial')
    if (isOver) for (const shared of [this.#artifacts, this.#files, this.#tables]) shared.delete(upload.seq)
    return answer
  }

  close(): Promise<void> {
    return this.#stores.close()
  }

  async #step(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    const { record } = upload
    const { run, notices } = this.#context
    switch (record.kind) {
      case 'images':
      case 'figure':
      case 'files': {
        const files = this.#files.of(upload.seq, () => runFilesOfRecord(this.#context, record, upload))
        return uploadFiles(this.#context, files, upload, signal)
      }
      case 'table': {
        const table = this.#tables.of(upload.seq, () => new TableUpload(record, run))
        const artifactOf = (plan: ArtifactPlan) => this.#artifactOf(upload, () => plan)
        return uploadTable(this.#context, table, artifactOf, upload, signal)
      }
      case 'artifact':
      case 'model': {
        const artifact = this.#artifactOf(upload, () => planOf(record, upload, run, notices.tell))
        return uploadArtifact(record, artifact, this.#organizations, upload, signal)
      }
      case 'input':
        return (await useArtifact(record, this.#organizations, signal)) ?? { status: 'accepted' }
      default:
        throw new Error(`W&B's sink declares no uploads of ${record.kind}`)
    }
  }

  #artifactOf(upload: Upload, plan: () => ArtifactPlan): ArtifactUpload {
    const make = () => new ArtifactUpload(this.#context, plan(), new RecordState(upload.state))
    return this.#artifacts.of(upload.seq, make)
  }
}
