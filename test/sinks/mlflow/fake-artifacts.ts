/** What a tracking server keeps besides runs, with MLflow's rules: artifacts, logged models, registered models. */
import { randomBytes } from 'node:crypto'
import { ApiError, type FakeStore } from './fake-store.ts'

const invalid = (message: string) => new ApiError(400, 'INVALID_PARAMETER_VALUE', message)
const missing = (message: string) => new ApiError(404, 'RESOURCE_DOES_NOT_EXIST', message)
const duplicate = () => new ApiError(400, 'BAD_REQUEST', '(sqlite3.IntegrityError) UNIQUE constraint failed')

type Json = Readonly<Record<string, unknown>>
type Tags = readonly { readonly key: string; readonly value: string }[]

export interface FakeModel {
  readonly id: string
  readonly experimentId: string
  readonly name: string
  readonly tags: Map<string, string>
  status: string
}
export interface FakeVersion {
  readonly name: string
  readonly version: string
  readonly source: string
  readonly runId: string
  readonly tags: Map<string, string>
}

const STATUSES = ['LOGGED_MODEL_PENDING', 'LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED']

export class FakeArtifacts {
  /** By path below the server's root. */
  readonly files = new Map<string, Buffer>()
  /** How often each was stored. */
  readonly puts = new Map<string, number>()
  readonly models = new Map<string, FakeModel>()
  readonly versions: FakeVersion[] = []
  readonly registered = new Set<string>()
  /** Alias → version, by `name@alias`. */
  readonly aliases = new Map<string, string>()
  /** Steps of the models that are outputs, by `run model`. */
  readonly outputs = new Map<string, number>()
  /** Inputs of runs, by `run name digest`. */
  readonly inputs = new Map<string, unknown>()
  /** Of the artifacts of models. */
  modelRoot = 'mlflow-artifacts:'
  readonly #runs: FakeStore

  constructor(runs: FakeStore) {
    this.#runs = runs
  }

