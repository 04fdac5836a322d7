/** The least that a client of MLflow can do: full requests in a plain loop, one at a time on each connection. */
import { Pool } from 'undici'

export const RAW_KEYS = Array.from({ length: 100 }, (_, i) => `layer ${i}/norm`)
const STEPS_PER_REQUEST = 10
export const POINTS_PER_REQUEST = RAW_KEYS.length * STEPS_PER_REQUEST

export class RawLoop {
  readonly #pool: Pool
  #runId = ''
  #step = 0

  readonly #connections: number

  private constructor(uri: string, connections: number) {
    this.#connections = connections
    this.#pool = new Pool(uri, { connections })
  }

  /** Makes a run. */
  static async open(uri: string, connections: number): Promise<RawLoop> {
    const loop = new RawLoop(uri, connections)
    const created = await loop.#post('runs/create', { experiment_id: '0', start_time: Date.now() })
    loop.#runId = (created.run as { info: { run_id: string } }).info.run_id
    return loop
  }

  /** 100 keys × 10 steps a request. */
  async log(requests: number): Promise<void> {
    const start = Date.now()
    let begun = 0
    const loop = async () => {
      while (begun++ < requests) await this.#logBatch(start)
    }
    await Promise.all(Array.from({ length: this.#connections }, loop))
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  async #logBatch(timestamp: number): Promise<void> {
    const metrics = []
    for (let row = 0; row < STEPS_PER_REQUEST; row++) {
      const step = this.#step++
      for (const key of RAW_KEYS)
        metrics.push({ key, value: Math.random(), timestamp: timestamp + row, step })
    }
    await this.#post('runs/log-batch', { run_id: this.#runId, metrics })
  }

  async #post(route: string, body: object): Promise<Record<string, unknown>> {
    const answer = await this.#pool.request({
      method: 'POST',
      path: `/api/2.0/mlflow/${route}`,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const json = (await answer.body.json()) as Record<string, unknown>
    if (answer.statusCode !== 200) throw new Error(`${route}: ${answer.statusCode} ${JSON.stringify(json)}`)
    return json
  }
}
