/** The least that a client of MLflow can do: full requests in a plain loop, one at a time. */
import { Pool } from 'undici'

const KEYS = 100
const STEPS_PER_REQUEST = 10
export const POINTS_PER_REQUEST = KEYS * STEPS_PER_REQUEST

/** Logs `requests` × 1,000 points of 100 keys to a run of its own. */
export async function logInRawLoop(uri: string, requests: number): Promise<void> {
  const pool = new Pool(uri, { connections: 1 })
  const post = async (route: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await pool.request({
      method: 'POST',
      path: `/api/2.0/mlflow/${route}`,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const json = (await answer.body.json()) as Record<string, unknown>
    if (answer.statusCode !== 200) throw new Error(`${route}: ${answer.statusCode} ${JSON.stringify(json)}`)
    return json
  }
  try {
    const created = await post('runs/create', { experiment_id: '0', start_time: Date.now() })
    const { info } = created.run as { info: { run_id: string } }
    const start = Date.now()
    for (let request = 0; request < requests; request++) {
      const metrics = []
      for (let row = 0; row < STEPS_PER_REQUEST; row++) {
        const step = request * STEPS_PER_REQUEST + row
        for (let key = 0; key < KEYS; key++)
          metrics.push({ key: `layer ${key}/norm`, value: Math.random(), timestamp: start + step, step })
      }
      await post('runs/log-batch', { run_id: info.run_id, metrics })
    }
  } finally {
    await pool.destroy()
  }
}
