/** The least that a client of MLflow can do: full requests in a plain loop, one at a time. */
import { Pool } from 'undici'

export const RAW_KEYS = Array.from({ length: 100 }, (_, i) => `layer ${i}/norm`)
const STEPS_PER_REQUEST = 10
export const POINTS_PER_REQUEST = RAW_KEYS.length * STEPS_PER_REQUEST

export class RawLoop {
  readonly #pool: Pool
  #runId = ''
  #step = 0

  private constructor(uri: string) {
    this.#pool = new Pool(uri, { connections: 1 })
  }

  /** Makes a run. */
  static async open(uri: string): Promise<RawLoop> {
    const loop = new RawLoop(uri)
    const created = await loop.#post('runs/create', { experiment_id: '0', start_time: Date.now() })
    loop.#runId = (created.run as { info: { run_id: string } }).info.run_id
    return loop
  }

  /** 100 keys × 10 steps a request. */
  async log(requests: number): Promise<void> {
    const start = Date.now()
    for (let request = 0; request < requests; request++) {
      const metrics = []
      for (let row = 0; row < STEPS_PER_REQUEST; row++) {
        const step = this.#step++
        for (const key of RAW_KEYS) metrics.push({ key, value: Math.random(), timestamp: start + row, step })
      }
      await this.#post('runs/log-batch', { run_id: this.#runId, metrics })
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
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
