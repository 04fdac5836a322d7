/** What a run holds besides points, as MLflow's own client reads it. */
import { createHash } from 'node:crypto'
import { runPeerScript } from './python.ts'

export interface SeenUploads {
  readonly runId: string
  readonly status: string
  readonly user: string
  readonly tags: Readonly<Record<string, string>>
  /** SHA-256 by path. */
  readonly artifacts: Readonly<Record<string, string>>
  readonly tables: Readonly<Record<string, { columns: unknown[]; data: unknown[][] }>>
  readonly datasets: readonly object[]
  readonly outputs: readonly { modelId: string; step: number }[]
  readonly models: readonly {
    readonly id: string
    readonly name: string
    readonly status: string
    readonly tags: Readonly<Record<string, string>>
    readonly files: Readonly<Record<string, string>>
    readonly runId: string
    readonly metadata: unknown
  }[]
  readonly versions: readonly {
    readonly name: string
    readonly version: string
    readonly source: string
    readonly aliases: readonly string[]
    readonly description: string | null
  }[]
}

export async function readUploads(
  python: string,
  uri: string,
  experiment: string,
  tag: 'tracelet.nonce' | 'tracelet.run_id',
  value: string,
  env: Readonly<Record<string, string>> = {},
): Promise<SeenUploads> {
  const seen = await runPeerScript(python, 'read_mlflow_uploads.py', [uri, experiment, tag, value], env)
  return seen as SeenUploads
}

export function sha256(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex')
}

/** An image's file name as MLflow's page reads it. */
export function parseImagePath(path: string) {
  const match =
    /^images\/([^+%]*)\+step\+(-?\d+)\+timestamp\+(\d+)\+([0-9a-f-]{36})(\+compressed)?\.(png|webp)$/
  const found = match.exec(path)
  if (!found) return undefined
  const [, key, step, time, uuid, compressed, ending] = found
  return {
    key: key!.replaceAll('~', '/'),
    step: Number(step),
    time: Number(time),
    uuid: uuid!,
    compressed: compressed !== undefined,
    ending: ending!,
  }
}
