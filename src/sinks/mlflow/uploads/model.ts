/**
 * Models as MLflow 3 keeps them: a logged model with files of its own, made before its first file, READY when all
 * are there, an output of the run, and on request a version of a registered model with its aliases.
 *
 * Exactly once: neither a logged model nor a version has an identity that we could give it, so both carry the tag
 * `tracelet.upload` = nonce and sequence number, and are looked for by it before they are made.
 */
import type { RunRecord, StoredFile, WriteResult } from '../../../core/types.ts'
import type { Refusal } from '../../http.ts'
import { holdsPassword } from '../stores/run-store.ts'
import { referencesOf } from './artifact.ts'
import { findOrCreateModel, type LoggedModel, linkOutput, setStatus } from './logged-model.ts'
import { modelFile } from './model-file.ts'
import { hashedSegment, mapPath } from './paths.ts'
import { registerModel } from './registry.ts'
import { contentOf, done, jsonContent, put, type Step, type UploadContext } from './step.ts'

export type ModelRecord = Extract<RunRecord, { kind: 'model' }>

export async function uploadModel(
  record: ModelRecord,
  context: UploadContext,
  step: Step,
): Promise<WriteResult> {
  const model = await modelOf(record, context, step)
  if ('status' in model) return done(model, step)
  const store = await context.stores.ofModel(model.uri, step.signal)
  if ('status' in store) return done(store, step)
  const { upload, signal } = step
  if (upload.file) {
    const refusal = await put(store, mapPath(upload.file.path).path, contentOf(upload), step)
    // A model that lacks a file is not one that somebody should load.
    if (refusal?.status === 'split') await setStatus(context, model.id, 'LOGGED_MODEL_UPLOAD_FAILED', signal)
    return done(refusal, step)
  }
  const beside = besideOf(upload.files)
  let refusal = beside && (await put(store, besideName(upload.files), jsonContent(beside), step))
  if (refusal === undefined && !upload.files.some(({ path }) => path === 'MLmodel')) {
    refusal = await put(store, 'MLmodel', modelFile(record, model, context), step)
  }
  refusal ??= await setStatus(context, model.id, 'LOGGED_MODEL_READY', signal)
  refusal ??= await linkOutput(context, model.id, record.step ?? 0, signal)
  if (refusal === undefined && record.register !== undefined) {
    refusal = await registerModel(record, record.register, model.id, context, step)
  }
  return done(refusal, step)
}

/** The logged model of a record: known from an earlier step, found or made. */
async function modelOf(
  record: ModelRecord,
  context: UploadContext,
  { upload, progress, signal }: Step,
): Promise<LoggedModel | Refusal> {
  const { modelId, modelUri } = progress.state
  if (modelId !== undefined && modelUri !== undefined) return { id: modelId, uri: modelUri }
  // Files of one record may go out at once.
  const make = () => findOrCreateModel(record, uploadTag(context, upload.seq), context, signal)
  const model = await progress.once('model', make)
  if (!('status' in model || holdsPassword(model.uri))) {
    progress.set({ modelId: model.id, modelUri: model.uri }, upload)
  }
  return model
}

export function uploadTag({ run }: UploadContext, seq: number): string {
  return `${run.nonce}-${seq}`
}

/** Not one of the model's own. */
function besideName(files: readonly StoredFile[]): string {
  const name = 'tracelet.json'
  return files.some(({ path }) => path === name) ? hashedSegment(name) : name
}

function besideOf(files: readonly StoredFile[]) {
  const references = referencesOf(files)
  const mapped = files.filter(({ path }) => mapPath(path).mapped)
  if (references.length + mapped.length === 0) return undefined
  return {
    ...(references.length > 0 && { references }),
    ...(mapped.length > 0 && {
      paths: Object.fromEntries(mapped.map(({ path }) => [mapPath(path).path, path])),
    }),
  }
}
