/** The plainest sender: what the stand-in's own tests speak to it with. */
import type { WandbStandIn } from './stand-in.ts'

export const KEY = 'k0'.repeat(20)
export const AUTHORIZATION = `Basic ${Buffer.from(`api:${KEY}`).toString('base64')}`

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly body: Record<string, unknown>
}

export interface Upserted {
  readonly inserted: boolean
  readonly bucket: {
    readonly id: string
    readonly name: string
    readonly historyLineCount: number
    readonly project: { readonly name: string; readonly entity: { readonly name: string } }
  }
}
export interface ResumeStatus {
  readonly historyLineCount: number
  readonly eventsLineCount: number
  readonly logLineCount: number
  readonly historyTail: string
  readonly eventsTail: string
  readonly summaryMetrics: string | null
  readonly wandbConfig: string
  readonly tags: readonly string[]
}

export class Client {
  readonly #url: string

  constructor(standIn: Pick<WandbStandIn, 'url'>) {
    this.#url = standIn.url
  }

  async post(path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Reply> {
    const response = await fetch(`${this.#url}${path}`, {
      method: 'POST',
      headers: { authorization: AUTHORIZATION, 'content-type': 'application/json', ...headers },
      body: body,
    })
    const text = await response.text()
    const isJson = text.startsWith('{')
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
    }
  }

  stream(body: object, run = 'stander/lab/one', headers?: Record<string, string>): Promise<Reply> {
    return this.post(`/files/${run}/file_stream`, JSON.stringify(body), headers)
  }

  history(offset: number, lines: readonly string[], run?: string): Promise<Reply> {
    return this.stream({ files: { 'wandb-history.jsonl': { offset, content: lines } } }, run)
  }

  graphql(query: string, variables: object = {}, headers?: Record<string, string>): Promise<Reply> {
    return this.post('/graphql', JSON.stringify({ query, variables }), headers)
  }

  /** @returns `data` */
  async ask<Data>(query: string, variables: object = {}): Promise<Data> {
    const { status, text, body } = await this.graphql(query, variables)
    if (status !== 200 || body.errors) throw new Error(`${status} ${text}`)
    return body.data as Data
  }

  /** As the SDK makes, finds and changes a run. */
  async upsert(variables: object = {}): Promise<Upserted> {
    const asked = { project: 'lab', name: 'one', ...variables }
    return (await this.ask<{ readonly upsertBucket: Upserted }>(UPSERT, asked)).upsertBucket
  }

  async resumeStatus(name = 'one'): Promise<ResumeStatus | null> {
    const asked = { project: 'lab', entity: 'stander', name }
    const { model } = await this.ask<{ readonly model: { readonly bucket: ResumeStatus } | null }>(
      RESUME_STATUS,
      asked,
    )
    return model?.bucket ?? null
  }
}

export const UPSERT = `mutation UpsertBucket ($id: String, $name: String, $project: String, $entity: String,
  $groupName: String, $displayName: String, $notes: String, $config: JSONString, $jobType: String, $state: String,
  $tags: [String!], $summaryMetrics: JSONString) {
  upsertBucket(input: {id:$id,name:$name,groupName:$groupName,modelName:$project,entityName:$entity,
    displayName:$displayName,notes:$notes,config:$config,jobType:$jobType,state:$state,tags:$tags,
    summaryMetrics:$summaryMetrics}) {
    bucket { id name displayName config sweepName historyLineCount project { id name entity { id name } } }
    inserted
  }
}`
export const RESUME_STATUS = `query RunResumeStatus ($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) {
    id name
    entity { id name }
    bucket(name: $name, missingOk: true) {
      id name summaryMetrics displayName jobType group historyLineCount eventsLineCount logLineCount historyTail
      eventsTail config tags notes wandbConfig(keys: ["t"])
    }
  }
}`
