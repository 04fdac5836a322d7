/** Node and the package itself: what every run needs before anything else. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { VERSION } from '../../core/version.ts'
import type { Finding } from '../../sinks/contract.ts'

/** As `engines` of package.json says. */
const OLDEST_NODE = [20, 18, 1] as const
/** Majors that the tests run on. */
const TESTED_NODE: readonly number[] = [20, 22, 24]
/** Modules that are started as threads, below `src/`. */
const THREADS = [
  'pipeline/drain-thread',
  'pipeline/delivery-thread',
  'pipeline/store/sync-thread',
  'pipeline/parking/parking-thread',
]
const PACKAGES = ['flatbuffers', 'piscina', 'undici']

/** @param version of Node, such as `v20.18.1` */
export function nodeFinding(version: string = process.version): Finding {
  const parts = version.replace(/^v/, '').split('.').map(Number)
  const what = 'Node'
  const oldest = OLDEST_NODE.join('.')
  const isOld = OLDEST_NODE.find((part, at) => parts[at] !== part)
  const differs = OLDEST_NODE.findIndex((part, at) => parts[at] !== part)
  if (isOld !== undefined && (parts[differs] ?? 0) < isOld) {
    return {
      level: 'fail',
      what,
      seen: `${version} is older than ${oldest}`,
      fix: `install Node ${oldest} or later`,
    }
  }
  const tested = TESTED_NODE.join(', ')
  if (!TESTED_NODE.includes(parts[0]!)) {
    return {
      level: 'warn',
      what,
      seen: `${version}; tested are ${tested}`,
      fix: `use Node ${tested} if anything is odd`,
    }
  }
  return { level: 'ok', what, seen: `${version} (tested: ${tested})` }
}

export async function packageFindings(): Promise<Finding[]> {
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.') + 1)
  const files = [...THREADS.map((name) => `${name}.${ending}`), `pipeline/delivery-entry.c${ending}`]
  const missing = files
    .map((file) => new URL(`../../${file}`, import.meta.url))
    .filter((url) => !existsSync(url))
    .map((url) => fileURLToPath(url))
  const fix = 'install the package again; do not bundle it into another file'
  const own: Finding =
    missing.length === 0
      ? { level: 'ok', what: 'tracelet', seen: `${VERSION}, its threads are in place` }
      : { level: 'fail', what: 'tracelet', seen: `${VERSION}, without ${missing.join(', ')}`, fix }
  const broken: Finding[] = []
  for (const name of PACKAGES) {
    try {
      await import(name)
    } catch (error) {
      const seen = `cannot be loaded: ${(error as Error).message.split('\n', 1)[0]}`
      broken.push({ level: 'fail', what: name, seen, fix: 'install the package again with its dependencies' })
    }
  }
  return [own, ...broken]
}
