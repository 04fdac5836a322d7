/**
 * Artifacts: `<name>/<path>`, or `<name>` for one file that is called so. What MLflow has no place for (aliases,
 * metadata, references, the real names behind paths it cannot hold) stands beside it in `<name>.tracelet.json`.
 */
import type { RunRecord, StoredFile, WriteResult } from '../../../core/types.ts'
import { hashedSegment, mapPath } from './paths.ts'
import { contentOf, done, jsonContent, put, type Step, type UploadContext } from './step.ts'

type ArtifactRecord = Extract<RunRecord, { kind: 'artifact' }>

/** Room for `.tracelet.json`. */
const MAX_NAME_BYTES = 240
/** There MLflow's page expects files of its own scheme only and shows no image when it finds another. */
export const IMAGES_FOLDER = 'images'

export async function uploadArtifact(
  record: ArtifactRecord,
  context: UploadContext,
  step: Step,
): Promise<WriteResult> {
  const { upload, signal } = step
  const store = await context.stores.ofRun(signal)
  if ('status' in store) return store
  const root = artifactRoot(record.name)
  const isAlone = upload.files.length === 1 && upload.files[0]!.path === record.name.split('/').at(-1)
  const pathOf = (path: string) => (isAlone ? root : `${root}/${mapPath(path).path}`)
  if (upload.file) return done(await put(store, pathOf(upload.file.path), contentOf(upload), step), step)
  const beside = besideOf(record, upload.files, pathOf, root)
  if (beside === undefined) return done(undefined, step)
  if (root !== record.name || beside.paths) {
    context.notices.tell(
      'artifact',
      `MLflow has no such path as some of '${record.name}': see '${root}.tracelet.json'`,
    )
  }
  return done(await put(store, `${root}.tracelet.json`, jsonContent(beside), step), step)
}

export function artifactRoot(name: string): string {
  const { path } = mapPath(name, MAX_NAME_BYTES)
  const [first, ...rest] = path.split('/')
  return first === IMAGES_FOLDER ? [hashedSegment(first), ...rest].join('/') : path
}

/** What would be lost otherwise; undefined when nothing is. */
function besideOf(
  { name, type, time, aliases, description, metadata }: ArtifactRecord,
  files: readonly StoredFile[],
  pathOf: (path: string) => string,
  root: string,
) {
  const paths: Record<string, string> = {}
  for (const { path } of files) if (mapPath(path).mapped) paths[pathOf(path)] = path
  const references = referencesOf(files)
  const isMapped = root !== name || Object.keys(paths).length > 0
  const isPlain = !aliases?.length && !description && !metadata && type === 'artifact'
  if (!isMapped && references.length === 0 && isPlain) return undefined
  return {
    name,
    type,
    time,
    ...(aliases?.length && { aliases }),
    ...(description && { description }),
    ...(metadata && { metadata: JSON.parse(metadata) as unknown }),
    ...(references.length > 0 && { references }),
    ...(Object.keys(paths).length > 0 && { paths }),
  }
}

export function referencesOf(files: readonly StoredFile[]): readonly StoredFile[] {
  return files.filter((file) => 'uri' in file)
}
