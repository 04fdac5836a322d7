/** Sinks that users bring: ES modules whose default export is a `defineSink(…)`. */
import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TraceletError } from '../../core/errors.ts'
import type { SinkDefinition } from '../../sinks/contract.ts'

/**
 * @param module absolute path, file URL or package name
 * @throws TraceletError ERR_BACKEND_UNKNOWN
 */
export async function loadSinkModule(module: string, kind: string): Promise<SinkDefinition> {
  let exported: { default?: Partial<SinkDefinition> }
  try {
    exported = await import(isAbsolute(module) ? pathToFileURL(module).href : module)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new TraceletError('ERR_BACKEND_UNKNOWN', `the module ${module} of backend ${kind}: ${message}`, {
      cause,
    })
  }
  const definition = exported.default
  if (typeof definition?.create !== 'function' || definition.kind !== kind) {
    throw new TraceletError(
      'ERR_BACKEND_UNKNOWN',
      `the default export of ${module} is not a defineSink({ kind: '${kind}', … })`,
    )
  }
  return definition as SinkDefinition
}
