/** The file `MLmodel`, by which MLflow's clients and page know a folder for a model. Pure. */
import { VERSION } from '../../../core/version.ts'
import type { Content } from '../stores/store.ts'
import type { LoggedModel } from './logged-model.ts'
import type { ModelRecord } from './model.ts'
import type { UploadContext } from './step.ts'

/**
 * YAML, each value as JSON, which is YAML too. No flavour of Python's: nothing there could load the files, and
 * whoever knows them reads them.
 */
export function modelFile(record: ModelRecord, model: LoggedModel, { remote }: UploadContext): Content {
  const created = new Date(record.time).toISOString().replace('T', ' ').slice(0, -1)
  const fields: Record<string, unknown> = {
    artifact_path: model.uri,
    flavors: { tracelet: { version: VERSION, name: record.name } },
    ...(record.metadata && { metadata: JSON.parse(record.metadata) as unknown }),
    model_id: model.id,
    model_uuid: model.id,
    run_id: remote.runId,
    utc_time_created: created,
  }
  const lines = Object.entries(fields).map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
  return { type: 'text/plain', bytes: Buffer.from(`${lines.join('\n')}\n`) }
}
