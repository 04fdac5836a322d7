/** Asks each backend, through its own probe. */
import { TraceletError } from '../../core/errors.ts'
import type { Environment } from '../../core/options.ts'
import { redactText } from '../../core/redact.ts'
import { type Finding, resolveDestinationOptions } from '../../sinks/contract.ts'
import { findSink } from '../../sinks/index.ts'

const PROBE_TIMEOUT_MS = 10_000

export interface Asked {
  readonly name: string
  readonly kind: string
  readonly module?: string | undefined
  readonly options: Readonly<Record<string, unknown>>
}

/** All at once; never rejects. */
export function backendFindings(
  backends: readonly Asked[],
  environment: Environment,
): Promise<(readonly [name: string, findings: readonly Finding[]])[]> {
  return Promise.all(backends.map(async (one) => [one.name, await findingsOf(one, environment)] as const))
}

async function findingsOf(
  { name, kind, module, options }: Asked,
  environment: Environment,
): Promise<readonly Finding[]> {
  if (module !== undefined) {
    return [{ level: 'ok', what: 'module', seen: `${module} is loaded when the run is delivered; not asked` }]
  }
  try {
    const sink = findSink(kind)
    if (sink.probe === undefined)
      return [{ level: 'ok', what: 'store', seen: `${sink.title} needs nothing else` }]
    const prepared = resolveDestinationOptions(sink, options, environment, `backend ${name}`)
    const findings = await sink.probe(prepared as never, AbortSignal.timeout(PROBE_TIMEOUT_MS))
    return findings.map((finding) => ({ ...finding, seen: redactText(finding.seen) }))
  } catch (error) {
    const seen = error instanceof Error ? error.message : String(error)
    const code = error instanceof TraceletError ? error.code : 'ERR_SINK_BUG'
    return [{ level: 'fail', what: code, seen: redactText(seen), fix: 'correct the options of the backend' }]
  }
}
