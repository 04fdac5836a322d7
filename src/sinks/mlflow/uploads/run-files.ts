/**
 * Files of the run itself: artifacts at their own paths. What a path stands for that MLflow cannot hold is told in
 * `run-files-<number of the record>.tracelet.json`.
 */
import type { WriteResult } from '../../../core/types.ts'
import { IMAGES_FOLDER } from './artifact.ts'
import { hashedSegment, mapPath } from './paths.ts'
import { contentOf, done, jsonContent, put, type Step, type UploadContext } from './step.ts'

/** What artifacts have beside them is called so. */
const BESIDE = /\.tracelet\.json$/

export async function uploadRunFiles(context: UploadContext, step: Step): Promise<WriteResult> {
  const { upload, signal } = step
  const store = await context.stores.ofRun(signal)
  if ('status' in store) return store
  if (upload.file) return done(await put(store, runFilePath(upload.file.path), contentOf(upload), step), step)
  const paths: Record<string, string> = {}
  for (const { path } of upload.files) {
    const mapped = runFilePath(path)
    if (mapped !== path) paths[mapped] = path
  }
  if (Object.keys(paths).length === 0) return done(undefined, step)
  const beside = `run-files-${upload.seq}.tracelet.json`
  context.notices.tell('files', `MLflow has no such path as some of the run's files: see '${beside}'`)
  return done(await put(store, beside, jsonContent({ paths }), step), step)
}

export function runFilePath(given: string): string {
  const { path } = mapPath(given, undefined, BESIDE)
  const [first, ...rest] = path.split('/')
  return first === IMAGES_FOLDER ? [hashedSegment(first), ...rest].join('/') : path
}
