/** How threads of ours are started. */
import { existsSync } from 'node:fs'
import { TraceletError } from '../core/errors.ts'

/**
 * The module `name` beside the caller, with the caller's own ending: `.ts` when run from source, else `.js`; with
 * `.cts` or `.cjs` for CommonJS.
 * @throws TraceletError ERR_UNSUPPORTED where it is not: a bundler has put the caller into a file of its own
 */
export function workerUrl(name: string, from: string, format: 'module' | 'commonjs' = 'module'): URL {
  const ending = from.slice(from.lastIndexOf('.') + 1)
  const url = new URL(`${name}.${format === 'commonjs' ? 'c' : ''}${ending}`, from)
  if (existsSync(url)) return url
  throw new TraceletError(
    'ERR_UNSUPPORTED',
    `${url.pathname} is missing: tracelet starts threads from its own files and cannot be bundled into another; ` +
      "keep it external (esbuild --external:tracelet, webpack and rollup externals: ['tracelet'])",
  )
}

/** Profilers and preloads given to the program corrupt their data when several threads inherit them. */
export function workerEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, NODE_OPTIONS: '' }
}

/**
 * For threads that points pass through, where what is young lives for a moment. V8 would let 48 MiB of it come together
 * before it looks which of it is needed, and seldom give it back; of old objects there may be as many as ever.
 */
export const WORKER_LIMITS = { maxYoungGenerationSizeMb: 12 } as const
