/** Uploads of one run: each step to what is made of its kind of record. */
import type { Upload, WriteResult } from '../../../core/types.ts'
import { uploadArtifact } from './artifact.ts'
import { uploadImages } from './images.ts'
import { uploadMedia } from './media.ts'
import { uploadModel } from './model.ts'
import { Progress } from './progress.ts'
import { uploadRunFiles } from './run-files.ts'
import type { UploadContext } from './step.ts'

export const UPLOAD_KINDS = [
  'text',
  'histogram',
  'images',
  'table',
  'figure',
  'prCurve',
  'artifact',
  'model',
  'files',
] as const

export class Uploader {
  readonly #context: UploadContext
  /** Of the record under way: its steps share it. */
  #progress: Progress | undefined

  constructor(context: UploadContext) {
    this.#context = context
  }

  upload(upload: Upload, signal: AbortSignal): Promise<WriteResult> {
    if (this.#progress?.seq !== upload.seq) this.#progress = new Progress(upload)
    const step = { upload, progress: this.#progress, signal }
    const { record } = upload
    switch (record.kind) {
      case 'text':
      case 'histogram':
      case 'prCurve':
      case 'figure':
      case 'table':
        return uploadMedia(record, this.#context, step)
      case 'images':
        return uploadImages(record, this.#context, step)
      case 'artifact':
        return uploadArtifact(record, this.#context, step)
      case 'model':
        return uploadModel(record, this.#context, step)
      case 'files':
        return uploadRunFiles(this.#context, step)
      default:
        throw new Error(`MLflow's sink declares no uploads of ${record.kind}`)
    }
  }
}