  put(encoded: string, bytes: Buffer): void {
    const path = decodeURIComponent(encoded)
    if (/[#%?\\:]|[\p{Cc}]/u.test(path) || path.split('/').some((part) => /^\.{0,2}$/.test(part))) {
      throw invalid('Invalid path')
    }
    if (path.split('/').some((part) => Buffer.byteLength(part) > 255)) throw fault('File name too long')
    const above = path.split('/').slice(0, -1)
    if (above.some((_, depth) => this.files.has(above.slice(0, depth + 1).join('/'))))
      throw fault('Not a directory')
    if ([...this.files.keys()].some((file) => file.startsWith(`${path}/`))) throw fault('Is a directory')
    this.files.set(path, bytes)
    this.puts.set(path, (this.puts.get(path) ?? 0) + 1)
  }

  list(folder: string): object {
    const names = new Map<string, boolean>()
    for (const path of this.files.keys()) {
      if (!path.startsWith(`${folder}/`)) continue
      const [name, ...below] = path.slice(folder.length + 1).split('/')
      names.set(name!, below.length > 0)
    }
    return { files: [...names].map(([path, is_dir]) => ({ path, is_dir })) }
  }

  /** Files of a run or of a model, by path below its root. */
  below(root: string): Record<string, string> {
    const found = [...this.files].filter(([path]) => path.startsWith(`${root}/`))
    return Object.fromEntries(found.map(([path, bytes]) => [path.slice(root.length + 1), bytes.toString()]))
  }

  createModel(body: Json): object {
    const name = String(body.name)
    if (name === '' || /[/:.%"']/.test(name)) throw invalid(`Invalid model name (${name})`)
    const model: FakeModel = {
      id: `m-${randomBytes(16).toString('hex')}`,
      experimentId: String(body.experiment_id),
      name,
      tags: tagMap(body.tags),
      status: 'LOGGED_MODEL_PENDING',
    }
    this.models.set(model.id, model)
    return { model: this.#modelJson(model) }
  }

  searchModels(body: Json): object {
    const value = /^tags\.`tracelet\.upload` = '([^']*)'$/.exec(String(body.filter))?.[1]
    if (value === undefined) throw invalid(`Invalid filter ${body.filter}`)
    const found = [...this.models.values()].filter(
      ({ experimentId, tags }) =>
        (body.experiment_ids as string[]).includes(experimentId) && tags.get('tracelet.upload') === value,
    )
    return found.length > 0 ? { models: found.map((model) => this.#modelJson(model)) } : {}
  }

  changeModel(id: string, body: Json): object {
    const model = this.#model(id)
    const status = String(body.status)
    if (!STATUSES.includes(status)) throw invalid(`Invalid status ${status}`)
    model.status = status
    return { model: this.#modelJson(model) }
  }

  deleteModel(id: string): object {
    this.#model(id)
    this.models.delete(id)
    return {}
  }

  logOutputs(body: Json): object {
    const run = this.#runs.run(body.run_id)
    for (const { model_id, step } of body.models as readonly { model_id: string; step: number }[]) {
      const key = `${run.runId} ${this.#model(model_id).id}`
      if (this.outputs.has(key)) throw duplicate()
      this.outputs.set(key, step)
    }
    return {}
  }

  outputsOf(runId: string): object {
    const found = [...this.outputs].filter(([key]) => key.startsWith(runId))
    return { model_outputs: found.map(([key, step]) => ({ model_id: key.split(' ')[1], step })) }
  }

  logInputs(body: Json): object {
    const run = this.#runs.run(body.run_id)
    type Input = { dataset: Record<string, string | undefined>; tags: Tags }
    for (const input of body.datasets as readonly Input[]) {
      const { name, digest, source, source_type, schema = '' } = input.dataset
      if (!name || !digest || digest.length > 36 || source === undefined || source_type === undefined) {
        throw invalid('Invalid dataset')
      }
      if (name.length > 500 || schema.length > 1_048_575) throw invalid('Dataset exceeds the maximum length')
      const key = `${run.runId} ${name} ${digest}`
      if (!this.inputs.has(key)) this.inputs.set(key, input)
    }
    return {}
  }

  register(name: unknown): object {
    if (typeof name !== 'string' || name.trim() === '' || /[/:]/.test(name))
      throw invalid(`Invalid model name`)
    if (this.registered.has(name))
      throw new ApiError(400, 'RESOURCE_ALREADY_EXISTS', `(name=${name}) already exists`)
    this.registered.add(name)
    return { registered_model: { name } }
  }

  createVersion(body: Json): object {
    const name = String(body.name)
    if (!this.registered.has(name)) throw missing(`Registered Model with name=${name} not found`)
    const model = this.#model(String(body.model_id))
    if (body.source !== `models:/${model.id}`) throw invalid('Invalid model version source')
    const version: FakeVersion = {
      name,
      version: String(this.versions.filter((other) => other.name === name).length + 1),
      source: String(body.source),
      runId: String(body.run_id),
      tags: tagMap(body.tags),
    }
    this.versions.push(version)
    return { model_version: { name, version: version.version } }
  }

  searchVersions(filter: string): object {
    const parsed = /^run_id = '([^']*)' and tags\.`tracelet\.upload` = '([^']*)'$/.exec(filter)
    if (!parsed) throw invalid(`Invalid filter ${filter}`)
    const found = this.versions.filter(
      ({ runId, tags }) => runId === parsed[1] && tags.get('tracelet.upload') === parsed[2],
    )
    return { model_versions: found.map(({ name, version }) => ({ name, version })) }
  }

  deleteVersion(body: Json): object {
    const at = this.versions.findIndex(({ name, version }) => name === body.name && version === body.version)
    if (at === -1) throw missing('Model Version not found')
    this.versions.splice(at, 1)
    return {}
  }

  setAlias({ name, alias, version }: Json): object {
    if (!/^[\w-]+$/.test(String(alias)) || /^v\d+$|^latest$/i.test(String(alias)))
      throw invalid('Invalid alias')
    if (!this.versions.some((one) => one.name === name && one.version === version))
      throw missing('No such version')
    this.aliases.set(`${name}@${alias}`, String(version))
    return {}
  }

  #modelJson({ id, experimentId, name, status }: FakeModel): object {
    const artifact_uri = `${this.modelRoot}/${experimentId}/models/${id}/artifacts`
    return { info: { model_id: id, experiment_id: experimentId, name, status, artifact_uri } }
  }

  #model(id: string): FakeModel {
    const model = this.models.get(id)
    if (!model) throw missing(`Logged model with ID '${id}' not found.`)
    return model
  }
}

/** What Flask makes of an error that MLflow does not expect. */
export class HtmlFault extends Error {}
const fault = (message: string) => new HtmlFault(message)

function tagMap(tags: unknown): Map<string, string> {
  return new Map(((tags ?? []) as Tags).map(({ key, value }) => [key, value]))
}
