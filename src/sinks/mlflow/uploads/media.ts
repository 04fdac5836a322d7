/**
 * Texts, histograms, PR curves, figures and tables as artifacts, a file for each name and step:
 *
 *   texts/<name>/step_00000010.txt             histograms/…, pr_curves/…   .html
 *   figures/<name>/step_00000010.html          or the image's own ending
 *   tables/<name>/step_00000010.json           each step
 *   tables/<name>.json                         the latest, which `MlflowClient.load_table('tables/<name>.json')` reads
 *
 * MLflow knows no steps of any of these, so the step is in the path, and sorts. A table beside that under its name
 * alone: the tag that lists tables holds 8,000 characters, which a file for each step would soon fill. One that is
 * logged twice for a step is replaced, as MLflow replaces a file that is logged twice.
 */
import { readFile } from 'node:fs/promises'
import { PLOTLY_TYPE } from '../../../core/media-types.ts'
import type { BlobRef, Placed, RecordKind, RunRecord, WriteResult } from '../../../core/types.ts'
import type { Refusal } from '../../http.ts'
import type { ArtifactStore, Content } from '../stores/store.ts'
import { histogramPage, prCurvePage } from './charts.ts'
import { figurePage } from './figure-page.ts'
import { addLoggedTable } from './logged-tables.ts'
import { mapPath, stepName } from './paths.ts'
import { contentOf, done, put, rememberName, type Step, type UploadContext } from './step.ts'

export type MediaRecord = Extract<RunRecord, { kind: 'text' | 'histogram' | 'prCurve' | 'figure' | 'table' }>
const FOLDERS: Readonly<Record<MediaRecord['kind'], string>> = {
  text: 'texts',
  histogram: 'histograms',
  prCurve: 'pr_curves',
  figure: 'figures',
  table: 'tables',
} satisfies Partial<Record<RecordKind, string>>

/** A page of a larger figure would be slow to open and is large in memory to make: its JSON goes as it is. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024
/** Room for an ending behind a name. */
const MAX_NAME_BYTES = 240
/** How files are called here: the name `a/step_00000001` would be in the way of the first step of `a`. */
const TAKEN = /^step_-?\d{8,}/
const TAKEN_OF_TABLES = /^step_-?\d{8,}|\.json$/

export async function uploadMedia(
  record: MediaRecord,
  context: UploadContext,
  step: Step,
): Promise<WriteResult> {
  const { signal } = step
  const store = await context.stores.ofRun(signal)
  if ('status' in store) return store
  const taken = record.kind === 'table' ? TAKEN_OF_TABLES : TAKEN
  const { path, mapped } = mapPath(record.name, MAX_NAME_BYTES, taken)
  const name = `${FOLDERS[record.kind]}/${path}`
  if (mapped) {
    const refusal = await rememberName(context, record.name, name, signal)
    if (refusal) return refusal
  }
  return done(await send(record, name, store, context, step), step)
}

async function send(
  record: MediaRecord,
  name: string,
  store: ArtifactStore,
  context: UploadContext,
  step: Step,
): Promise<Refusal | undefined> {
  const isFile = step.upload.file !== undefined
  const at = (ending: string) => `${name}/${stepName(record.step)}.${ending}`
  switch (record.kind) {
    case 'text':
      if (isFile) return put(store, at('txt'), contentOf(step.upload), step)
      return typeof record.text === 'string' ? put(store, at('txt'), textContent(record), step) : undefined
    case 'histogram':
      return put(store, at('html'), html(histogramPage(record)), step)
    case 'prCurve':
      return put(store, at('html'), html(prCurvePage(record)), step)
    case 'figure':
      return isFile ? putFigure(record, at, store, step) : undefined
    case 'table':
      if (!isFile) return addLoggedTable(context, `${name}.json`, step.signal)
      return (
        (await put(store, at('json'), contentOf(step.upload), step, 0.5)) ??
        (await put(store, `${name}.json`, contentOf(step.upload), step, 0.5))
      )
  }
}

async function putFigure(
  { figure, name, step: at }: Placed & { readonly figure: BlobRef },
  path: (ending: string) => string,
  store: ArtifactStore,
  step: Step,
): Promise<Refusal | undefined> {
  const content = contentOf(step.upload)
  if (figure.type !== PLOTLY_TYPE) return put(store, path(endingOf(figure.type)), content, step)
  if (figure.bytes > MAX_PAGE_BYTES) return put(store, path('json'), content, step)
  const json = await readFile(step.upload.file!.location, 'utf8')
  const page = html(figurePage(`${name}, step ${at}`, json))
  // The page is a little longer than what the step counts.
  return put(store, path('html'), page, step, figure.bytes / page.bytes.length)
}

function endingOf(type: string): string {
  const ending = /^image\/(png|jpeg|gif|webp|bmp|svg)/.exec(type)?.[1]
  return ending ?? 'bin'
}

function html(page: string): Content & { readonly bytes: Buffer } {
  return { type: 'text/html', bytes: Buffer.from(page) }
}

function textContent({ text }: Extract<RunRecord, { kind: 'text' }>): Content {
  return { type: 'text/plain; charset=utf-8', bytes: Buffer.from(text as string) }
}
