/** How threads of ours are started. */

/** The module `name` beside the caller, with the caller's own ending: `.ts` when run from source, else `.js`. */
export function workerUrl(name: string, from: string): URL {
  return new URL(name + from.slice(from.lastIndexOf('.')), from)
}

/** Profilers and preloads given to the program corrupt their data when several threads inherit them. */
export function workerEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, NODE_OPTIONS: '' }
}
